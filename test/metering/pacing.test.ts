import t from 'tap'
import { Pacing } from '../../src/metering/pacing.js'
import { ManualClock } from '../fixtures/manual-clock.js'
import { recordLog } from '../fixtures/redis.js'

function create () {
  const clock = new ManualClock()
  const { lines, log } = recordLog()
  const pacing = new Pacing(clock, log)
  const fail = (roomId: string, retryAfterMs?: number) => pacing.failed({ roomId, key: `key of ${roomId}`, count: 1 }, 'HTTP 500', retryAfterMs)
  /** How long, to 100 ms. */
  const wait = (isOver: () => boolean) => {
    const start = clock.now()
    while (!isOver()) clock.advance(100)
    return clock.now() - start
  }
  return { clock, lines, pacing, fail, wait }
}

t.test('a room that fails waits, each time twice as long, up to a minute and a half; others do not', async (t) => {
  const { pacing, fail, wait } = create()
  for (const expectedMs of [1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000]) {
    fail('a')
    pacing.answered('b', 1)
    t.notOk(pacing.isPaused)
    t.notOk(pacing.isWaiting('b'))
    const waitedMs = wait(() => !pacing.isWaiting('a'))
    t.ok(waitedMs >= expectedMs && waitedMs <= expectedMs * 1.5 + 100, `${waitedMs} of ${expectedMs}`)
  }
  pacing.answered('a', 1)
  fail('a')
  t.ok(wait(() => !pacing.isWaiting('a')) <= 1600, 'an answer ends the count')
})

t.test('rooms that failed together do not return together', async (t) => {
  const { clock, pacing, fail } = create()
  const rooms = Array.from({ length: 100 }, (_, n) => String(n))
  for (const room of rooms) fail(room)
  clock.advance(1250)
  const waiting = rooms.filter((room) => pacing.isWaiting(room)).length
  t.ok(waiting > 10 && waiting < 90, String(waiting))
})

t.test('after three failures in a row all wait, longer each time, and one request at a time finds out', async (t) => {
  const { pacing, fail, wait, lines } = create()
  t.equal(pacing.concurrency, 16)
  fail('a')
  fail('b')
  t.notOk(pacing.isPaused)
  // What was under way fails too.
  for (const room of ['c', 'd', 'e', 'f', 'g']) fail(room)
  for (const expectedMs of [1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000]) {
    t.equal(pacing.concurrency, 1)
    const waitedMs = wait(() => !pacing.isPaused)
    t.ok(waitedMs >= expectedMs && waitedMs <= expectedMs * 1.5 + 100, `${waitedMs} of ${expectedMs}`)
    fail('a')
  }
  t.same(lines, [{ level: 40, msg: 'the tenant API is not available, retrying', reason: 'HTTP 500' }])
})

t.test('when the tenant API is back nobody waits any longer, and how much came late is said once', async (t) => {
  const { pacing, fail, wait, lines } = create()
  for (const room of ['a', 'b', 'c']) fail(room)
  pacing.roundEnded()
  t.equal(lines.length, 1)
  wait(() => !pacing.isPaused)
  fail('d')
  wait(() => !pacing.isPaused)
  pacing.answered('a', 5)
  t.ok(['a', 'b', 'c', 'd'].every((room) => !pacing.isWaiting(room)))
  t.equal(pacing.concurrency, 16)
  t.ok(pacing.isCatchingUp)
  pacing.roundEnded()
  t.equal(lines.length, 1, 'what was counted meanwhile has its turn in the next round')
  pacing.answered('b', 7)
  pacing.roundEnded()
  pacing.roundEnded()
  t.same(lines.slice(1), [{ level: 30, msg: 'the tenant API is available again', billedLate: 12 }])
})

t.test('what the tenant API asks for is a pause for all, whoever answers meanwhile', async (t) => {
  const { pacing, fail, wait, lines } = create()
  fail('a', 120_000)
  pacing.answered('b', 1)
  t.equal(wait(() => !pacing.isPaused), 120_000)
  t.same(lines, [])
})

t.test('a room that goes on failing while others do not is said once', async (t) => {
  const { pacing, fail, lines } = create()
  for (let n = 0; n < 20; n++) {
    fail('a')
    pacing.answered('b', 1)
  }
  t.same(lines, [{ level: 40, msg: 'messages of a room cannot be billed, retrying', roomId: 'a', key: 'key of a', count: 1, reason: 'HTTP 500' }])
})
