import t from 'tap'
import { Expiries } from '../src/expiries.js'
import { ManualClock } from './fixtures/manual-clock.js'

const START_MS = 1_790_000_000_000

function create () {
  const clock = new ManualClock(START_MS)
  const expired: Array<[item: string, afterMs: number]> = []
  const expiries = new Expiries<string>(clock, (item) => expired.push([item, clock.now()]))
  return { clock, expired, expiries, add: (item: string, afterMs: number) => expiries.add(item, START_MS + afterMs) }
}

t.test('each item expires once, at its time or up to a second later', async (t) => {
  const { clock, expired, add } = create()
  const items: Array<[string, number]> = [['a', 500], ['b', 1000], ['c', 1001], ['d', 90_000], ['e', 3500]]
  for (const [item, afterMs] of items) add(item, afterMs)
  clock.advance(200_000)
  t.same(expired.map(([item]) => item), ['a', 'b', 'c', 'e', 'd'])
  for (const [item, atMs] of expired) {
    const dueMs = items.find(([name]) => name === item)?.[1] ?? NaN
    t.ok(atMs >= dueMs && atMs < dueMs + 2000, `${item} at ${atMs}`)
  }
})

t.test('what has expired before it came expires soon', async (t) => {
  const { clock, expired, add } = create()
  add('late', -100_000)
  clock.advance(2000)
  add('later', -100_000)
  clock.advance(2000)
  t.same(expired.map(([item]) => item), ['late', 'later'])
})

t.test('a moment may be farther off than a timer can wait, and need not come', async (t) => {
  const { clock, expired, add } = create()
  const yearMs = 365 * 86_400_000
  add('in a year', yearMs)
  add('never', Infinity)
  clock.spend(yearMs - 5000)
  clock.advance(3000)
  t.same(expired, [])
  clock.advance(4000)
  t.same(expired.map(([item]) => item), ['in a year'])
})

t.test('a forgotten item does not expire, and nothing is kept of it', async (t) => {
  const { clock, expired, add } = create()
  const forget = add('a', 1000)
  add('b', 1000)
  forget()
  forget()
  clock.advance(5000)
  t.same(expired.map(([item]) => item), ['b'])
  t.equal(clock.timers, 0)
})

t.test('many items need one timer, and none when there is nothing to wait for', async (t) => {
  const { clock, expired, add, expiries } = create()
  t.equal(clock.timers, 0)
  for (let n = 0; n < 1000; n++) add(String(n), n * 100)
  t.equal(clock.timers, 1)
  clock.advance(50_000)
  t.equal(clock.timers, 1)
  clock.advance(60_000)
  t.same([clock.timers, expired.length], [0, 1000])
  add('x', 200_000)
  expiries.clear()
  t.equal(clock.timers, 0)
})

t.test('many that expire together are told in several turns, and those that left meanwhile are not', async (t) => {
  const { clock, expired, add } = create()
  const forgets = Array.from({ length: 1200 }, (_, n) => add(String(n), 500))
  const soon = clock.soon.bind(clock)
  const perTurn: number[] = []
  clock.soon = (callback) => soon(() => {
    perTurn.push(expired.length)
    forgets.at(-1)?.()
    callback()
  })
  clock.advance(1000)
  clock.turn()
  clock.turn()
  t.same(perTurn, [500, 1000])
  t.equal(expired.length, 1199)
})

t.test('a wall clock that is set back delays, and loses nothing', async (t) => {
  const { clock, expired, expiries, add } = create()
  add('first', 10_000)
  clock.advance(11_000)
  const epochMs = clock.epochMs.bind(clock)
  clock.epochMs = () => epochMs() - 8000
  expiries.add('second', clock.epochMs() + 1000)
  clock.advance(20_000)
  t.same(expired.map(([item]) => item), ['first', 'second'])
})
