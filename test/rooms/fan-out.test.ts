import t from 'tap'
import { FanOut, type Writing } from '../../src/rooms/fan-out.js'
import { ManualClock } from '../fixtures/manual-clock.js'

/** A room with so many viewers to write to. */
class TestRoom implements Writing {
  constructor (public left: number, private readonly clock: ManualClock) {}

  get isWriting () { return this.left > 0 }

  writeOn (most: number) {
    const written = Math.min(most, this.left)
    this.left -= written
    this.clock.spend(written)
    return written
  }
}

function create () {
  const clock = new ManualClock()
  const partsMs: number[] = []
  const fanOut = new FanOut(clock, (durationMs) => partsMs.push(durationMs), 10)
  const start = (viewers: number) => {
    const room = new TestRoom(viewers, clock)
    fanOut.add(room)
    return room
  }
  return { clock, fanOut, partsMs, start }
}

t.test('small rooms are written in one turn, and not in the one in which they say it', async (t) => {
  const { clock, partsMs, start } = create()
  const rooms = [start(3), start(3)]
  t.same(rooms.map(({ left }) => left), [3, 3])
  clock.turn()
  t.same(rooms.map(({ left }) => left), [0, 0])
  t.same(partsMs, [6])
  clock.turn()
  t.same(partsMs, [6], 'with nothing to write it does nothing')
})

t.test('no room, however large or many, keeps another waiting for more than its turn', async (t) => {
  const { clock, partsMs, start } = create()
  const [one, other] = [start(1000), start(1000)]
  clock.turn()
  const small = start(5)
  for (let turn = 0; turn < 3; turn++) clock.turn()
  t.equal(small.left, 0)
  t.ok(one.left < 1000 && other.left < 1000)
  while (one.isWriting || other.isWriting) clock.turn()
  t.ok(partsMs.every((durationMs) => durationMs <= 10))
})

t.test('a room that adds itself again while it is written, or is taken out, is written as it should be', async (t) => {
  const { clock, fanOut, start } = create()
  const room = start(15)
  clock.turn()
  t.equal(room.left, 5)
  fanOut.delete(room)
  clock.turn()
  clock.turn()
  t.equal(room.left, 5)
  fanOut.add(room)
  fanOut.add(room)
  clock.turn()
  t.equal(room.left, 0)
})
