import t from 'tap'
import { Batcher, MAX_BATCH_BYTES } from '../../src/rooms/batcher.js'
import { ManualClock } from '../fixtures/manual-clock.js'

function create () {
  const clock = new ManualClock()
  const batches: string[][] = []
  const batcher = new Batcher(clock, 50, (messages) => batches.push(messages))
  const add = (...messages: string[]) => messages.forEach((message) => batcher.add(message, Buffer.byteLength(message)))
  return { clock, batches, batcher, add }
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

t.test('a room that has fallen silent runs no timer', async (t) => {
  const { clock, batches, add } = create()
  add('1')
  clock.advance(50)
  t.equal(clock.timers, 0)
  add('2')
  clock.turn()
  t.same(batches, [['1'], ['2']])
})

t.test('a batch that has grown large is not held back', async (t) => {
  const { batches, add } = create()
  const large = 'x'.repeat(MAX_BATCH_BYTES / 2)
  add(large, large, 'small')
  t.same(batches, [[large, large]])
})

t.test('empty messages count towards the bound of a batch', async (t) => {
  const { batches, add } = create()
  for (let i = 0; i < MAX_BATCH_BYTES; i++) add('')
  t.ok(batches.length >= 2)
})

t.test('flushing by hand hands over at once and never an empty batch', async (t) => {
  const { clock, batches, batcher, add } = create()
  add('1')
  batcher.flush()
  batcher.flush()
  clock.advance(1000)
  t.same(batches, [['1']])
  t.equal(clock.timers, 0)
})

t.test('a closed batcher hands over nothing more', async (t) => {
  const { clock, batches, batcher, add } = create()
  add('1')
  clock.turn()
  add('2')
  batcher.close()
  clock.advance(1000)
  t.same(batches, [['1']])
})
