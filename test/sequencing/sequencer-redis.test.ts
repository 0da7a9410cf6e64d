import { setImmediate as turn } from 'node:timers/promises'
import t, { type Test } from 'tap'
import type { RedisServer } from '../../deploy/local-cluster/redis-server.js'
import { RedisBroker } from '../../src/broker/redis-broker.js'
import { connectRedis } from '../../src/broker/redis-connection.js'
import { oneServer } from '../../src/broker/redis-nodes.js'
import { logKey } from '../../src/broker/redis-keys.js'
import { systemClock, type Clock } from '../../src/clock.js'
import { unbilledKey } from '../../src/metering/redis-ledger.js'
import { formatEventId } from '../../src/rooms/event-id.js'
import { RoomRegistry } from '../../src/rooms/room-registry.js'
import { messagesOfEntry } from '../../src/sequencing/log-entry.js'
import { eventually } from '../fixtures/eventually.js'
import { seededRandom } from '../fixtures/random.js'
import { connectTenant, recordLog, startRedis } from '../fixtures/redis.js'
import { Publications, Witness } from '../fixtures/witness.js'
import { WitnessingViewer } from '../fixtures/witnessing-viewer.js'

const INSTANCES = 3
const ROOMS = 12
const STEPS = 24
const LEASE_MS = 1000

/** The clock of a process that can stand still, and be gone. */
class StoppableClock implements Clock {
  #state: 'running' | 'stalled' | 'gone' = 'running'
  #late: Array<() => void> = []

  now () { return systemClock.now() }

  epochMs () { return systemClock.epochMs() }

  after (delayMs: number, callback: () => void) {
    return systemClock.after(delayMs, () => this.#run(callback))
  }

  soon (callback: () => void) {
    systemClock.soon(() => this.#run(callback))
  }

  stall () { this.#state = 'stalled' }

  stop () { this.#state = 'gone' }

  resume () {
    this.#state = 'running'
    for (const callback of this.#late.splice(0)) callback()
  }

  #run (callback: () => void) {
    if (this.#state === 'running') callback()
    else if (this.#state === 'stalled') this.#late.push(callback)
  }
}

function startInstance (t: Test, { port }: RedisServer) {
  const { log } = recordLog()
  const clock = new StoppableClock()
  // An instance that stands still must not be found out by its own connections.
  const settings = { host: '127.0.0.1', port, password: '', timeoutMs: 60_000 }
  const commands = connectRedis('commands', settings, log)
  const subscriber = connectRedis('subscriber', settings, log)
  const broker = new RedisBroker({ nodes: oneServer(commands, subscriber), clock, log, endedTtlMs: 60_000, logTtlMs: 60_000, maxMessageBytes: 1000, isMetered: true })
  const registry = new RoomRegistry(broker, {
    flushIntervalMs: 5,
    flushMaxIntervalMs: 5,
    compression: { minViewers: 1000, keyframeMs: 2000 },
    historyMessages: 1000,
    historyBytes: 1_000_000,
    retryMs: 2000,
    subscribeTimeoutMs: 3000,
    roomLingerMs: 50,
    heartbeatMs: 15_000,
    slowViewerTimeoutMs: 30_000,
    tellViewers: true,
    maxViewers: 0,
    maxRooms: 100,
    endedTtlMs: 60_000,
    leaseMs: LEASE_MS,
    handoverMs: 0
  }, clock, log)
  const crash = () => {
    clock.stop()
    broker.close()
    commands.disconnect()
    subscriber.disconnect()
  }
  t.teardown(crash)
  return {
    broker,
    registry,
    crash,
    stall () {
      clock.stall()
      commands.stream.pause()
      subscriber.stream.pause()
    },
    resume () {
      clock.resume()
      commands.stream.resume()
      subscriber.stream.resume()
    }
  }
}

t.test('viewers are told everything once, in order, and of every loss, while instances crash and stand still', async (t) => {
  const seed = Number(process.env['SEQUENCER_REDIS_SEED'] ?? 1)
  t.comment(`SEQUENCER_REDIS_SEED=${seed}`)
  const random = seededRandom(seed)
  const redis = await startRedis(t)
  const tenant = connectTenant(t, redis)
  const instances = Array.from({ length: INSTANCES }, () => startInstance(t, redis))
  await eventually('the instances are connected', () => instances.every(({ broker }) => broker.connected))
  const rooms = Array.from({ length: ROOMS }, (_, room) => {
    const publications = new Publications()
    const viewers = [0, 1, 2].map((viewer) => new WitnessingViewer(`viewer ${viewer} of room ${room}`, publications))
    return { id: `5f0c3a52-6c1d-4a3f-9d3e-${String(room).padStart(12, '0')}`, publications, viewers, hosts: new Map<WitnessingViewer, unknown>() }
  })
  let stalled: number | undefined

  async function connect (room: (typeof rooms)[number], viewer: WitnessingViewer, slot: number) {
    const instance = instances[slot]
    if (instance === undefined || viewer.isConnected || slot === stalled) return
    room.hosts.set(viewer, instance)
    await viewer.connect(instance.registry, room.id, 0)
  }

  async function publish (room: (typeof rooms)[number], isParked: boolean) {
    // Twins among them.
    const text = random(2) === 0 ? 'same' : `m${room.publications.count}`
    room.publications.add(text, false)
    if (!isParked) await tenant.publish(room.id, text)
    else if (await instances.find((_, slot) => slot !== stalled)?.broker.publish(room.id, text) === 'parked') room.publications.parked.add(room.publications.count - 1)
  }

  const settled = async () => {
    await eventually('viewers have been told everything', () => rooms.every(({ viewers, hosts, publications }) => publications.violations.length > 0 || viewers.every((viewer) =>
      !viewer.isConnected || (stalled !== undefined && hosts.get(viewer) === instances[stalled]) || viewer.witness === undefined || viewer.witness.isComplete)))
  }

  for (let step = 0; step < STEPS; step++) {
    const slot = random(INSTANCES)
    const action = random(8)
    if (action === 0 && stalled === undefined) {
      const instance = instances[slot]
      instance?.crash()
      for (const { viewers, hosts } of rooms) for (const viewer of viewers) if (hosts.get(viewer) === instance) viewer.disconnect()
      instances[slot] = startInstance(t, redis)
      await eventually('the new instance is connected', () => instances[slot]?.broker.connected === true)
    } else if (action === 1 && stalled === undefined) {
      stalled = slot
      instances[slot]?.stall()
    } else if (action === 2 && stalled !== undefined) {
      const instance = instances[stalled]
      stalled = undefined
      instance?.resume()
    } else {
      for (const room of rooms) {
        for (const viewer of room.viewers) {
          const choice = random(6)
          if (choice === 0 && stalled === undefined) viewer.disconnect()()
          else if (choice < 3) await connect(room, viewer, random(INSTANCES))
        }
        for (let count = random(4); count > 0; count--) await publish(room, random(2) === 0)
      }
    }
    await turn()
    if (random(2) === 0) await settled()
  }
  if (stalled !== undefined) instances[stalled]?.resume()
  stalled = undefined
  for (const room of rooms) for (const viewer of room.viewers) await connect(room, viewer, random(INSTANCES))
  for (const room of rooms) await publish(room, false)
  await settled()

  for (const { id, publications } of rooms) {
    t.same(publications.violations, [], 'nothing was lost, repeated or exchanged in silence')
    const [reader] = instances
    const entries = await reader?.broker.readLog(id, undefined) ?? []
    const witness = new Witness('log', publications)
    for (const entry of entries) {
      if (entry.kind === 'gap') witness.onGap(formatEventId(entry.to), 'logged')
      else witness.onBatch(formatEventId(entry.to), messagesOfEntry(entry))
    }
    t.same(publications.violations, [], 'the log has each message once, in order')
    t.ok(entries.every(({ from }, index) => index === 0 || formatEventId(from) === formatEventId(entries[index - 1]?.to ?? from)), 'each entry follows the one before')
    t.equal(Number(await tenant.get(unbilledKey(id))), entries.reduce((sum, { kind, from, to }) => sum + (kind === 'batch' ? to.n - from.n : 0), 0), 'what is logged is counted')
    t.equal(await tenant.xlen(logKey(id)), entries.length)
  }
})
