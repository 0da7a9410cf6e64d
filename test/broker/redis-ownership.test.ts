import t, { type Test } from 'tap'
import { batchAfter, KEEP_ALL, listen, logMessages, own } from '../fixtures/broker-contract.js'
import { eventually } from '../fixtures/eventually.js'
import { connectBroker, connectTenant, startRedis } from '../fixtures/redis.js'

const redis = await startRedis(t)
const tenant = connectTenant(t, redis)
const YEAR_MS = 31_536_000_000

/** The brokers of so many instances, and a room of them. */
async function connect (t: Test, count: number) {
  const brokers = Array.from({ length: count }, () => connectBroker(t, redis))
  await eventually('all are connected', () => brokers.every(({ broker }) => broker.connected))
  const [a, b = a, c = a] = brokers.map(({ broker }) => broker)
  if (a === undefined || b === undefined || c === undefined) throw new Error('no broker')
  return { a, b, c, room: crypto.randomUUID() }
}

t.test('of many who claim a room at once one gets it, and the others are told who', async (t) => {
  const { a, b, c, room } = await connect(t, 3)
  const outcomes = await Promise.all([a, b, c].map((broker) => broker.claim(room, undefined, 0, true)))
  const winners = outcomes.filter(({ type }) => type === 'claimed')
  t.equal(winners.length, 1)
  const owner = { instance: [a, b, c][outcomes.findIndex(({ type }) => type === 'claimed')]?.instance, term: winners[0]?.type === 'claimed' ? winners[0].term : NaN }
  for (const outcome of outcomes) if (outcome.type !== 'claimed') t.same(outcome, { type: 'owned', owner, endPayload: undefined })
})

t.test('an owner that is dead is replaced by one of those who name it, and is fenced from then on', async (t) => {
  const { a, b, c, room } = await connect(t, 3)
  const term = await own(a, room)
  await logMessages(t, a, room, term, 2)
  const dead = { instance: a.instance, term }
  const outcomes = await Promise.all([b, c].map((broker) => broker.claim(room, dead, 0, true)))
  t.same(outcomes.map(({ type }) => type).sort(), ['claimed', 'owned'])
  t.match(outcomes.find(({ type }) => type === 'claimed'), { tail: { term, n: 2 } })
  t.equal(await a.append(room, term, batchAfter({ term, n: 2 }, term, 'too late'), KEEP_ALL), false)
  t.equal(await a.release(room, term, false), false)
  a.finish(room, term, { term, n: 2 }, '{}')
  a.answerMark(room, term, 'word', 2)
  await a.beat(10_000)
  t.match(await b.claim(room, undefined, 0, true), { type: 'owned', endPayload: undefined }, 'it ends nothing')
  t.equal((await a.readLog(room, undefined)).length, 2)
})

t.test('an entry that does not follow the last one is refused', async (t) => {
  const { a, room } = await connect(t, 1)
  const term = await own(a, room)
  await logMessages(t, a, room, term, 2)
  for (const from of [{ term, n: 1 }, { term, n: 3 }, { term: term - 1, n: 2 }]) {
    t.equal(await a.append(room, term, batchAfter(from, term, 'x'), KEEP_ALL), false)
  }
  t.equal(await a.append(room, term, batchAfter({ term, n: 2 }, term, 'x'), KEEP_ALL), true)
  t.equal((await a.readLog(room, undefined)).length, 3)
})

t.test('a new term is above the last owner\'s and the last in the log, wherever the clocks were', async (t) => {
  const { a, room } = await connect(t, 1)
  const future = Date.now() + YEAR_MS
  await tenant.hset(`chat:{${room}}:owner`, { instance: '', term: String(future) })
  t.equal(await own(a, room), future + 1, 'the key was written in the future')
  const other = crypto.randomUUID()
  await tenant.xadd(`chat:{${other}}:log`, `${future}-7`, 'kind', 'batch')
  t.match(await a.claim(other, undefined, 0, true), { type: 'claimed', term: future + 1, tail: { term: future, n: 7 } }, 'only the log is left')
})

t.test('after Redis has lost its data the owner is refused, and its next term is above its last', async (t) => {
  const redis = await startRedis(t)
  const tenant = connectTenant(t, redis)
  const { broker } = connectBroker(t, redis)
  await eventually('the broker is connected', () => broker.connected)
  const room = crypto.randomUUID()
  const outcome = await broker.claim(room, undefined, Date.now() + YEAR_MS, true)
  const term = outcome.type === 'claimed' ? outcome.term : NaN
  await logMessages(t, broker, room, term, 2)
  await tenant.flushall()
  const next = batchAfter({ term, n: 2 }, term, 'x')
  t.equal(await broker.append(room, term, next, KEEP_ALL), false)
  t.match(await broker.claim(room, undefined, term, true), { type: 'claimed', term: term + 1, tail: undefined })
  t.equal(await broker.append(room, term + 1, batchAfter(next.from, term + 1, 'x'), KEEP_ALL), true, 'the log goes on anywhere')
})

t.test('who follows hears what is logged from then on, exactly, and the end; who does not hears nothing of it', async (t) => {
  const { a, b, c, room } = await connect(t, 3)
  const term = await own(a, room)
  const [listener, other] = [await listen(b, room), await listen(c, room)]
  await logMessages(t, a, room, term, 1)
  await b.follow(room)
  const entry = batchAfter({ term, n: 1 }, term, '안녕', '\n"')
  await a.append(room, term, entry, KEEP_ALL)
  a.finish(room, term, entry.to, 'over\n')
  await eventually('the end has come', () => listener.heard.length === 3)
  t.same(listener.heard, ['subscribed', `logged batch ${term}-1 ${term}-3 ${entry.data}`, `logged end ${term}-3 ${term}-3 over\n`])
  b.unfollow(room)
  await tenant.publish(room, 'last')
  await eventually('a later message has come', () => other.heard.length === 2)
  t.same(other.heard, ['subscribed', 'message last'])
})

t.test('a mark is heard by all, at one place among the messages, and answered to those who follow', async (t) => {
  const { a, b, room } = await connect(t, 2)
  const [owner, follower] = [await listen(a, room), await listen(b, room)]
  t.same(await b.mark(room, 'nobody'), { owner: undefined, tail: undefined }, 'nobody could answer')
  const term = await own(a, room)
  await logMessages(t, a, room, term, 4)
  await b.follow(room)
  t.same(await b.mark(room, 'b.1'), { owner: { instance: a.instance, term }, tail: { term, n: 4 } })
  const mark = { type: 'mark', instance: b.instance, word: 'b.1' }
  await eventually('both have heard the mark', () => [owner, follower].every(({ signals }) => signals.some(({ type }) => type === 'mark')))
  a.answerMark(room, term - 1, 'b.1', 3)
  a.answerMark(room, term, 'b.1', 4)
  await eventually('the answer has come', () => follower.signals.some(({ type }) => type === 'marked'))
  const claimed = { type: 'claimed', instance: a.instance, term }
  t.same(follower.signals, [claimed, mark, { type: 'marked', word: 'b.1', term, n: 4 }])
  t.same(owner.signals, [claimed, mark])
})

t.test('a room that was given up goes first to who has heard all of it, for a while', async (t) => {
  const { a, b, c, room } = await connect(t, 3)
  const listener = await listen(c, room)
  const term = await own(a, room)
  await b.follow(room)
  t.equal(await a.release(room, term, true), true)
  await eventually('all are told', () => listener.signals.length === 2)
  t.same(listener.signals, [{ type: 'claimed', instance: a.instance, term }, { type: 'released', instance: a.instance, term }])
  t.same(await c.claim(room, undefined, 0, false), { type: 'wait' })
  t.match(await b.claim(room, undefined, 0, true), { type: 'claimed' })
})

t.test('if nobody has heard all of it, somebody else gets it after that while', async (t) => {
  const { a, b, c, room } = await connect(t, 3)
  const term = await own(a, room)
  await b.follow(room)
  await a.release(room, term, false)
  t.same(await c.claim(room, undefined, 0, false), { type: 'wait' })
  await eventually('it is had', async () => (await c.claim(room, undefined, 0, false)).type === 'claimed')
})

t.test('where nobody followed there is nobody to wait for', async (t) => {
  const { a, b, room } = await connect(t, 2)
  await a.release(room, await own(a, room), false)
  t.match(await b.claim(room, undefined, 0, false), { type: 'claimed' })
})

t.test('instances know of each other until they leave, or their lease runs out', async (t) => {
  const { a, b, c } = await connect(t, 3)
  await a.beat(60_000)
  await b.beat(60_000)
  t.ok((await a.beat(60_000)).includes(b.instance))
  t.notOk((await b.beat(0)).includes(b.instance))
  t.notOk((await a.beat(60_000)).includes(b.instance))
  await c.beat(50)
  await eventually('its lease has run out', async () => !(await a.beat(60_000)).includes(c.instance))
})
