import { inflateRawSync, constants } from 'node:zlib'
import t from 'tap'
import { History } from '../../src/rooms/history.js'
import { Replays, takeReplay } from '../../src/rooms/replays.js'

const TERM = 1_790_000_000_000

/** A history of batches of one message, each about `length` bytes. */
function create (batches: number, length = 10) {
  const history = new History(1000, 10_000_000)
  history.begin({ term: TERM, n: 0 })
  const places = [history.last]
  const frames: Buffer[] = []
  for (let n = 0; n < batches; n++) {
    const entry = history.take({ kind: 'batch', from: { term: TERM, n }, to: { term: TERM, n: n + 1 }, data: JSON.stringify([`${n} ${'x'.repeat(length)}`]) })
    places.push(history.last)
    frames.push(entry?.frame ?? Buffer.alloc(0))
  }
  const place = (n: number) => places[n] ?? history.last
  return { frames, place, replays: new Replays(history, 65_536) }
}

t.test('viewers who come back to one place get the same bytes, made once', async (t) => {
  const { frames, place, replays } = create(5)
  const replay = replays.from(place(2))
  t.same(replay?.frame, Buffer.concat(frames.slice(2)))
  t.equal(replay?.to, place(5))
  t.equal(replays.from(place(2)), replay)
  t.equal(replays.from(place(4))?.frame, frames[4], 'a single event is not copied')
  t.equal(replays.from(place(5)), undefined, 'nothing comes after the newest')
})

t.test('a replay holds whole events, until they are enough', async (t) => {
  const { frames, place, replays } = create(10, 20_000)
  const replay = replays.from(place(1))
  t.same(replay?.frame, Buffer.concat(frames.slice(1, 5)))
  t.equal(replay?.to, place(5))
})

t.test('what is kept is bounded, and gone when there is more to replay', async (t) => {
  const { place, replays } = create(20, 20_000)
  const [first, second] = [replays.from(place(0)), replays.from(place(1))]
  for (let n = 2; n < 5; n++) replays.from(place(n))
  t.not(replays.from(place(0)), first, 'the oldest was given up')
  const kept = replays.from(place(4))
  t.equal(replays.from(place(4)), kept)
  replays.clear()
  t.not(replays.from(place(4)), kept)
  t.same(replays.from(place(1))?.frame, second?.frame)
})

t.test('it is compressed when a second viewer with gzip gets it', async (t) => {
  const { place, replays } = create(50)
  const replay = replays.from(place(0))
  if (replay === undefined) throw new Error('there is something to replay')
  t.same(takeReplay(replay, false), [replay.frame])
  t.equal(takeReplay(replay, true).at(-1)?.length, replay.frame.length, 'stored for the first')
  const [deflated = Buffer.alloc(0)] = takeReplay(replay, true)
  t.ok(deflated.length * 3 < replay.frame.length)
  t.ok(inflateRawSync(deflated, { finishFlush: constants.Z_SYNC_FLUSH }).equals(replay.frame))
  t.equal(takeReplay(replay, true)[0], deflated)
})
