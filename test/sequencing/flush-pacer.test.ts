import t from 'tap'
import { FlushGovernor } from '../../src/flush-governor.js'
import { FlushPacer } from '../../src/sequencing/flush-pacer.js'
import { ManualClock } from '../fixtures/manual-clock.js'
import { recordLog } from '../fixtures/redis.js'

const governorOf = (clock: ManualClock) => new FlushGovernor({ minIntervalMs: 50, maxIntervalMs: 50, clock, log: recordLog().log })

function create () {
  const clock = new ManualClock()
  const batches: string[][] = []
  let waiting: string[] = []
  const room = {
    isWriting: false,
    flush () {
      if (waiting.length === 0) return false
      batches.push(waiting)
      waiting = []
      return true
    }
  }
  const pacer: FlushPacer = new FlushPacer(clock, governorOf(clock), () => 50, room)
  const add = (...messages: string[]) => messages.forEach((message) => {
    waiting.push(message)
    pacer.request()
  })
  return { clock, batches, pacer, room, add, takeAll: () => waiting.splice(0) }
}

t.test('a quiet room flushes at the end of the turn, with all that came in it', async (t) => {
  const { clock, batches, add } = create()
  add('1', '2')
  t.same(batches, [])
  clock.turn()
  t.same(batches, [['1', '2']])
})

t.test('a busy room flushes once per interval, in order', async (t) => {
  const { clock, batches, add } = create()
  for (let ms = 0; ms < 200; ms++) {
    add(String(ms))
    clock.advance(1)
  }
  clock.advance(50)
  t.equal(batches.length, 5)
  t.same(batches.flat(), Array.from({ length: 200 }, (_, ms) => String(ms)))
})

t.test('the interval runs from flush to flush, and half of it is a rest, whatever a flush takes', async (t) => {
  for (const { writingMs, periodMs } of [{ writingMs: 0, periodMs: 50 }, { writingMs: 20, periodMs: 50 }, { writingMs: 40, periodMs: 65 }, { writingMs: 100, periodMs: 125 }]) {
    const { clock, batches, pacer, room, add } = create()
    add('1')
    clock.turn()
    t.same(batches, [['1']])
    room.isWriting = true
    add('2')
    clock.advance(writingMs)
    add('3')
    t.equal(clock.timers, 0)
    room.isWriting = false
    pacer.onWritten(true)
    clock.advance(periodMs - writingMs - 1)
    t.equal(batches.length, 1, `${writingMs} ms of writing`)
    clock.advance(1)
    t.same(batches, [['1'], ['2', '3']])
  }
})

t.test('nothing is flushed while something else is being written', async (t) => {
  const { clock, batches, pacer, room, add } = create()
  add('1')
  room.isWriting = true
  clock.advance(1000)
  t.same(batches, [])
  room.isWriting = false
  pacer.onWritten(true)
  clock.advance(50)
  t.same(batches, [['1']])
})

t.test('a quiet room runs no timer, not even after a message, and its next message goes out at once', async (t) => {
  const { clock, batches, add } = create()
  add('1')
  clock.turn()
  t.equal(clock.timers, 0)
  clock.advance(50)
  add('2')
  clock.turn()
  t.same(batches, [['1'], ['2']])
})

t.test('what others have taken meanwhile needs no rest', async (t) => {
  const { clock, batches, add, takeAll } = create()
  add('1')
  takeAll()
  clock.turn()
  t.same(batches, [])
  t.equal(clock.timers, 0)
  add('2')
  clock.turn()
  t.same(batches, [['2']])
})

t.test('a stopped pacer flushes nothing more, until it is requested again', async (t) => {
  const { clock, batches, pacer, add } = create()
  add('1')
  pacer.stop()
  clock.advance(1000)
  t.same(batches, [], 'stopped before the first flush')
  pacer.request()
  clock.turn()
  add('2')
  pacer.stop()
  t.equal(clock.timers, 0)
  clock.advance(1000)
  t.same(batches, [['1']], 'stopped while it rested')
  add('3')
  clock.turn()
  t.same(batches, [['1'], ['2', '3']], 'requested again')
})

t.test('a flush that stops the pacer, because nothing more is to be said, leaves no timer', async (t) => {
  const clock = new ManualClock()
  let flushes = 0
  const pacer: FlushPacer = new FlushPacer(clock, governorOf(clock), () => 50, {
    isWriting: false,
    flush () {
      flushes++
      pacer.stop()
      return true
    }
  })
  pacer.request()
  clock.turn()
  t.equal(flushes, 1)
  clock.advance(1000)
  t.equal(flushes, 1)
  pacer.request()
  clock.turn()
  t.equal(flushes, 2)
})
