import { LRUCache } from 'lru-cache'
import type { Broker } from '../broker/broker.js'
import type { Clock } from '../clock.js'
import { Census } from '../counting/census.js'
import { Counters } from '../counters.js'
import { FlushGovernor } from '../flush-governor.js'
import type { Log } from '../log.js'
import { TimeoutQueue } from '../timeout-queue.js'
import type { DisconnectReason } from './disconnect-reason.js'
import { FanOut } from './fan-out.js'
import { Gate } from '../sequencing/gate.js'
import { Membership } from '../sequencing/membership.js'
import { Room, type RoomContext, type RoomSettings, type WaitingViewer } from './room.js'
import type { Viewer } from './viewer.js'

/** Ended rooms known without asking the broker, for so long at the most: their viewers come back all at once. */
const RECENTLY_ENDED = 10_000
const RECENTLY_ENDED_MS = 60_000
/** Viewers are let go in steps of so many ms. */
const DRAIN_STEP_MS = 50
/** So many rooms ask for their owner at a time. */
const ROOMS_ASKING = 200
/** A viewer whose last event has not come to this instance for so long brings an id that nobody gave out. */
const AHEAD_TIMEOUT_MS = 10_000
/** How long the last streams of a drain may take to write out what they hold. */
const DRAIN_GRACE_MS = 1000

export interface RegistrySettings extends RoomSettings {
  /** Pause of a busy room between two flushes. */
  readonly flushIntervalMs: number
  /** What it grows to under load. */
  readonly flushMaxIntervalMs: number
  readonly roomLingerMs: number
  readonly heartbeatMs: number
  readonly slowViewerTimeoutMs: number
  /** Whether viewers are told how many they are. */
  readonly tellViewers: boolean
  /** 0: no limit. */
  readonly maxViewers: number
  readonly maxRooms: number
  readonly endedTtlMs: number
  /** How long an instance counts as living after its last heartbeat. */
  readonly leaseMs: number
  /** How long a room that is owned waits for another instance to take it when this one stops. */
  readonly handoverMs: number
}

/**
 * The rooms of this instance. A room exists, and is subscribed to, from its first viewer until ROOM_LINGER_MS
 * after its last, or until it ends.
 */
export class RoomRegistry {
  readonly governor: FlushGovernor
  readonly counters = new Counters()
  readonly #rooms = new Map<string, Room>()
  /** Rooms without viewers, the longest first. */
  readonly #lingering: TimeoutQueue<Room>
  readonly #slowViewers: TimeoutQueue<Viewer>
  readonly #heartbeats: TimeoutQueue<Room>
  /** By room, the id of its last event. */
  readonly #recentlyEnded: LRUCache<string, string>
  readonly #aheadViewers: TimeoutQueue<WaitingViewer>
  /** Rooms that are giving up their ownership. */
  readonly #closing = new Map<string, Promise<void>>()
  readonly #membership: Membership
  readonly #census: Census
  readonly #context: RoomContext
  #viewers = 0
  #draining = false

  constructor (private readonly broker: Broker, private readonly settings: RegistrySettings, private readonly clock: Clock, private readonly log: Log) {
    this.#recentlyEnded = new LRUCache({ max: RECENTLY_ENDED, ttl: Math.min(RECENTLY_ENDED_MS, settings.endedTtlMs) })
    this.#lingering = new TimeoutQueue(clock, settings.roomLingerMs, (room) => this.#drop(room))
    this.#slowViewers = new TimeoutQueue(clock, settings.slowViewerTimeoutMs, (viewer) => viewer.destroy('slow-viewer'))
    this.#heartbeats = new TimeoutQueue(clock, settings.heartbeatMs, (room) => room.heartbeat())
    this.#aheadViewers = new TimeoutQueue(clock, AHEAD_TIMEOUT_MS, (waiting) => waiting.room.giveUp(waiting))
    this.governor = new FlushGovernor({ minIntervalMs: settings.flushIntervalMs, maxIntervalMs: settings.flushMaxIntervalMs, clock, log })
    this.#membership = new Membership(broker, settings.leaseMs, clock, log)
    this.#census = new Census(broker, this.#membership, settings.tellViewers, clock)
    this.#membership.start()
    this.#context = {
      broker,
      membership: this.#membership,
      census: this.#census,
      gate: new Gate(ROOMS_ASKING),
      governor: this.governor,
      fanOut: new FanOut(clock, (durationMs) => this.governor.onWritten(durationMs)),
      counters: this.counters,
      settings,
      clock,
      log,
      aheadViewers: this.#aheadViewers,
      heartbeats: this.#heartbeats,
      slowViewers: this.#slowViewers,
      onEnded: (room) => this.#onEnded(room)
    }
  }

  /** Viewers with a place in a room. */
  get viewers () { return this.#viewers }

  /** This instance among the others. */
  get membership (): Pick<Membership, 'lapses' | 'others' | 'holdsLease'> { return this.#membership }

  /** Viewers that do not take what was written to them, at present. */
  get slowViewers () { return this.#slowViewers.size }

  /** Rooms that no viewer watches any more. */
  get lingeringRooms () { return this.#lingering.size }

  /** Looks at every room: a few ms for a hundred thousand of them. */
  survey () {
    const roles = { asking: 0, owner: 0, follower: 0, released: 0, closed: 0 }
    let historyBytes = 0
    for (const room of this.#rooms.values()) {
      roles[room.sequencer.role]++
      historyBytes += room.historyBytes
    }
    return { roles, historyBytes }
  }

  get draining () { return this.#draining }

  /**
   * Takes a place in a room, which keeps the room until `leave`. The stream may begin when the room has `opened`,
   * unless it `hasEnded` by then.
   *
   * @param lastEventId the last event the viewer has seen: it may not have seen all of a room that has ended
   * @returns the room, or why there is no place
   */
  enter (roomId: string, lastEventId?: string): Room | DisconnectReason {
    if (this.#draining) return 'draining'
    const lastId = this.#recentlyEnded.get(roomId)
    if (lastId !== undefined && (lastEventId === undefined || lastEventId === lastId)) return 'room-ended'
    if (this.settings.maxViewers > 0 && this.#viewers >= this.settings.maxViewers) return 'max-viewers'
    const room = this.#rooms.get(roomId) ?? this.#create(roomId)
    if (room === undefined) return 'max-rooms'
    this.#lingering.delete(room)
    this.#viewers++
    room.places++
    return room
  }

  /** Gives back a place. */
  leave (room: Room) {
    this.#viewers--
    room.places--
    if (room.places === 0 && this.#rooms.get(room.id) === room && !this.#draining) this.#lingering.touch(room)
  }

  /**
   * Lets all viewers go, spread over `durationMs` so that the other instances do not get them all at once, and takes no
   * new ones. Then waits until other instances have taken the rooms, so that their messages are heard meanwhile. Resolves
   * when all streams are closed and all rooms are in other hands, or HANDOVER_MS have passed.
   */
  async drain (durationMs: number) {
    this.#draining = true
    this.#lingering.clear()
    const leaving = shuffle([...this.#rooms.values()].flatMap((room) => room.viewers().map((viewer) => ({ room, viewer }))))
    this.log.info({ viewers: leaving.length, durationMs }, 'draining')
    const startedAt = this.clock.now()
    const total = leaving.length
    while (leaving.length > 0) {
      const elapsed = Math.min(1, (this.clock.now() - startedAt + DRAIN_STEP_MS) / Math.max(1, durationMs))
      const mayStay = total - Math.ceil(total * elapsed)
      for (const { room, viewer } of leaving.splice(mayStay)) room.dismiss(viewer, 'draining')
      if (leaving.length > 0) await this.#pause(DRAIN_STEP_MS)
    }
    for (let waitedMs = 0; this.#slowViewers.size > 0 && waitedMs < DRAIN_GRACE_MS; waitedMs += DRAIN_STEP_MS) await this.#pause(DRAIN_STEP_MS)
    for (const viewer of this.#slowViewers.items()) viewer.destroy('draining')
    await this.#handOver()
  }

  /** Drops all rooms and stops all timers. Resolves when other instances may have the rooms. */
  async close () {
    for (const room of this.#rooms.values()) this.#drop(room)
    this.#lingering.clear()
    this.#slowViewers.clear()
    this.#heartbeats.clear()
    this.#aheadViewers.clear()
    await Promise.all(this.#closing.values())
    await this.#census.close()
    await this.#membership.close()
  }

  async #handOver () {
    const deadlineMs = this.clock.now() + this.settings.handoverMs
    while (this.#rooms.size > 0 && this.#membership.others.size > 0 && this.clock.now() < deadlineMs) {
      for (const room of this.#rooms.values()) if (room.sequencer.handOver()) this.#drop(room)
      if (this.#rooms.size > 0) await this.#pause(DRAIN_STEP_MS)
    }
    if (this.#rooms.size > 0) this.log.info({ rooms: this.#rooms.size }, 'rooms that no other instance has taken')
  }

  #create (roomId: string): Room | undefined {
    if (this.#rooms.size >= this.settings.maxRooms) {
      const expendable = this.#lingering.items().next().value
      if (expendable === undefined) return undefined
      this.#drop(expendable)
    }
    const room = new Room(roomId, this.broker.connected, this.#context)
    this.#rooms.set(roomId, room)
    const closing = this.#closing.get(roomId)
    if (closing === undefined) room.sequencer.start()
    else closing.then(() => room.sequencer.start())
    this.log.debug({ roomId }, 'room opened')
    return room
  }

  #drop (room: Room) {
    this.#rooms.delete(room.id)
    this.#lingering.delete(room)
    // What was dropped before may be closing still.
    const closing = Promise.all([this.#closing.get(room.id), room.close()]).then(() => {
      if (this.#closing.get(room.id) === closing) this.#closing.delete(room.id)
    })
    this.#closing.set(room.id, closing)
    this.log.debug({ roomId: room.id }, 'room closed')
  }

  #onEnded (room: Room) {
    this.counters.roomsEnded++
    this.#recentlyEnded.set(room.id, room.lastEventId)
    if (this.#rooms.get(room.id) === room) this.#drop(room)
    this.log.info({ roomId: room.id }, 'room ended')
  }

  #pause (ms: number) {
    return new Promise<void>((resolve) => this.clock.after(ms, resolve))
  }
}

/** Fisher and Yates, in place. */
function shuffle<T> (items: T[]): T[] {
  for (let last = items.length - 1; last > 0; last--) {
    const index = Math.floor(Math.random() * (last + 1))
    // Both indices are inside the array.
    ;[items[last], items[index]] = [items[index] as T, items[last] as T]
  }
  return items
}
