import { randomBytes } from 'node:crypto'
import t from 'tap'
import { GZIP_HEADER, storedBlocks } from '../../src/rooms/gzip-blocks.js'
import { GzipViewers } from '../../src/rooms/gzip-viewers.js'
import { Viewer } from '../../src/rooms/viewer.js'
import { LimitedSocket } from '../fixtures/limited-socket.js'
import { ManualClock } from '../fixtures/manual-clock.js'

const KEYFRAME_MS = 2000
const noneIsBlocked = (viewer: Viewer) => { throw new Error(`viewer is blocked: ${viewer}`) }

function writeAll (viewers: GzipViewers, frame: string) {
  viewers.begin(Buffer.from(frame))
  viewers.write(Infinity, noneIsBlocked)
}

function create (minViewers = 1) {
  const clock = new ManualClock()
  const viewers = new GzipViewers({ minViewers, keyframeMs: KEYFRAME_MS }, clock)
  let frames = 0
  return {
    clock,
    viewers,
    join () {
      const socket = new LimitedSocket()
      const viewer = new Viewer(socket.asSocket, true)
      socket.write(GZIP_HEADER)
      viewer.tell(Buffer.from('hello\n'))
      viewers.add(viewer)
      return { viewer, get text () { return socket.text(true) }, get bytes () { return socket.bytes } }
    },
    /** Writes frames that are like each other, and says what a viewer that gets just these should have. */
    write (count: number) {
      let text = ''
      for (; count > 0; count--) {
        const frame = `frame ${frames++} of those that are much like each other and hold the same words again and again\n`
        writeAll(viewers, frame)
        text += frame
      }
      return text
    }
  }
}

t.test('who joins between keyframes gets all from there on in larger blocks, and the same as all others from the next keyframe on', async (t) => {
  const { clock, join, write } = create()
  const first = join()
  let expected = 'hello\n' + write(1)
  const second = join()
  let expectedLater = 'hello\n'
  for (const { larger, wait } of [{ larger: true, wait: KEYFRAME_MS }, { larger: false, wait: KEYFRAME_MS - 1 }, { larger: false, wait: 0 }]) {
    t.same([first.text, second.text], [expected, expectedLater])
    const [before, beforeLater] = [first.bytes, second.bytes]
    const text = write(10)
    expected += text
    expectedLater += text
    t.same([first.text, second.text], [expected, expectedLater])
    t.equal(second.bytes - beforeLater > first.bytes - before, larger)
    clock.advance(wait)
  }
})

t.test('many who joined between keyframes get their blocks compressed too', async (t) => {
  const { join, write } = create()
  const first = join()
  write(1)
  const joined = Array.from({ length: 10 }, () => join())
  const before = first.bytes
  const text = write(10)
  for (const { text: got } of joined) t.equal(got, 'hello\n' + text)
  t.same([...new Set(joined.map(({ bytes }) => bytes))].length, 1)
  t.ok((joined[0]?.bytes ?? 0) < text.length, 'smaller than they are')
  t.ok((joined[0]?.bytes ?? 0) > first.bytes - before, 'and larger than those that refer back')
})

t.test('what a block refers back to is the text of its own stream, also past what can be referred to', async (t) => {
  const { viewers, join, write } = create()
  const [one, other] = [join(), join()]
  let expected = 'hello\n'
  for (const size of [100, 20_000, 32_768, 40_000, 65_536, 200_000]) {
    const frame = randomBytes(size).toString('base64')
    for (let repeat = 0; repeat < 2; repeat++) {
      writeAll(viewers, frame)
      expected += frame + write(3)
      t.ok(one.text === expected && other.text === expected)
    }
  }
  t.equal(one.bytes, other.bytes)
})

t.test('too few viewers get stored blocks, and a keyframe comes first when there are enough again', async (t) => {
  const { viewers, join, write } = create(2)
  const one = join()
  let expected = 'hello\n' + write(3)
  t.equal(one.text, expected)
  t.ok(one.bytes > expected.length, 'nothing was compressed')
  const other = join()
  expected += write(5)
  t.equal(one.text, expected)
  t.ok(one.bytes < expected.length)
  viewers.delete(other.viewer)
  expected += write(2)
  const third = join()
  const expectedLater = 'hello\n' + write(5)
  expected += expectedLater.slice('hello\n'.length)
  t.same([one.text, third.text], [expected, expectedLater])
  t.notOk(viewers.has(other.viewer))
  t.same([...viewers], [one.viewer, third.viewer])
})

t.test('who does not keep up is named once, and is not written to when it is deleted', async (t) => {
  const { viewers, join } = create()
  const [slow, other] = [join(), join()]
  const write = slow.viewer.write.bind(slow.viewer)
  slow.viewer.write = (bytes) => write(bytes) && false
  const blocked: Viewer[] = []
  for (const text of ['1', '2', '3']) {
    viewers.begin(Buffer.from(text))
    viewers.write(Infinity, (viewer) => {
      blocked.push(viewer)
      viewers.delete(viewer)
    })
  }
  t.same(blocked, [slow.viewer])
  t.same([other.text, slow.text], ['hello\n123', 'hello\n1'])
})

t.test('bytes of any length go into stored blocks, unchanged', async (t) => {
  for (const length of [0, 1, 65_534, 65_535, 65_536, 200_000]) {
    const bytes = randomBytes(length)
    const blocks = storedBlocks(bytes)
    t.equal(blocks.length, 2 * Math.ceil(length / 65_535))
    t.ok(Buffer.concat(blocks.filter((_, index) => index % 2 === 1)).equals(bytes))
  }
})
