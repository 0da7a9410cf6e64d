import t from 'tap'
import { TimeoutQueue } from '../src/timeout-queue.js'
import { ManualClock } from './fixtures/manual-clock.js'

function create () {
  const clock = new ManualClock()
  const expired: string[] = []
  const queue = new TimeoutQueue<string>(clock, 100, (item) => expired.push(item))
  return { clock, expired, queue }
}

t.test('an item that is not touched times out once', async (t) => {
  const { clock, expired, queue } = create()
  queue.touch('a')
  clock.advance(99)
  t.same(expired, [])
  clock.advance(1)
  t.same(expired, ['a'])
  clock.advance(1000)
  t.same(expired, ['a'])
})

t.test('touching an item starts its wait anew', async (t) => {
  const { clock, expired, queue } = create()
  queue.touch('a')
  queue.touch('b')
  clock.advance(60)
  queue.touch('a')
  clock.advance(40)
  t.same(expired, ['b'])
  clock.advance(60)
  t.same(expired, ['b', 'a'])
})

t.test('a deleted item does not time out', async (t) => {
  const { clock, expired, queue } = create()
  queue.touch('a')
  queue.delete('a')
  clock.advance(1000)
  t.same(expired, [])
})

t.test('many items need one timer, and none when there is nothing to wait for', async (t) => {
  const { clock, queue } = create()
  t.equal(clock.timers, 0)
  for (let i = 0; i < 1000; i++) queue.touch(String(i))
  t.equal(clock.timers, 1)
  clock.advance(100)
  t.equal(clock.timers, 0)
})

t.test('an item touched again while it times out waits again', async (t) => {
  const clock = new ManualClock()
  let beats = 0
  const queue = new TimeoutQueue<string>(clock, 100, (item) => {
    beats++
    queue.touch(item)
  })
  queue.touch('a')
  clock.advance(1000)
  t.equal(beats, 10)
  t.equal(clock.timers, 1)
  queue.clear()
  t.equal(clock.timers, 0)
})

t.test('items whose waits end close together are few wake-ups, none early and none late by more than a hundredth', async (t) => {
  const clock = new ManualClock()
  const waits: number[] = []
  const startedAtMs = new Map<number, number>()
  const queue = new TimeoutQueue<number>(clock, 10_000, (item) => waits.push(clock.now() - (startedAtMs.get(item) ?? NaN)))
  let wakeUps = 0
  const after = clock.after.bind(clock)
  clock.after = (delayMs, callback) => after(delayMs, () => {
    wakeUps++
    callback()
  })
  for (let item = 0; item < 1000; item++) {
    startedAtMs.set(item, clock.now())
    queue.touch(item)
    clock.advance(1)
  }
  clock.advance(10_000)
  t.equal(waits.length, 1000)
  t.ok(waits.every((waitMs) => waitMs >= 10_000 && waitMs <= 10_100))
  t.ok(wakeUps <= 12, `${wakeUps} wake-ups`)
})
