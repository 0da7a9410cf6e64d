import t, { type Test } from 'tap'
import { Room, type StartOptions } from '../../src/rooms/room.js'
import { Viewer } from '../../src/rooms/viewer.js'
import { TimeoutQueue } from '../../src/timeout-queue.js'
import { connectedSockets } from '../fixtures/connected-sockets.js'
import { eventually } from '../fixtures/eventually.js'
import { ManualClock } from '../fixtures/manual-clock.js'
import { recordLog } from '../fixtures/redis.js'

const SETTINGS = { flushIntervalMs: 50, historyMessages: 100, historyBytes: 1_000_000, maxMessageBytes: 1000, retryMs: 2000, subscribeTimeoutMs: 3000 }

/** A room that a test speaks to as a broker does. */
function createRoom (t: Test, { waitForBroker = true } = {}) {
  const clock = new ManualClock()
  const ended: string[] = []
  const room: Room = new Room('5f0c3a52-6c1d-4a3f-9d3e-0f6f1f0c9a11', waitForBroker, {
    settings: SETTINGS,
    clock,
    log: recordLog().log,
    heartbeats: new TimeoutQueue<Room>(clock, 15_000, (room) => room.heartbeat()),
    slowViewers: new TimeoutQueue<Viewer>(clock, 30_000, (viewer) => viewer.destroy('slow-viewer')),
    onEnded: ({ id }) => ended.push(id)
  })
  const isOpened = async () => await Promise.race([room.opened.then(() => true), Promise.resolve().then(() => false)])
  return {
    room,
    clock,
    ended,
    isOpened,
    /** Joins, and says what the viewer gets: messages as they are, other events by name. */
    async join (options: StartOptions = { recent: 0 }) {
      const { near, far } = await connectedSockets(t)
      let text = ''
      far.setEncoding('utf8').on('data', (chunk: string) => { text += chunk })
      room.join(new Viewer(near), options)
      return async (...expected: string[]) => {
        const got = () => text.split('\n\n').flatMap((block) => {
          const name = /^event:(\w+)$/m.exec(block)?.[1]
          const data = /^data:(\[.*\])$/m.exec(block)?.[1]
          return name ?? (data ? JSON.parse(data) as string[] : block === ':' ? 'heartbeat' : [])
        })
        await eventually(`${expected} has come`, () => got().length >= expected.length)
        t.same(got(), expected)
      }
    }
  }
}

t.test('streams begin when the broker listens, and nothing is said to be missed', async (t) => {
  const { room, clock, isOpened, join } = createRoom(t)
  t.notOk(await isOpened())
  room.onOpen()
  t.ok(await isOpened())
  const got = await join()
  room.onMessage('1')
  clock.turn()
  await got('1')
})

t.test('streams begin after a while although the broker does not listen, and then a gap is said before anything else', async (t) => {
  const { room, clock, isOpened, join } = createRoom(t)
  clock.advance(SETTINGS.subscribeTimeoutMs)
  t.ok(await isOpened())
  const got = await join()
  room.onMessage('1')
  room.onOpen()
  clock.turn()
  await got('gap', '1')
})

t.test('without a broker streams begin at once', async (t) => {
  const { room, isOpened, join } = createRoom(t, { waitForBroker: false })
  t.ok(await isOpened())
  const got = await join()
  room.onOpen()
  await got('gap')
})

t.test('what is heard before the broker hears everything is not kept, so that no loss hides behind it', async (t) => {
  const { room, clock, join } = createRoom(t)
  room.onMessage('before')
  clock.turn()
  room.onInterrupted()
  room.onOpen()
  room.onMessage('after')
  clock.turn()
  const got = await join({ recent: 50 })
  await got('after')
})

t.test('after an interruption the gap stands between what was heard before and after, whoever speaks first', async (t) => {
  for (const again of ['onMessage', 'onOpen', 'onEnd'] as const) {
    const { room, clock, join } = createRoom(t)
    room.onOpen()
    const got = await join()
    room.onMessage('before')
    room.onInterrupted()
    const late = await join({ recent: 0 })
    if (again === 'onOpen') room.onOpen()
    else room[again]('x')
    room.onOpen()
    clock.turn()
    const after = { onMessage: ['x'], onOpen: [], onEnd: ['end'] }[again]
    await got('before', 'gap', ...after)
    // Who joins between sees the batch that was still being gathered, and the gap.
    await late('before', 'gap', ...after)
  }
})

t.test('two interruptions in a row are one gap', async (t) => {
  const { room, join } = createRoom(t)
  room.onOpen()
  const got = await join()
  room.onInterrupted()
  room.onInterrupted()
  room.onOpen()
  room.onOpen()
  room.onEnd('{}')
  await got('gap', 'end')
})

t.test('a room ends once, also before it was opened', async (t) => {
  const { room, ended, isOpened } = createRoom(t)
  room.onEnd('{}')
  room.onEnd('{}')
  t.ok(await isOpened())
  t.ok(room.hasEnded)
  t.equal(ended.length, 1)
})

t.test('a silent room with viewers beats, one without runs no timer', async (t) => {
  const { room, clock, join } = createRoom(t)
  room.onOpen()
  clock.advance(60_000)
  t.equal(clock.timers, 0)
  const got = await join()
  clock.advance(31_000)
  await got('heartbeat', 'heartbeat')
})
