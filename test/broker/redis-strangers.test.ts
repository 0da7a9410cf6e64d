import t, { type Test } from 'tap'
import { KEEP_ALL, batchAfter, listen, logMessages, own } from '../fixtures/broker-contract.js'
import { eventually } from '../fixtures/eventually.js'
import { connectBroker, connectTenant, startRedis } from '../fixtures/redis.js'

/** What is under our keys although no instance has put it there. */
const redis = await startRedis(t)
const tenant = connectTenant(t, redis)

async function connect (t: Test, options = {}) {
  const { broker, commands, lines } = connectBroker(t, redis, options)
  await eventually('the broker is connected', () => broker.connected && commands.status === 'ready')
  return { broker, room: crypto.randomUUID(), said: (sentence: string) => lines.filter(({ msg }) => msg === sentence) }
}

const MENDED = 'a key in redis was of another type, it is made anew'

t.test('the key of the instances is made anew when it has another type, and forgets who would live for ever', async (t) => {
  const { broker, said } = await connect(t)
  await tenant.del('chat:instances')
  await tenant.hset('chat:instances', 'a', 'hash')
  t.same(await broker.beat(10_000), [broker.instance])
  t.match(said(MENDED), [{ level: 50, key: 'chat:instances' }])
  await tenant.zadd('chat:instances', '+inf', 'immortal', Date.now() + 1e11, 'Methuselah', Date.now() + 1000, 'another one')
  t.same((await broker.beat(10_000)).sort(), [broker.instance, 'another one'].sort())
  t.equal(said(MENDED).length, 1)
})

t.test('the key of the viewers of a room is made anew when it has another type', async (t) => {
  const { broker, room, said } = await connect(t)
  const other = crypto.randomUUID()
  const listener = await listen(broker, room)
  await tenant.set(`chat:{${room}}:viewers`, 'a string')
  await broker.post([{ roomId: room, viewers: 2, dead: [] }, { roomId: other, viewers: 1, dead: [] }])
  await eventually('it is heard', () => listener.counts.length === 1)
  t.same(await tenant.hgetall(`chat:{${room}}:viewers`), { [broker.instance]: '2' })
  t.match(said(MENDED), [{ roomId: room }])
})

t.test('what is no count is set aside, and what is logged is counted all the same', async (t) => {
  const { broker, said } = await connect(t, { isMetered: true })
  for (const put of [(key: string) => tenant.set(key, 'x'), (key: string) => tenant.sadd(key, 'x'), (key: string) => tenant.set(key, '9223372036854775807')]) {
    const room = crypto.randomUUID()
    const listener = await listen(broker, room)
    await broker.follow(room)
    const key = `chat:{${room}}:unbilled`
    await put(key)
    await logMessages(t, broker, room, await own(broker, room), 3)
    t.equal(await tenant.get(key), '3')
    t.equal(await tenant.exists(`${key}:broken`), 1)
    t.equal(await tenant.xlen(`chat:{${room}}:log`), 3)
    await eventually('followers have heard all', () => listener.heard.filter((text) => text.startsWith('logged')).length === 3)
    t.match(said('what was not billed of a room was no count, it is set aside').at(-1), { level: 50, roomId: room })
  }
})

t.test('a log of another type is refused before anything is counted or told, and the room is named', async (t) => {
  const { broker, room, said } = await connect(t, { isMetered: true })
  const term = await own(broker, room)
  await tenant.set(`chat:{${room}}:log`, 'a string')
  await t.rejects(broker.append(room, term, batchAfter({ term, n: 0 }, term, 'x'), KEEP_ALL), /WRONGTYPE/)
  t.equal(await tenant.exists(`chat:{${room}}:unbilled`), 0)
  t.equal(await tenant.hget(`chat:{${room}}:owner`, 'tail'), null)
  t.match(said('redis refuses a command, retrying'), [{ roomId: room }])
})

t.test('no more is read of what is parked than publish.lua parks', async (t) => {
  const { broker, room, said } = await connect(t)
  await tenant.rpush(`chat:{${room}}:pending`, ...Array.from({ length: 3000 }, (_, n) => String(n)))
  const parked = await broker.readParked(room)
  t.same([parked.length, parked[0], parked.at(-1)], [1000, '0', '999'])
  t.equal(await tenant.llen(`chat:{${room}}:pending`), 1000)
  t.match(said('more messages are parked than may be, the later ones are dropped'), [{ roomId: room, bound: 'MAX_PARKED' }])
  t.equal((await broker.readParked(room)).length, 1000)
  t.equal(said('more messages are parked than may be, the later ones are dropped').length, 1)
})

t.test('whatever tail, term or last entry stands there, a claim gives a term above which there is place, and a log that goes on', async (t) => {
  const { broker } = await connect(t)
  const now = Date.now()
  const absurd = ['x', '', '-', '1', `${now}-x`, '999999999999999-1', '99999999999999-5', '9999999999999-5', `${now}-999999999999999`, '18446744073709551615-18446744073709551615', `${now}-1 `]
  for (const tail of absurd) {
    const room = crypto.randomUUID()
    await tenant.hset(`chat:{${room}}:owner`, { instance: '', tail, term: tail.split('-')[0] ?? '' })
    if (/^\d+-\d+$/.test(tail)) await tenant.xadd(`chat:{${room}}:log`, tail, 'x', 'y')
    const term = await own(broker, room)
    t.ok(term < now + 1e12, tail)
    await logMessages(t, broker, room, term, 2)
    // Another one that takes over finds the same.
    const { broker: heir } = await connect(t)
    t.match(await heir.claim(room, { instance: broker.instance, term }, 0, true), { type: 'claimed', tail: { term, n: 2 } }, tail)
  }
})
