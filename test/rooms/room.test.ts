import t, { type Test } from 'tap'
import { MemoryBroker } from '../../src/broker/memory-broker.js'
import { Census } from '../../src/counting/census.js'
import { Counters } from '../../src/counters.js'
import { FlushGovernor } from '../../src/flush-governor.js'
import { compareEventIds, type EventId } from '../../src/rooms/event-id.js'
import { FanOut } from '../../src/rooms/fan-out.js'
import { Room, type StartOptions, type WaitingViewer } from '../../src/rooms/room.js'
import { Viewer } from '../../src/rooms/viewer.js'
import type { LogEntry } from '../../src/sequencing/log-entry.js'
import { Gate } from '../../src/sequencing/gate.js'
import { Membership } from '../../src/sequencing/membership.js'
import { TimeoutQueue } from '../../src/timeout-queue.js'
import { batchAfter } from '../fixtures/broker-contract.js'
import { connectedSockets } from '../fixtures/connected-sockets.js'
import { eventually } from '../fixtures/eventually.js'
import { ManualClock } from '../fixtures/manual-clock.js'
import { recordLog } from '../fixtures/redis.js'

const FLUSH_INTERVAL_MS = 50
const SETTINGS = { historyMessages: 100, historyBytes: 1_000_000, maxMessageBytes: 1000, retryMs: 2000, subscribeTimeoutMs: 3000, compression: { minViewers: 3, keyframeMs: 2000 } }
const HEARTBEAT_MS = 15_000
const AHEAD_TIMEOUT_MS = 10_000
const ROOM_ID = '5f0c3a52-6c1d-4a3f-9d3e-0f6f1f0c9a11'
/** Term of another instance that owns the room. */
const TERM = 1_790_000_000_000

/** A broker whose rooms hear only what the test says. */
function createBroker (clock: ManualClock) {
  return Object.assign(new MemoryBroker({ clock, endedTtlMs: 60_000, logTtlMs: 60_000 }), { subscribe () {} })
}

/** A broker by which another instance owns the room, and has logged this. */
function followersBroker (clock: ManualClock, log: LogEntry[]) {
  const owner = { instance: 'other', term: TERM }
  return Object.assign(createBroker(clock), {
    claim: async () => ({ type: 'owned' as const, owner, endPayload: undefined }),
    mark: async () => ({ owner, tail: log.at(-1)?.to }),
    readLog: async (_roomId: string, after?: EventId) => log.filter(({ to }) => after === undefined || compareEventIds(to, after) > 0)
  })
}

/** A room that a test speaks to as a broker does. */
function createRoom (t: Test, { waitForBroker = true, clock = new ManualClock(), broker = createBroker(clock) } = {}) {
  const { log } = recordLog()
  const ended: string[] = []
  const membership = new Membership(broker, 4000, clock, log)
  const room: Room = new Room(ROOM_ID, waitForBroker, {
    broker,
    membership,
    census: new Census(broker, membership, false, clock),
    gate: new Gate(1),
    counters: new Counters(),
    governor: new FlushGovernor({ minIntervalMs: FLUSH_INTERVAL_MS, maxIntervalMs: FLUSH_INTERVAL_MS, clock, log }),
    fanOut: new FanOut(clock, () => {}),
    settings: SETTINGS,
    clock,
    log,
    heartbeats: new TimeoutQueue<Room>(clock, HEARTBEAT_MS, (room) => room.heartbeat()),
    slowViewers: new TimeoutQueue<Viewer>(clock, 30_000, (viewer) => viewer.destroy('slow-viewer')),
    aheadViewers: new TimeoutQueue<WaitingViewer>(clock, AHEAD_TIMEOUT_MS, (waiting) => waiting.room.giveUp(waiting)),
    onEnded: ({ id }) => ended.push(id)
  })
  t.teardown(() => room.close())
  room.sequencer.start()
  return {
    room,
    membership,
    heard: room.sequencer,
    clock,
    ended,
    isOpened: async () => await Promise.race([room.opened.then(() => true), new Promise((resolve) => setImmediate(resolve, false))]),
    /** The broker says that everything is heard; waits until the room knows what it has to. */
    async open () {
      room.sequencer.onSubscribed()
      await eventually('the room is open', () => room.sequencer.isOpen)
    },
    /** Joins, and says what the viewer has got when what is due has been done: messages as they are, other events by name. */
    async join (options: StartOptions = { recent: 0 }) {
      const { near, far } = await connectedSockets(t)
      let text = ''
      far.setEncoding('utf8').on('data', (chunk: string) => { text += chunk })
      const viewer = new Viewer(near)
      room.join(viewer, options)
      const got = async (...expected: string[]) => {
        const events = () => text.split('\n\n').flatMap((block) => {
          const name = /^event:(\w+)$/m.exec(block)?.[1]
          const data = /^data:(\[.*\])$/m.exec(block)?.[1]
          return name ?? (data ? JSON.parse(data) as string[] : block === ':' ? 'heartbeat' : [])
        })
        await eventually(`${expected} has come`, () => {
          clock.turn()
          return events().length >= expected.length
        })
        t.same(events(), expected)
      }
      return Object.assign(got, { viewer, isClosed: () => near.destroyed, gap: () => JSON.parse(/^event:gap\ndata:(.*)$/m.exec(text)?.[1] ?? 'null'), text: () => text })
    }
  }
}

t.test('streams begin when the broker listens, and nothing is said to be missed', async (t) => {
  const { heard, clock, isOpened, join, open } = createRoom(t)
  t.notOk(await isOpened())
  await open()
  t.ok(await isOpened())
  const got = await join()
  heard.onMessage('1')
  clock.turn()
  await got('1')
})

t.test('streams begin after a while although the broker does not listen, and then a gap is said before anything else', async (t) => {
  const { heard, clock, isOpened, join, open } = createRoom(t)
  clock.advance(SETTINGS.subscribeTimeoutMs)
  t.ok(await isOpened())
  const got = await join()
  heard.onMessage('1')
  await open()
  await got('gap', '1')
  t.match(got.gap(), { reason: 'broker-reconnect', from: null, missed: null })
})

t.test('without a broker streams begin at once', async (t) => {
  const { isOpened, join, open } = createRoom(t, { waitForBroker: false })
  t.ok(await isOpened())
  const got = await join()
  await open()
  await got('gap')
})

t.test('a viewer that waits for the broker is kept alive', async (t) => {
  const { clock, join } = createRoom(t, { waitForBroker: false })
  const got = await join()
  clock.advance(2 * HEARTBEAT_MS)
  await got('heartbeat', 'heartbeat')
})

t.test('what is heard before the broker hears everything is not kept, so that no loss hides behind it', async (t) => {
  const { heard, clock, join, open } = createRoom(t)
  heard.onMessage('before')
  clock.turn()
  heard.onInterrupted()
  await open()
  heard.onMessage('after')
  clock.turn()
  const got = await join({ recent: 50 })
  await got('after')
})

t.test('after an interruption the gap stands between what was heard before and after, whoever speaks first', async (t) => {
  for (const again of ['onMessage', 'onSubscribed', 'onEnd'] as const) {
    const { heard, clock, join, open } = createRoom(t)
    await open()
    const got = await join()
    heard.onMessage('before')
    heard.onInterrupted()
    const late = await join({ recent: 1 })
    if (again !== 'onSubscribed') heard[again]('x')
    heard.onSubscribed()
    const after = { onMessage: ['x'], onSubscribed: [], onEnd: ['end'] }[again]
    await got('before', 'gap', ...after)
    // What was still being gathered is said before it is known that anything is missing.
    await late('before', 'gap', ...after)
    clock.turn()
  }
})

t.test('two interruptions in a row are one gap', async (t) => {
  const { heard, join, open } = createRoom(t)
  await open()
  const got = await join()
  heard.onInterrupted()
  heard.onInterrupted()
  heard.onSubscribed()
  heard.onSubscribed()
  heard.onEnd('{}')
  await got('gap', 'end')
})

t.test('a room ends once, also before it was opened', async (t) => {
  const { room, heard, ended, isOpened, open } = createRoom(t)
  heard.onEnd('{}')
  heard.onEnd('{}')
  await open()
  t.ok(await isOpened())
  t.ok(room.hasEnded)
  t.equal(ended.length, 1)
})

t.test('the end is the last that viewers are told, then they are disconnected', async (t) => {
  const { room, heard, join, open } = createRoom(t)
  await open()
  const got = await join()
  heard.onMessage('last')
  heard.onEnd('{"a":1}')
  await got('last', 'end')
  t.ok(got.text().endsWith('event:end\ndata:{"a":1}\n\n'))
  await eventually('the viewer is disconnected', got.isClosed)
  const late = await join({ lastEventId: room.lastEventId, recent: 0 })
  await late('end')
  await eventually('who comes later is, too', late.isClosed)
  t.equal(room.viewers().length, 0)
})

t.test('a viewer that has seen everything of an ended room needs nothing, one that has not does', async (t) => {
  const { room, heard, clock, open } = createRoom(t)
  await open()
  const ids = [room.lastEventId]
  for (const message of ['1', '2']) {
    heard.onMessage(message)
    clock.advance(FLUSH_INTERVAL_MS)
    ids.push(room.lastEventId)
  }
  heard.onEnd('{}')
  await eventually('it has ended', () => room.hasEnded)
  t.same(ids.map((id) => room.hasSeenAll(id)), [false, false, true])
  t.same([undefined, '', 'nonsense', '999999999999999-9'].map((id) => room.hasSeenAll(id)), [true, true, true, true], 'who has seen nothing of it')
  t.equal(room.hasSeenAll('1-1'), false, 'who is told of a gap')
})

t.test('a silent room with viewers beats, one without runs no timer', async (t) => {
  const { clock, join, open } = createRoom(t)
  await open()
  clock.advance(60_000)
  t.equal(clock.timers, 0)
  const got = await join()
  clock.advance(31_000)
  await got('heartbeat', 'heartbeat')
})

t.test('a viewer that comes back before the room is open goes on exactly where it was', async (t) => {
  const clock = new ManualClock()
  const from = { term: TERM, n: 0 }
  const log = [batchAfter(from, TERM, '1', '2', '3')]
  const { room, join, open } = createRoom(t, { clock, broker: followersBroker(clock, log), waitForBroker: false })
  const [got, latest, fresh] = [await join({ lastEventId: `${TERM}-1`, recent: 0 }), await join({ lastEventId: `${TERM}-3`, recent: 9 }), await join({ recent: 0 })]
  await open()
  room.sequencer.onLogged(batchAfter({ term: TERM, n: 3 }, TERM, '4'))
  await got('2', '3', '4')
  await latest('4')
  await fresh('gap', '4')
})

t.test('a viewer that is ahead of this instance waits, alive, until its event has come, and misses and repeats nothing', async (t) => {
  const clock = new ManualClock()
  const log = [batchAfter({ term: TERM, n: 0 }, TERM, '1')]
  const { heard, join, open } = createRoom(t, { clock, broker: followersBroker(clock, log) })
  await open()
  const say = (from: number, ...messages: string[]) => {
    const entry = batchAfter({ term: TERM, n: from }, TERM, ...messages)
    log.push(entry)
    heard.onLogged(entry)
  }
  const [got, other] = [await join({ lastEventId: `${TERM}-3`, recent: 0 }), await join({ lastEventId: `${TERM}-2`, recent: 0 })]
  say(1, '2')
  say(2, '3', '4')
  say(4, '5')
  await got('4', '5')
  await other('3', '4', '5')
  clock.advance(AHEAD_TIMEOUT_MS)
  say(5, '6')
  await got('4', '5', '6')
})

t.test('a viewer whose event does not come is told after a while that nobody knows it, and goes on live', async (t) => {
  const clock = new ManualClock()
  const log = [batchAfter({ term: TERM, n: 0 }, TERM, '1')]
  const { room, membership, heard, join, open } = createRoom(t, { clock, broker: followersBroker(clock, log) })
  await open()
  const got = await join({ lastEventId: `${TERM}-9`, recent: 0 })
  const left = await join({ lastEventId: `${TERM}-9`, recent: 0 })
  room.leave(left.viewer)
  clock.advance(AHEAD_TIMEOUT_MS)
  await got()
  // An instance that is out of touch cannot know, and lets it wait once more.
  clock.advance(AHEAD_TIMEOUT_MS - 1)
  await got('heartbeat')
  await membership.renew()
  await eventually('the room is in touch', () => room.sequencer.isInTouch)
  clock.advance(1)
  await got('heartbeat', 'gap')
  t.match(got.gap(), { reason: 'unknown-id', to: `${TERM}-1`, missed: null })
  heard.onLogged(batchAfter({ term: TERM, n: 1 }, TERM, '2'))
  await got('heartbeat', 'gap', '2')
  await left()
  t.equal(room.viewers().length, 1)
})

t.test('nobody is ahead of the owner: an id it has not given out is unknown at once', async (t) => {
  const { room, join, open } = createRoom(t)
  await open()
  const [term] = room.lastEventId.split('-')
  for (const lastEventId of [`${term}-9`, 'nonsense', '']) {
    const got = await join({ lastEventId, recent: 5 })
    await got('gap')
    t.match(got.gap(), { reason: 'unknown-id', to: room.lastEventId })
  }
})

t.test('a viewer that still waits when the room ends is told of the loss and of the end', async (t) => {
  const clock = new ManualClock()
  const log = [batchAfter({ term: TERM, n: 0 }, TERM, '1')]
  const { heard, join, open } = createRoom(t, { clock, broker: followersBroker(clock, log) })
  await open()
  const got = await join({ lastEventId: `${TERM}-9`, recent: 0 })
  heard.onLogged({ kind: 'end', from: { term: TERM, n: 1 }, to: { term: TERM, n: 1 }, data: '{}' })
  await eventually('it is disconnected', () => {
    clock.turn()
    return got.isClosed()
  })
  await got('gap', 'end')
})

t.test('who is sent away has been told everything before, and when to come back', async (t) => {
  const { room, heard, join, open } = createRoom(t)
  await open()
  const [got, other] = [await join(), await join()]
  heard.onMessage('1')
  room.dismiss(got.viewer, 'draining')
  await got('1')
  await eventually('it is disconnected', got.isClosed)
  t.match(got.text(), /:draining\nretry:\d+\n\n$/)
  await other('1')
  t.equal(room.viewers().length, 1)
})

t.test('what comes from the owner faster than this instance should write is written together, as the events it was', async (t) => {
  const first = batchAfter({ term: TERM, n: 0 }, TERM, '1')
  const clock = new ManualClock()
  const { heard, join, open } = createRoom(t, { clock, broker: followersBroker(clock, [first]) })
  await open()
  const got = await join()
  const writes: string[] = []
  const write = got.viewer.write.bind(got.viewer)
  got.viewer.write = (frame) => {
    writes.push(frame.toString())
    return write(frame)
  }
  const batches = [first]
  for (const message of ['2', '3', '4', '5']) {
    const next = batchAfter(batches.at(-1)?.to ?? first.to, TERM, message)
    batches.push(next)
    heard.onLogged(next)
    if (message === '2') clock.turn()
  }
  clock.advance(FLUSH_INTERVAL_MS)
  t.equal(writes.length, 2, 'the first at once, the others after the rest')
  t.equal(writes[1], batches.slice(2).map(({ to, data }) => `id:${to.term}-${to.n}\ndata:${data}\n\n`).join(''))
  const late = await join({ recent: 5 })
  heard.onLogged(batchAfter(batches.at(-1)?.to ?? first.to, TERM, '6'))
  const later = await join()
  clock.advance(FLUSH_INTERVAL_MS)
  await got('2', '3', '4', '5', '6')
  await late('1', '2', '3', '4', '5', '6')
  await later()
})
