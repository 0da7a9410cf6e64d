import { randomBytes } from 'node:crypto'
import t from 'tap'
import { Counters } from '../../src/counters.js'
import { Audience } from '../../src/rooms/audience.js'
import { FanOut } from '../../src/rooms/fan-out.js'
import { GZIP_HEADER } from '../../src/rooms/gzip-blocks.js'
import { History } from '../../src/rooms/history.js'
import { Viewer } from '../../src/rooms/viewer.js'
import { TimeoutQueue } from '../../src/timeout-queue.js'
import { LimitedSocket } from '../fixtures/limited-socket.js'
import { ManualClock } from '../fixtures/manual-clock.js'
import { seededRandom } from '../fixtures/random.js'

const TERM = 1_790_000_000_000
const HELLO = Buffer.from('hello\n\n')
const FAREWELL = Buffer.from(':farewell\n\n')

/** A viewer of which the test knows what it should have. */
interface Watched {
  readonly socket: LimitedSocket
  readonly viewer: Viewer
  /** What came before the entries, and the entries that came before it. */
  readonly lead: string
  readonly from: number
  hasLeft: boolean
}

function create ({ maxMessages = 1000, minViewers = 1, viewersPerTurn = 256 } = {}) {
  const clock = new ManualClock()
  const history = new History(maxMessages, 100_000_000)
  history.begin({ term: TERM, n: 0 })
  const frames: string[] = []
  let written = 0
  const audience = new Audience(history, { minViewers, keyframeMs: 300 }, {
    fanOut: new FanOut(clock, () => {}, viewersPerTurn),
    slowViewers: new TimeoutQueue<Viewer>(clock, 30_000, (viewer) => viewer.destroy('slow-viewer')),
    clock,
    counters: new Counters()
  }, () => { written++ })
  const settle = () => { while (audience.isWriting) clock.turn() }
  return {
    clock,
    history,
    audience,
    frames,
    written: () => written,
    /** Writes all that was added. */
    flush () {
      audience.flush()
      settle()
    },
    settle,
    add (text: string) {
      const { n } = history.last
      const entry = history.take({ kind: 'batch', from: { term: TERM, n }, to: { term: TERM, n: n + 1 }, data: JSON.stringify([text]) })
      if (entry === undefined) throw new Error('it is new')
      frames.push(entry.frame.toString())
      audience.add(entry)
    },
    join ({ isGzip = false, capacity = Infinity, recent = 0, isCorked = false } = {}): Watched {
      const socket = new LimitedSocket(capacity)
      const viewer = new Viewer(socket.asSocket, isGzip)
      if (isCorked) socket.cork()
      if (isGzip) socket.write(GZIP_HEADER)
      const { position, lead } = history.recent(recent)
      audience.join(viewer, [HELLO, ...(lead ? [lead] : [])], position)
      if (isCorked) socket.uncork()
      return { socket, viewer, lead: `${HELLO}${lead ?? ''}`, from: position.seq, hasLeft: false }
    },
    expected: ({ lead, from }: Watched) => lead + frames.slice(from).join('')
  }
}

/** The peer reads until it has everything. */
function readAll ({ socket }: Watched) {
  while (socket.writableLength > 0) socket.read(Infinity)
}

/** Without the comments of a silent stream. */
const textOf = ({ socket, viewer }: Watched) => socket.text(viewer.isGzip).replaceAll(/(?<=\n\n):\n\n/g, '')

t.test('a viewer that drains while entries wait to be written gets them once', async (t) => {
  const { flush, add, join, expected } = create()
  const slow = join({ capacity: 1 })
  add('x'.repeat(20_000))
  flush()
  add('2')
  flush()
  add('3')
  slow.socket.read(Infinity)
  add('4')
  flush()
  readAll(slow)
  t.equal(textOf(slow), expected(slow))
})

t.test('a viewer that a comment blocks misses no entry', async (t) => {
  const { audience, clock, flush, add, join, expected, frames } = create()
  add('')
  const overhead = frames[0]?.length ?? 0
  const slow = join({ capacity: 1 })
  // One byte less than a socket holds without blocking.
  add('x'.repeat(16_383 - overhead))
  flush()
  audience.heartbeat()
  clock.turn()
  add('3')
  flush()
  readAll(slow)
  t.equal(textOf(slow), expected(slow))
})

t.test('who is sent away, and who is there at the end, has everything that waited to be written', async (t) => {
  const { audience, settle, add, join, expected } = create()
  const [one, other] = [join(), join({ isGzip: true })]
  add('1')
  audience.dismiss(one.viewer, FAREWELL, 'draining')
  t.equal(textOf(one), expected(one) + FAREWELL)
  add('2')
  audience.close()
  settle()
  t.equal(textOf(other), expected(other))
  t.ok(one.socket.destroyed && other.socket.destroyed)
})

t.test('a viewer that fell out of the history goes on behind the gap, also when the newest waits to be written', async (t) => {
  const { flush, add, join } = create({ maxMessages: 1 })
  const slow = join({ capacity: 1 })
  add('x'.repeat(20_000))
  flush()
  for (const text of ['2', '3']) add(text)
  slow.socket.read(Infinity)
  add('4')
  flush()
  readAll(slow)
  const ids = [...textOf(slow).matchAll(/^id:\d+-(\d+)$/gm)].map(([, n]) => Number(n))
  t.same(ids, [1, 2, 3, 4])
  t.match(textOf(slow), /event:gap\ndata:{"reason":"slow-viewer","from":"\d+-1","to":"\d+-2","missed":1}/)
})

t.test('a frame is written to a large room in parts, and who comes, goes or falls behind meanwhile has all of it once', async (t) => {
  const { audience, clock, add, join, expected, written } = create({ viewersPerTurn: 10 })
  const viewers = Array.from({ length: 40 }, (_, index) => join({ isGzip: index % 2 === 1, capacity: index % 5 === 0 ? 1 : Infinity }))
  const have = () => viewers.filter((viewer) => textOf(viewer) === expected(viewer)).length
  add('x'.repeat(20_000))
  audience.flush()
  t.same([audience.isWriting, have()], [true, 0])
  clock.turn()
  const partly = have()
  t.ok(partly > 0 && partly < 15, `${partly}`)
  viewers.push(join(), join({ isGzip: true }), join({ recent: 1 }))
  for (const viewer of [viewers[0], viewers[39]]) {
    if (viewer === undefined) continue
    audience.leave(viewer.viewer)
    viewer.hasLeft = true
  }
  add('2')
  t.equal(written(), 0)
  while (audience.isWriting) clock.turn()
  t.equal(written(), 1, 'told once, when all have it')
  audience.flush()
  while (audience.isWriting) clock.turn()
  t.equal(written(), 2)
  const staying = viewers.filter(({ hasLeft }) => !hasLeft)
  for (const viewer of staying) readAll(viewer)
  for (const viewer of staying) t.equal(textOf(viewer), expected(viewer))
})

t.test('who is silent gets a comment, but not while a frame is being written', async (t) => {
  const { audience, clock, add, join, expected } = create()
  const viewer = join()
  add('1')
  audience.flush()
  audience.heartbeat()
  clock.turn()
  t.equal(viewer.socket.text(false), expected(viewer))
  audience.heartbeat()
  clock.turn()
  t.equal(viewer.socket.text(false), expected(viewer) + ':\n\n')
})

t.test('a room whose last viewers leave while they are being written to goes on', async (t) => {
  const { audience, clock, add, join, expected, written } = create()
  const viewer = join()
  add('1')
  audience.flush()
  audience.leave(viewer.viewer)
  clock.turn()
  t.same([audience.isWriting, written()], [false, 1])
  const next = join()
  add('2')
  audience.flush()
  clock.turn()
  t.equal(textOf(next), expected(next))
  t.equal(textOf(viewer), viewer.lead)
})

const notice = (count: number, padding = 0) => Buffer.from(`event:viewers\n:${'x'.repeat(padding)}\ndata:{"count":${count}}\n\n`)
const NOTICES = /event:viewers\n:x*\ndata:{"count":(\d+)}\n\n/g
const countsIn = ({ socket, viewer }: Watched) => [...socket.text(viewer.isGzip).matchAll(NOTICES)].map(([, count]) => Number(count))

t.test('whatever happens in whatever order, every stream holds every entry once and in order, and decodes', async (t) => {
  for (let seed = 1; seed <= 90; seed++) {
    const random = seededRandom(seed)
    const { clock, audience, flush, settle, add, join, expected, frames } = create({ minViewers: 1 + random(6), viewersPerTurn: 1 + random(8) })
    const watched: Watched[] = []
    let shown = 0
    const anyOf = () => watched.filter(({ hasLeft }) => !hasLeft)[random(20)]
    for (let step = 0; step < 250; step++) {
      const action = random(15)
      if (action < 2) watched.push(join({ isGzip: random(4) > 0, capacity: random(2) === 0 ? Infinity : 20_000 + random(200_000), recent: random(20), isCorked: random(2) === 0 }))
      else if (action < 5) add(random(15) === 0 ? randomBytes(random(60_000)).toString('base64') : `${frames.length} ${'the same words again '.repeat(random(20))}`)
      else if (action < 7) audience.flush()
      else if (action === 7 && random(5) === 0) audience.heartbeat()
      else if (action === 8) clock.spend(random(100))
      else if (action === 9) for (const { socket } of watched) socket.read(random(100_000))
      else if (action < 12) clock.turn()
      else if (action === 12) audience.show(notice(++shown, random(2) * random(50_000)))
      else if (random(3) === 0) {
        const viewer = anyOf()
        if (viewer === undefined) continue
        viewer.hasLeft = true
        if (action === 13) {
          audience.leave(viewer.viewer)
          viewer.socket.destroy()
        } else audience.dismiss(viewer.viewer, FAREWELL, 'draining')
      }
    }
    if (seed % 2 === 0) flush()
    else {
      audience.close()
      settle()
    }
    for (const viewer of watched) readAll(viewer)
    settle()
    for (const viewer of watched) {
      const text = textOf(viewer).replaceAll(NOTICES, '').replace(String(FAREWELL), '')
      const all = expected(viewer)
      const counts = countsIn(viewer)
      const isRight = (viewer.hasLeft ? all.startsWith(text.slice(0, text.lastIndexOf('\n\n') + 2)) : text === all) &&
        counts.every((count, index) => index === 0 || count > (counts[index - 1] ?? 0)) &&
        (viewer.hasLeft || (seed % 2 === 0 ? shown === 0 || counts.at(-1) === shown : viewer.socket.destroyed))
      if (!isRight) t.fail(`seed ${seed}, ${viewer.viewer.isGzip ? 'gzip' : 'plain'}`, { got: text.slice(-300), expected: all.slice(-300), counts, shown })
    }
  }
  t.pass('90 runs')
})

t.test('a notice goes to all who are live, and to who joins; who is behind, or is being written to, gets just the latest', (t) => {
  const { audience, flush, settle, add, join } = create()
  const viewers = [join(), join({ isGzip: true })]
  const slow = [join({ capacity: 1 }), join({ capacity: 1, isGzip: true })]
  audience.show(notice(1))
  settle()
  for (let n = 0; n < 20; n++) add(`message ${n} ${randomBytes(2000).toString('hex')}`)
  flush()
  for (const { viewer, socket } of slow) t.ok(socket.writableLength > 0, `${viewer.isGzip}`)
  for (let count = 2; count < 6; count++) audience.show(notice(count))
  const late = join()
  for (const viewer of slow) readAll(viewer)
  add('last message')
  flush()
  for (const viewer of slow) readAll(viewer)
  for (const viewer of viewers) t.same(countsIn(viewer), [1, 2, 5])
  for (const viewer of slow) t.same(countsIn(viewer), [1, 5])
  t.same(countsIn(late), [5])
  for (const viewer of [...viewers, ...slow]) t.equal(viewer.socket.text(viewer.viewer.isGzip).split('message').length, 22, 'and all messages')
  audience.show(undefined)
  t.same(countsIn(join()), [])
  t.end()
})
