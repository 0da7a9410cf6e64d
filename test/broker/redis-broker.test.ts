import t from 'tap'
import { BrokerUnavailableError } from '../../src/broker/broker.js'
import { systemClock } from '../../src/clock.js'
import { FlushGovernor } from '../../src/flush-governor.js'
import { FlushPacer } from '../../src/sequencing/flush-pacer.js'
import { brokerContract, KEEP_ALL, listen, logMessages, own, RecordingListener } from '../fixtures/broker-contract.js'
import { eventually } from '../fixtures/eventually.js'
import { connectBroker, connectTenant, recordLog, startRedis } from '../fixtures/redis.js'

const redis = await startRedis(t)
const tenant = connectTenant(t, redis)

brokerContract(t, async (t) => {
  const { broker, commands } = connectBroker(t, redis, { maxMessageBytes: 1_000_000 })
  await eventually('the broker is connected', () => broker.connected && commands.status === 'ready')
  return { broker, tell: (channel, payload) => tenant.publish(channel, payload) }
})

t.test('a room costs three channels, and one more while it is followed, which go with it', async (t) => {
  const { broker } = connectBroker(t, redis)
  const room = crypto.randomUUID()
  const channels = async () => (await tenant.pubsub('CHANNELS', `*${room}*`) as string[]).sort()
  const listener = await listen(broker, room)
  const always = [room, `${room}_END`, `chat:{${room}}:signals`].sort()
  t.same(await channels(), always)
  await broker.follow(room)
  t.same(await channels(), [...always, `chat:{${room}}:batches`].sort())
  broker.unfollow(room)
  await eventually('it is not followed any more', async () => (await channels()).length === 3)
  await broker.follow(room)
  await broker.unsubscribe(room)
  t.same(await channels(), [])
  t.same(listener.heard, ['subscribed'])
})

t.test('while Redis is away, publishing fails with a clear error and subscribing waits', async (t) => {
  const redis = await startRedis(t)
  const { broker, commands } = connectBroker(t, redis)
  await eventually('the broker is connected', () => broker.connected && commands.status === 'ready')
  await redis.kill()
  await eventually('the loss is noticed', () => !broker.connected && commands.status !== 'ready')
  await t.rejects(broker.publish(crypto.randomUUID(), 'x'), BrokerUnavailableError)
  await t.rejects(broker.end(crypto.randomUUID(), 'x'), BrokerUnavailableError)
  const listener = new RecordingListener()
  broker.subscribe(crypto.randomUUID(), listener)
  await redis.restart()
  await eventually('the room is open', () => listener.heard.length > 0)
  t.same(listener.heard, ['subscribed'])
})

t.test('after Redis was killed and restarted empty, each room is told once that it is heard again', async (t) => {
  const redis = await startRedis(t)
  const tenant = connectTenant(t, redis)
  const { broker, lines } = connectBroker(t, redis)
  const rooms = Array.from({ length: 1200 }, () => ({ id: crypto.randomUUID(), listener: new RecordingListener() }))
  for (const { id, listener } of rooms) broker.subscribe(id, listener)
  await eventually('all rooms are open', () => rooms.every(({ listener }) => listener.heard.length === 1))
  await redis.kill()
  await eventually('the loss is noticed', () => !broker.connected)
  await redis.restart()
  await eventually('all rooms are open again', () => rooms.every(({ listener }) => listener.heard.length === 3))
  for (const { id } of rooms) await tenant.publish(id, 'x')
  await eventually('all rooms hear', () => rooms.every(({ listener }) => listener.heard.length === 4))
  t.ok(rooms.every(({ listener }) => listener.heard.join() === 'subscribed,interrupted,subscribed,message x'))
  t.equal(lines.filter(({ rooms }) => rooms === 1200).length, 1, 'one line for all rooms')
  t.same(lines.filter(({ msg }) => msg === 'redis does not subscribe, retrying'), [], 'whichever connection is back first')
  const states = lines.filter(({ connection }) => connection === 'subscriber').map(({ msg }) => msg)
  t.same(states, ['redis connected', 'redis is not available, retrying', 'redis connected'], 'one line per change of state')
})

t.test('a Redis that has frozen is found out', async (t) => {
  const redis = await startRedis(t)
  const { broker } = connectBroker(t, redis, { timeoutMs: 200 })
  const listener = new RecordingListener()
  broker.subscribe(crypto.randomUUID(), listener)
  await eventually('the room is open', () => listener.heard.length === 1)
  redis.signal('SIGSTOP')
  await eventually('the loss is noticed', () => !broker.connected)
  redis.signal('SIGCONT')
  await eventually('the room is open again', () => listener.heard.length === 3)
  t.same(listener.heard, ['subscribed', 'interrupted', 'subscribed'])
})

t.test('a wrong password is said once, without telling it, and the process goes on trying', async (t) => {
  const redis = await startRedis(t, { password: 'right-secret' })
  const { broker, lines } = connectBroker(t, redis, { password: 'wrong-secret' })
  const listener = new RecordingListener()
  broker.subscribe(crypto.randomUUID(), listener)
  const admin = connectTenant(t, redis)
  await eventually('the refusal is said for both connections', () => lines.length >= 2)
  const attempts = async () => Number(/total_connections_received:(\d+)/.exec(await admin.info('stats'))?.[1])
  const before = await attempts()
  await eventually('it has been tried again', async () => await attempts() >= before + 4)
  t.equal(lines.length, 2)
  t.match(lines[0]?.reason, /WRONGPASS/)
  t.notMatch(JSON.stringify(lines), /secret/)
  await admin.config('SET', 'requirepass', 'wrong-secret')
  await eventually('the room is open', () => listener.heard.length > 0)
  t.same(listener.heard, ['subscribed'])
})

t.test('a subscription that Redis refuses is tried again, and keeps no other room waiting', async (t) => {
  const redis = await startRedis(t)
  const tenant = connectTenant(t, redis)
  const [refused, allowed] = [crypto.randomUUID(), crypto.randomUUID()]
  await tenant.acl('SETUSER', 'default', 'resetchannels', `&${allowed}*`, `&chat:{${allowed}}:*`)
  const { broker, lines } = connectBroker(t, redis)
  const refusedListener = new RecordingListener()
  const allowedListener = new RecordingListener()
  broker.subscribe(refused, refusedListener)
  broker.subscribe(allowed, allowedListener)
  await eventually('the allowed room is open', () => allowedListener.heard.length > 0)
  await eventually('the refusal is said', () => lines.some(({ msg }) => msg === 'redis does not subscribe, retrying'))
  await tenant.acl('SETUSER', 'default', 'allchannels')
  await eventually('the refused room is open', () => refusedListener.heard.length > 0)
  t.same(refusedListener.heard, ['subscribed'])
  t.same(allowedListener.heard, ['subscribed'])
  t.equal(lines.filter(({ msg }) => msg === 'redis does not subscribe, retrying').length, 1)
  t.equal(lines.filter(({ msg }) => msg === 'redis subscribes again').length, 1)
})

t.test('an end with a payload that is too large ends the room with an empty one', async (t) => {
  const { broker, lines } = connectBroker(t, redis, { maxMessageBytes: 10 })
  const room = crypto.randomUUID()
  const listener = new RecordingListener()
  broker.subscribe(room, listener)
  await eventually('the room is open', () => listener.heard.length > 0)
  await tenant.publish(`${room}_END`, 'x'.repeat(11))
  await eventually('the end is heard', () => listener.heard.length > 1)
  t.same(listener.heard, ['subscribed', 'end {}'])
  t.ok(lines.some(({ bound, bytes }) => bound === 'MAX_MESSAGE_BYTES' && bytes === 11))
})

t.test('a room that is finished while Redis takes no commands is finished when it does again', async (t) => {
  const redis = await startRedis(t)
  const tenant = connectTenant(t, redis)
  const { broker, commands } = connectBroker(t, redis)
  await eventually('the broker is connected', () => commands.status === 'ready')
  const room = crypto.randomUUID()
  const term = await own(broker, room)
  await tenant.acl('SETUSER', 'default', '-set')
  broker.finish(room, term, { term, n: 0 }, 'over')
  await eventually('it was refused', async () => /\brejected_calls=[1-9]/.test(/cmdstat_set:.*/.exec(await tenant.info('commandstats'))?.[0] ?? ''))
  await tenant.acl('SETUSER', 'default', '+set')
  await eventually('the end is remembered', async () => await tenant.get(`chat:{${room}}:ended`) === 'over')
})

t.test('what is appended while Redis is away fails with a clear error, and is not written when it is back', async (t) => {
  const redis = await startRedis(t)
  const { broker, commands } = connectBroker(t, redis)
  await eventually('the broker is connected', () => broker.connected && commands.status === 'ready')
  const room = crypto.randomUUID()
  const term = await own(broker, room)
  redis.signal('SIGSTOP')
  t.teardown(() => redis.signal('SIGCONT'))
  const entry = { kind: 'batch', from: { term, n: 0 }, to: { term, n: 1 }, data: '["x"]' } as const
  await t.rejects(broker.append(room, term, entry, KEEP_ALL), BrokerUnavailableError)
  await eventually('the loss is noticed', () => !broker.connected && commands.status !== 'ready')
  await t.rejects(broker.append(room, term, entry, KEEP_ALL), BrokerUnavailableError)
  const calls: Array<() => Promise<unknown>> = [() => broker.claim(room, undefined, 0, true), () => broker.readLog(room, undefined), () => broker.readParked(room),
    () => broker.follow(room), () => broker.mark(room, 'x'), () => broker.beat(1000), () => broker.release(room, term, false)]
  for (const call of calls) await t.rejects(async () => { await call() }, BrokerUnavailableError)
  redis.signal('SIGCONT')
  await eventually('it is back', () => broker.connected && commands.status === 'ready')
  // The first may have arrived before the connection was given up, the second was never sent.
  t.ok((await broker.readLog(room, undefined)).length <= 1)
})

t.test('what many rooms log in one turn leaves with one write', async (t) => {
  const { broker, commands } = connectBroker(t, redis)
  await eventually('the broker is connected', () => broker.connected && commands.status === 'ready')
  const rooms = await Promise.all(Array.from({ length: 100 }, async () => {
    const room = crypto.randomUUID()
    await listen(broker, room)
    return { room, term: await own(broker, room) }
  }))
  const { stream } = commands
  let writes = 0
  for (const method of ['_write', '_writev'] as const) {
    const original = stream[method]
    Object.assign(stream, {
      [method] (...args: unknown[]) {
        writes++
        return Reflect.apply(original ?? t.fail, stream, args)
      }
    })
  }
  const governor = new FlushGovernor({ minIntervalMs: 20, maxIntervalMs: 20, clock: systemClock, log: recordLog().log })
  const logged = rooms.map(async ({ room, term }, index) => await new Promise<boolean>((resolve, reject) => {
    const pacer: FlushPacer = new FlushPacer(systemClock, governor, () => 20, {
      isWriting: false,
      flush () {
        broker.append(room, term, { kind: 'gap', from: { term, n: 0 }, to: { term, n: 0 }, data: '{}' }, KEEP_ALL).then(resolve, reject)
        return true
      }
    })
    // Some are quiet, the others rest.
    if (index % 2 === 0) pacer.onWritten(true)
    pacer.request()
  }))
  t.ok((await Promise.all(logged)).every(Boolean))
  t.ok(writes < 25, `${writes}`)
})

t.test('appends keep their order also when Redis has forgotten the scripts', async (t) => {
  const redis = await startRedis(t)
  const { broker, commands } = connectBroker(t, redis)
  await eventually('the broker is connected', () => broker.connected && commands.status === 'ready')
  await redis.kill()
  await eventually('the loss is noticed', () => commands.status !== 'ready')
  await redis.restart()
  await eventually('it is back', () => commands.status === 'ready')
  const room = crypto.randomUUID()
  const term = await own(broker, room)
  await logMessages(t, broker, room, term, 50)
  t.equal((await broker.readLog(room, undefined)).length, 50)
})

t.test('messages that are counted are announced to the billing before', async (t) => {
  const { broker, commands } = connectBroker(t, redis, { isMetered: true })
  await eventually('the broker is connected', () => commands.status === 'ready')
  const room = crypto.randomUUID()
  const term = await own(broker, room)
  t.equal(await tenant.zscore('chat:billing:rooms', room), null, 'who owns a room has not said anything yet')
  await broker.append(room, term, { kind: 'gap', from: { term, n: 0 }, to: { term, n: 0 }, data: '{}' }, KEEP_ALL)
  t.equal(await tenant.get(`chat:{${room}}:unbilled`), null, 'a gap costs nothing')
  t.equal(await tenant.zscore('chat:billing:rooms', room), null)
  await logMessages(t, broker, room, term, 3)
  t.not(await tenant.zscore('chat:billing:rooms', room), null)
  t.equal(await tenant.get(`chat:{${room}}:unbilled`), '3')
  t.equal(await broker.append(room, term, { kind: 'batch', from: { term, n: 9 }, to: { term, n: 10 }, data: '["x"]' }, KEEP_ALL), false)
  t.equal(await tenant.get(`chat:{${room}}:unbilled`), '3', 'nor what is refused')
})

t.test('a message that is too large is dropped, counted and said once in the log', async (t) => {
  const { broker, lines } = connectBroker(t, redis, { maxMessageBytes: 10 })
  const room = crypto.randomUUID()
  const listener = await listen(broker, room)
  for (const message of ['0123456789', '0123456789x', '가나다라', '가나다', '0123456789y']) await tenant.publish(room, message)
  await eventually('the others have come', () => listener.heard.length === 3)
  t.same(listener.heard, ['subscribed', 'message 0123456789', 'message 가나다'])
  await tenant.publish(room, 'last')
  await eventually('the last has come', () => listener.heard.length === 4)
  t.match(lines.filter(({ bound }) => bound), [{ roomId: room, bytes: 11, dropped: 1, level: 40, bound: 'MAX_MESSAGE_BYTES' }])
  t.equal(lines.filter(({ bound }) => bound).length, 1)
})

t.test('commands that Redis refuses are said once, without what was in them', async (t) => {
  const redis = await startRedis(t)
  const tenant = connectTenant(t, redis)
  const { broker, commands, lines } = connectBroker(t, redis)
  await eventually('the broker is connected', () => commands.status === 'ready')
  await tenant.acl('SETUSER', 'default', '-xadd')
  const room = crypto.randomUUID()
  const term = await own(broker, room)
  const entry = { kind: 'batch', from: { term, n: 0 }, to: { term, n: 1 }, data: '["a secret"]' } as const
  for (let attempt = 0; attempt < 3; attempt++) await t.rejects(broker.append(room, term, entry, KEEP_ALL), BrokerUnavailableError)
  t.equal(lines.filter(({ msg }) => msg === 'redis refuses a command, retrying').length, 1)
  t.notMatch(JSON.stringify(lines), /secret/)
  t.same(await broker.readLog(room, undefined), [])
})

t.test('viewers of all instances are counted, but not those of dead ones, which also own nothing', async (t) => {
  const [one, other] = [connectBroker(t, redis).broker, connectBroker(t, redis).broker]
  await eventually('both are connected', () => one.connected && other.connected)
  const room = crypto.randomUUID()
  const listener = await listen(one, room)
  for (const broker of [one, other]) await broker.beat(60_000)
  await own(other, room)
  await one.post([{ roomId: room, viewers: 2, dead: [] }])
  await other.post([{ roomId: room, viewers: 3, dead: [] }])
  t.match(await one.look(room), { viewers: 5, owner: other.instance })
  await other.beat(0)
  t.match(await one.look(room), { viewers: 2, owner: undefined })
  await one.post([{ roomId: room, viewers: 2, dead: [other.instance, 'unknown'] }])
  await eventually('all is heard', () => listener.counts.length === 3)
  t.same(listener.counts, [{ [one.instance]: 2 }, { [one.instance]: 2, [other.instance]: 3 }, { [one.instance]: 2 }])
  t.same(await tenant.hgetall(`chat:{${room}}:viewers`), { [one.instance]: '2' })
})

t.test('what nobody says anything of any more is forgotten by Redis', async (t) => {
  const { broker } = connectBroker(t, redis)
  await eventually('it is connected', () => broker.connected)
  const room = crypto.randomUUID()
  await broker.post([{ roomId: room, viewers: 2, dead: [] }])
  const ttlMs = await tenant.pttl(`chat:{${room}}:viewers`)
  t.ok(ttlMs > 80_000_000 && ttlMs <= 86_400_000)
  await broker.post([{ roomId: room, viewers: 0, dead: [] }])
  t.equal(await tenant.exists(`chat:{${room}}:viewers`), 0)
})

t.test('what somebody else publishes about viewers does no harm', async (t) => {
  const { broker } = connectBroker(t, redis)
  const room = crypto.randomUUID()
  const listener = await listen(broker, room)
  for (const text of ['viewers', 'viewers a', 'viewers a -1', 'viewers a 1.5', 'viewers a 9999999999', 'viewers  1', `viewers ${'a 1 '.repeat(20_000)}`]) await tenant.publish(`chat:{${room}}:signals`, text)
  await tenant.publish(`chat:{${room}}:signals`, 'viewers a 1 b 2')
  await eventually('the last is heard', () => listener.counts.length > 0 && listener.counts.at(-1)?.['b'] === 2)
  t.same(listener.counts.filter((counts) => Object.keys(counts).length > 0), [{ a: 1, b: 2 }])
  t.same(listener.signals, [])
})

t.test('while Redis is away, a room cannot be looked at, nor anything said of it', async (t) => {
  const redis = await startRedis(t)
  const { broker, commands } = connectBroker(t, redis)
  await eventually('the broker is connected', () => broker.connected && commands.status === 'ready')
  await redis.kill()
  await eventually('the loss is noticed', () => commands.status !== 'ready')
  await t.rejects(broker.look(crypto.randomUUID()), BrokerUnavailableError)
  await t.rejects(broker.post([{ roomId: crypto.randomUUID(), viewers: 1, dead: [] }]), BrokerUnavailableError)
})
