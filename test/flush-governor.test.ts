import t from 'tap'
import { FlushGovernor } from '../src/flush-governor.js'
import { FlushPacer } from '../src/sequencing/flush-pacer.js'
import { ManualClock } from './fixtures/manual-clock.js'
import { recordLog } from './fixtures/redis.js'

function create (maxIntervalMs = 500) {
  const clock = new ManualClock()
  const { log, lines } = recordLog()
  const governor = new FlushGovernor({ minIntervalMs: 50, maxIntervalMs, clock, log })
  const load = { costMs: 1 }
  /** A room in which there is always something to flush. */
  const startRoom = () => {
    const pacer: FlushPacer = new FlushPacer(clock, governor, () => governor.intervalMs, {
      isWriting: false,
      flush () {
        clock.spend(load.costMs)
        clock.after(1, () => pacer.request())
        return true
      }
    })
    pacer.request()
  }
  return { clock, governor, load, lines, startRoom }
}

t.test('rests stay narrow while flushing takes little', async (t) => {
  const { clock, governor, startRoom } = create()
  startRoom()
  clock.advance(10_000)
  t.equal(governor.intervalMs, 50)
  t.equal(governor.widened, 0)
  t.ok(governor.flushes > 150)
  t.equal(governor.flushMs, governor.flushes * 1)
})

t.test('rests widen step by step while flushing takes most of the time, and no further than allowed', async (t) => {
  const { clock, governor, load, startRoom } = create()
  load.costMs = 2000
  startRoom()
  const widths = new Set<number>()
  for (let second = 0; second < 60; second++) {
    clock.advance(1000)
    widths.add(governor.intervalMs)
  }
  t.same([...widths], [50, 100, 150, 250, 350, 500])
})

t.test('rests widen to where flushing leaves time for other things, and no further', async (t) => {
  const { clock, governor, load, startRoom } = create()
  load.costMs = 150
  startRoom()
  clock.advance(30_000)
  t.equal(governor.intervalMs, 100)
  t.equal(governor.widened, 1)
  t.equal(governor.narrowed, 0, 'it does not swing')
})

t.test('what a flush takes after it has begun counts too', async (t) => {
  const { clock, governor } = create()
  for (let flush = 0; flush < 20; flush++) {
    governor.onFlush(1, 0)
    clock.spend(99)
    governor.onWritten(90)
  }
  t.equal(governor.flushMs, 20 * 91)
  t.ok(governor.intervalMs > 50)
})

t.test('rests narrow again when the load is over', async (t) => {
  const { clock, governor, load, lines, startRoom } = create()
  load.costMs = 900
  startRoom()
  clock.advance(30_000)
  t.ok(governor.intervalMs > 100)
  load.costMs = 1
  clock.advance(5000)
  t.equal(governor.intervalMs, 50)
  t.equal(governor.narrowed, governor.widened)
  t.match(lines.map(({ msg }) => msg), Array.from({ length: governor.widened }, () => 'the flush interval has widened'))
})

t.test('the first flush after a long silence finds the rests narrow', async (t) => {
  const { clock, governor } = create()
  for (let flush = 0; flush < 10; flush++) {
    clock.spend(1000)
    governor.onFlush(1000, 0)
  }
  t.equal(governor.intervalMs, 500)
  clock.advance(60_000)
  governor.onFlush(1, undefined)
  t.equal(governor.intervalMs, 50)
})

t.test('rests widen when the event loop runs late, whatever it does', async (t) => {
  const { clock, governor } = create()
  for (let flush = 0; flush < 100; flush++) {
    clock.spend(60)
    governor.onFlush(1, 30)
  }
  t.equal(governor.intervalMs, 100, 'late by more than half a rest, and then by less')
})

t.test('a maximum below the interval leaves it as it is', async (t) => {
  const { clock, governor, load, startRoom } = create(10)
  load.costMs = 1000
  startRoom()
  clock.advance(10_000)
  t.equal(governor.intervalMs, 50)
})
