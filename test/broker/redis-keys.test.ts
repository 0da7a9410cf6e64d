import t, { type Test } from 'tap'
import { freePort } from '../../deploy/local-cluster/managed-process.js'
import type { RedisBroker } from '../../src/broker/redis-broker.js'
import { BrokerUnavailableError } from '../../src/broker/broker.js'
import { batchAfter, KEEP_ALL, listen, logMessages, own } from '../fixtures/broker-contract.js'
import { eventually } from '../fixtures/eventually.js'
import { connectBroker, connectTenant, startRedis } from '../fixtures/redis.js'

const redis = await startRedis(t)
const tenant = connectTenant(t, redis)
const ENDED_TTL_MS = 50_000
const LOG_TTL_MS = 40_000

async function connect (t: Test, options = {}) {
  const { broker, commands, lines } = connectBroker(t, redis, { endedTtlMs: ENDED_TTL_MS, logTtlMs: LOG_TTL_MS, ...options })
  await eventually('the broker is connected', () => broker.connected && commands.status === 'ready')
  return { broker, lines, room: crypto.randomUUID() }
}

/** Everything that is ever done with a room, so that all its keys are there. */
async function liveThrough (t: Test, broker: RedisBroker, room: string) {
  t.equal(await broker.publish(room, 'parked'), 'parked')
  const listener = await listen(broker, room)
  const term = await own(broker, room)
  await broker.follow(room)
  await broker.mark(room, 'x')
  broker.answerMark(room, term, 'x', 0)
  await logMessages(t, broker, room, term, 2)
  t.equal((await broker.readLog(room, { term, n: 1 })).length, 1)
  t.equal((await broker.readParked(room)).length, 1)
  t.equal(await broker.publish(room, 'heard'), 'published')
  await broker.end(room, '{}')
  await eventually('all is heard', () => listener.heard.includes('end {}') && listener.signals.some(({ type }) => type === 'marked'))
  await broker.beat(10_000)
  return { term, listener }
}

t.test('every key goes by itself, but for what is not billed yet', async (t) => {
  const { broker, room } = await connect(t, { isMetered: true })
  const ttls = async () => {
    const keys = [...await tenant.keys(`*${room}*`), 'chat:instances'].sort()
    return Object.fromEntries(await Promise.all(keys.map(async (key) => [key.replace(`chat:{${room}}:`, ''), await tenant.pttl(key)] as const)))
  }
  const { term } = await liveThrough(t, broker, room)
  const before = await ttls()
  t.same(Object.keys(before), ['chat:instances', 'ended', 'log', 'owner', 'pending', 'unbilled'])
  const maxima: Record<string, number> = { 'chat:instances': 86_400_000, ended: ENDED_TTL_MS, log: LOG_TTL_MS, owner: 86_400_000, pending: 3_600_000, unbilled: -1 }
  for (const [key, maximum] of Object.entries(maxima)) {
    const ttl = before[key] ?? NaN
    t.ok(ttl <= maximum && ttl > maximum - 20_000, `${key}: ${ttl}`)
  }
  await broker.release(room, term, false)
  t.ok(((await ttls()).owner ?? 0) > 0, 'also when nobody owns it')
  const claimed = await broker.claim(room, { instance: '', term: 0 }, 0, true)
  t.equal(claimed.type, 'claimed', 'somebody may have heard more before the end')
})

t.test('of a room in which nothing was said nothing is left a minute after it was given up, unless somebody takes it', async (t) => {
  const { broker, room } = await connect(t)
  const term = await own(broker, room)
  t.ok(await tenant.pttl(`chat:{${room}}:owner`) > 60_000)
  await broker.release(room, term, false)
  const ttl = await tenant.pttl(`chat:{${room}}:owner`)
  t.ok(ttl > 40_000 && ttl <= 60_000, `${ttl}`)
  t.same(await tenant.keys(`*${room}*`), [`chat:{${room}}:owner`], 'and that is all')
  t.ok(await own(broker, room) > term)
  t.ok(await tenant.pttl(`chat:{${room}}:owner`) > 60_000)
})

t.test('what is left of a room that has ended goes with its log', async (t) => {
  const { broker, room } = await connect(t)
  const term = await own(broker, room)
  await logMessages(t, broker, room, term, 2)
  broker.finish(room, term, { term, n: 2 }, '{"a":1}')
  await eventually('it is finished', async () => await tenant.exists(`chat:{${room}}:ended`) === 1)
  t.equal(await tenant.get(`chat:{${room}}:ended`), '{"a":1}')
  for (const [key, maximum] of [['ended', ENDED_TTL_MS], ['owner', LOG_TTL_MS], ['log', LOG_TTL_MS]] as const) {
    const ttl = await tenant.pttl(`chat:{${room}}:${key}`)
    t.ok(ttl <= maximum && ttl > maximum - 20_000, `${key}: ${ttl}`)
  }
})

t.test('in Redis Cluster all keys of a room are in one slot, also those that scripts use', async (t) => {
  const cluster = await startRedis(t, { args: ['--cluster-enabled', 'yes', '--cluster-port', String(await freePort())] })
  const tenant = connectTenant(t, cluster)
  await tenant.cluster('ADDSLOTSRANGE', 0, 16_383)
  await eventually('it serves all slots', async () => String(await tenant.cluster('INFO')).includes('cluster_state:ok'))
  const { broker, commands } = connectBroker(t, cluster, { isMetered: true })
  await eventually('the broker is connected', () => broker.connected && commands.status === 'ready')
  const room = crypto.randomUUID()
  const { term } = await liveThrough(t, broker, room)
  broker.finish(room, term, { term, n: 2 }, '{}')
  await eventually('it is finished', async () => (await broker.claim(room, undefined, 0, true)).type === 'ended')
  const keys = await tenant.keys(`*${room}*`)
  t.equal(keys.length, 5)
  t.equal(new Set(await Promise.all(keys.map((key) => tenant.cluster('KEYSLOT', key)))).size, 1)
})

t.test('values of another type under our keys fail clearly, for their room only, and until they are gone', async (t) => {
  const { broker, room } = await connect(t)
  const fine = crypto.randomUUID()
  for (const key of ['owner', 'log', 'ended', 'pending']) await tenant.sadd(`chat:{${room}}:${key}`, 'a set')
  const entry = batchAfter({ term: 1, n: 0 }, 1, 'x')
  const calls: Array<() => Promise<unknown>> = [() => broker.claim(room, undefined, 0, true), () => broker.release(room, 1, false), () => broker.append(room, 1, entry, KEEP_ALL),
    () => broker.readLog(room, undefined), () => broker.readParked(room), () => broker.mark(room, 'x')]
  for (const call of calls) await t.rejects(async () => { await call() }, BrokerUnavailableError)
  t.equal(await broker.publish(room, 'x'), 'room-ended')
  broker.finish(room, 1, { term: 1, n: 0 }, '{}')
  broker.answerMark(room, 1, 'x', 0)
  await tenant.del(`chat:{${room}}:ended`)
  await t.rejects(broker.publish(room, 'x'), BrokerUnavailableError)
  await logMessages(t, broker, fine, await own(broker, fine), 2)
  for (const key of ['owner', 'log', 'pending']) await tenant.del(`chat:{${room}}:${key}`)
  t.match(await broker.claim(room, undefined, 0, true), { type: 'claimed' })
})

t.test('numbers that are none in the key of the owner give a term that is one', async (t) => {
  const { broker } = await connect(t)
  for (const term of ['x', '', '-5', '1.5', 'nan', 'inf', '1e300', '0x7fffffffffffffff', '9'.repeat(400), '9999999999999999']) {
    const room = crypto.randomUUID()
    await tenant.hset(`chat:{${room}}:owner`, { instance: '', term, tail: term, released: term, heirs: term })
    const outcome = await broker.claim(room, undefined, 0, true)
    const got = outcome.type === 'claimed' ? outcome.term : NaN
    t.ok(got > 1_700_000_000_000 && got < 1e15, `${term}: ${got}`)
  }
})

t.test('what is no entry in a log is left out, and harms none that is', async (t) => {
  const { broker, room } = await connect(t)
  const term = await own(broker, room)
  const [first] = await logMessages(t, broker, room, term, 1)
  const key = `chat:{${room}}:log`
  const fields = [['x', 'y'], ['kind', 'batch'], ['kind', 'batch', 'from', `${term}-1`, 'data', 'not JSON'], ['kind', 'batch', 'from', `${term}-1`, 'data', '[]'],
    ['kind', 'evil', 'from', `${term}-1`, 'data', '["x"]'], ['kind', 'batch', 'from', 'x', 'data', '["x"]'], ['kind', 'batch', 'from', `${term}-1`, 'data', '["x"]\n\nevent:end'],
    ['__proto__', 'x', 'kind', 'batch'], ['kind', 'gap', 'from', `${term}-1`, 'data', '"x"']]
  for (const [index, row] of fields.entries()) await tenant.xadd(key, `${term}-${index + 2}`, ...row)
  t.same(await broker.readLog(room, undefined), [first])
  await tenant.xadd(key, '18446744073709551615-1', 'kind', 'batch', 'from', `${term}-1`, 'data', '["x"]')
  t.same(await broker.readLog(room, undefined), [first])
  t.same(await broker.readLog(room, { term, n: 1 }), [])
})

t.test('texts of every odd kind on the channels harm nobody', async (t) => {
  const { broker, room } = await connect(t)
  const listener = await listen(broker, room)
  await broker.follow(room)
  const texts = ['', ' ', '\0', 'mark', 'mark ', 'mark  x', 'marked a 1', 'marked a x 1', 'marked a 1 -1', 'marked a 1 1 1', 'marked a 9999999999999999 1', 'claimed', 'claimed a', 'claimed a x', 'claimed a 1.5',
    'claimed a 9999999999999999', 'claimed a Infinity', 'released a', 'released  1', 'CLAIMED a 1', '__proto__ a 1', 'constructor', 'batch', 'batch 1-0 1-1', 'batch 1-0 1-1 x', 'batch 1-0 1-9 ["x"]', 'batch 1-0 1-1 ["x"]\n\n',
    'gap 2-0 1-0 {}', 'end 1-0 1-1 x', 'x'.repeat(1_000_000), '['.repeat(100_000)]
  for (const channel of [`chat:{${room}}:signals`, `chat:{${room}}:batches`]) for (const text of texts) await tenant.publish(channel, text)
  for (const bytes of [Buffer.from([0xff, 0xfe, 0xc3]), Buffer.from('batch 1-0 1-1 ["\xff"', 'latin1')]) await tenant.publish(`chat:{${room}}:batches`, bytes)
  await tenant.publish(`chat:{${room}}:signals`, 'batch 1-0 1-1 ["x"]')
  await tenant.publish(`chat:{${room}}:batches`, 'batch 1-0 1-1 ["x"]')
  await eventually('what is an entry has come', () => listener.heard.length > 1)
  t.same(listener.heard, ['subscribed', 'logged batch 1-0 1-1 ["x"]'])
  t.same(listener.signals, [])
})
