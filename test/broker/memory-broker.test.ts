import t from 'tap'
import { MemoryBroker } from '../../src/broker/memory-broker.js'
import { systemClock } from '../../src/clock.js'
import { batchAfter, brokerContract, KEEP_ALL, listen, logMessages, own } from '../fixtures/broker-contract.js'
import { eventually } from '../fixtures/eventually.js'
import { ManualClock } from '../fixtures/manual-clock.js'

const OPTIONS = { clock: systemClock, endedTtlMs: 60_000, logTtlMs: 60_000 }

brokerContract(t, async () => ({ broker: new MemoryBroker(OPTIONS) }))

t.test('terms grow also while the clock stands still', async (t) => {
  const broker = new MemoryBroker({ ...OPTIONS, clock: new ManualClock(1_790_000_000_000) })
  const room = crypto.randomUUID()
  const term = await own(broker, room)
  await broker.release(room, term, false)
  t.same([term, await own(broker, room)], [1_790_000_000_000, 1_790_000_000_001])
})

t.test('messages are counted when they are logged, and gaps and what is refused are not', async (t) => {
  const counted: Array<[string, number]> = []
  const broker = new MemoryBroker({ ...OPTIONS, onLogged: (...count) => counted.push(count) })
  const room = crypto.randomUUID()
  const term = await own(broker, room)
  await broker.append(room, term, batchAfter({ term, n: 0 }, term, 'a', 'b'), KEEP_ALL)
  await broker.append(room, term, { kind: 'gap', from: { term, n: 2 }, to: { term, n: 2 }, data: '{}' }, KEEP_ALL)
  await broker.append(room, term - 1, batchAfter({ term, n: 2 }, term, 'c'), KEEP_ALL)
  t.same(counted, [[room, 2]])
})

t.test('an end and a log are kept for their time', async (t) => {
  const broker = new MemoryBroker({ ...OPTIONS, endedTtlMs: 30, logTtlMs: 30 })
  const [ended, logged] = [crypto.randomUUID(), crypto.randomUUID()]
  await broker.end(ended, '{}')
  t.equal(await broker.publish(ended, 'x'), 'room-ended')
  const term = await own(broker, logged)
  await logMessages(t, broker, logged, term, 1)
  await eventually('the log is forgotten', async () => (await broker.readLog(logged, undefined)).length === 0)
  await eventually('the end is forgotten', async () => await broker.publish(ended, 'x') === 'parked')
  t.equal(await broker.append(logged, term, batchAfter({ term, n: 1 }, term, 'x'), KEEP_ALL), false, 'with the log goes the ownership')
  t.match(await broker.claim(logged, undefined, term), { type: 'claimed', tail: undefined })
})

t.test('what one room parks is bounded also in bytes', async (t) => {
  const broker = new MemoryBroker(OPTIONS)
  const room = crypto.randomUUID()
  const outcomes = []
  for (let n = 0; n < 200; n++) outcomes.push(await broker.publish(room, 'x'.repeat(65_536)))
  t.ok(outcomes.indexOf('parking-full') > 100, 'some are parked')
  t.equal(outcomes.at(-1), 'parking-full')
  t.equal(await broker.publish(crypto.randomUUID(), 'x'), 'parked', 'another room is another matter')
})

t.test('of more rooms than it can hold, those used longest ago are forgotten', async (t) => {
  const broker = new MemoryBroker(OPTIONS)
  const rooms = Array.from({ length: 1200 }, () => crypto.randomUUID())
  for (const room of rooms) for (const message of ['x'.repeat(60_000), 'last']) t.equal(await broker.publish(room, message), 'parked')
  t.equal((await broker.readParked(rooms[0] ?? '')).length, 0)
  t.equal((await broker.readParked(rooms.at(-1) ?? '')).length, 2)
})

t.test('a closed broker tells nobody anything', async (t) => {
  const broker = new MemoryBroker(OPTIONS)
  const room = crypto.randomUUID()
  const listener = await listen(broker, room)
  broker.close()
  await broker.publish(room, 'x')
  await broker.end(room, '{}')
  t.same(listener.heard, ['subscribed'])
})
