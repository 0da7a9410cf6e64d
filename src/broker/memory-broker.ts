import { LRUCache } from 'lru-cache'
import type { Clock } from '../clock.js'
import { compareEventIds, type EventId } from '../rooms/event-id.js'
import type { LogEntry } from '../sequencing/log-entry.js'
import type { RoomState, ViewerReport } from './viewer-board.js'
import type { AppendOptions, Broker, ClaimOutcome, Owner, PublishOutcome, RoomListener } from './broker.js'

/** What ends may cost that are remembered; past it the one used longest ago is forgotten. */
const MAX_TOMBSTONE_BYTES = 67_108_864
/** What logs and parked messages may cost; past it the room used longest ago is forgotten. */
const MAX_ROOM_BYTES = 134_217_728
/** From here on a room's messages are not parked. */
const MAX_BYTES_PER_ROOM = 16_777_216
/** What each thing costs besides its text. */
const OVERHEAD_BYTES = 200
/** The bounds of src/lua/publish.lua. */
const MAX_PARKED = 1000
const MAX_PARKED_BYTES = 65_536

interface RoomRecord {
  term: number
  tail: EventId | undefined
  isOwned: boolean
  /** The end was said after everything else. */
  isFinished: boolean
  log: LogEntry[]
  parked: string[]
  /** What log and parked messages cost. */
  bytes: number
}

export interface MemoryBrokerOptions {
  readonly clock: Clock
  readonly endedTtlMs: number
  /** How long a log is kept after its last entry. */
  readonly logTtlMs: number
  /** Counts messages when they are logged. */
  onLogged? (roomId: string, messages: number): void
}

/** The embedded broker: one instance, nothing outside the process. What it knows is gone when the process stops. */
export class MemoryBroker implements Broker {
  readonly connected = true
  /** They are refused before they come here. */
  readonly oversized = 0
  readonly instance = 'embedded'
  readonly #options: MemoryBrokerOptions
  readonly #listeners = new Map<string, RoomListener>()
  /** Of rooms that have any. */
  readonly #viewers = new Map<string, number>()
  readonly #tombstones: LRUCache<string, string>
  readonly #rooms: LRUCache<string, RoomRecord>

  constructor (options: MemoryBrokerOptions) {
    this.#options = options
    this.#tombstones = new LRUCache({
      ttl: options.endedTtlMs,
      maxSize: MAX_TOMBSTONE_BYTES,
      sizeCalculation: (payload) => 2 * payload.length + OVERHEAD_BYTES
    })
    this.#rooms = new LRUCache({
      ttl: options.logTtlMs,
      maxSize: MAX_ROOM_BYTES,
      sizeCalculation: ({ bytes }) => bytes + OVERHEAD_BYTES
    })
  }

  subscribe (roomId: string, listener: RoomListener) {
    this.#listeners.set(roomId, listener)
    queueMicrotask(() => {
      if (this.#listeners.get(roomId) === listener) listener.onSubscribed()
    })
  }

  async unsubscribe (roomId: string) {
    this.#listeners.delete(roomId)
  }

  // Nobody else owns a room here, so nobody follows.
  async follow () {}
  unfollow () {}
  answerMark () {}

  async mark (roomId: string) {
    return { owner: undefined, tail: this.#rooms.get(roomId)?.tail }
  }

  async beat () {
    return [this.instance]
  }

  async post (reports: readonly ViewerReport[]) {
    for (const { roomId, viewers } of reports) {
      if (viewers > 0) this.#viewers.set(roomId, viewers)
      else this.#viewers.delete(roomId)
      this.#listeners.get(roomId)?.onViewers(new Map(viewers > 0 ? [[this.instance, viewers]] : []))
    }
  }

  async look (roomId: string): Promise<RoomState> {
    const room = this.#rooms.get(roomId)
    return {
      viewers: this.#viewers.get(roomId) ?? 0,
      tail: room?.tail,
      owner: room?.isOwned ? this.instance : undefined,
      hasEnded: this.#tombstones.has(roomId)
    }
  }

  async claim (roomId: string, replaced: Owner | undefined, knownTerm: number): Promise<ClaimOutcome> {
    const room = this.#rooms.get(roomId) ?? newRoom()
    const endPayload = this.#tombstones.get(roomId)
    if (room.isOwned && replaced?.term !== room.term) return { type: 'owned', owner: { instance: this.instance, term: room.term }, endPayload }
    if (!room.isOwned && endPayload !== undefined && (room.isFinished || room.term === 0)) return { type: 'ended', tail: room.tail, endPayload }
    const term = Math.max(Math.floor(this.#options.clock.epochMs()), room.term + 1, knownTerm + 1)
    room.term = term
    room.isOwned = true
    room.isFinished = false
    this.#save(roomId, room)
    return { type: 'claimed', term, tail: room.tail, endPayload, isComplete: true }
  }

  async release (roomId: string, term: number, onlyToHeir: boolean): Promise<boolean> {
    const room = this.#ownedRoom(roomId, term)
    if (room === undefined || onlyToHeir) return false
    room.isOwned = false
    return true
  }

  async append (roomId: string, term: number, entry: LogEntry, { oldest, parked }: AppendOptions): Promise<boolean> {
    const room = this.#ownedRoom(roomId, term)
    if (room === undefined) return false
    room.log.push(entry)
    room.tail = entry.to
    room.bytes += costOf(entry.data)
    for (let first = room.log[0]; first && compareEventIds(first.to, oldest) < 0; first = room.log[0]) {
      room.log.shift()
      room.bytes -= costOf(first.data)
    }
    for (const message of room.parked.splice(0, parked)) room.bytes -= costOf(message)
    this.#save(roomId, room)
    const messages = entry.to.n - entry.from.n
    if (messages > 0) this.#options.onLogged?.(roomId, messages)
    return true
  }

  finish (roomId: string, term: number, _last: EventId, payload: string) {
    const room = this.#ownedRoom(roomId, term)
    if (room === undefined) return
    room.isOwned = false
    room.isFinished = true
    if (!this.#tombstones.has(roomId)) this.#tombstones.set(roomId, payload)
  }

  async readLog (roomId: string, after: EventId | undefined): Promise<LogEntry[]> {
    const log = this.#rooms.get(roomId)?.log ?? []
    return log.filter(({ to }) => after === undefined || compareEventIds(to, after) > 0)
  }

  async readParked (roomId: string): Promise<string[]> {
    return [...this.#rooms.get(roomId)?.parked ?? []]
  }

  async publish (roomId: string, message: string): Promise<PublishOutcome> {
    if (this.#tombstones.has(roomId)) return 'room-ended'
    const listener = this.#listeners.get(roomId)
    if (listener !== undefined) {
      listener.onMessage(message)
      return 'published'
    }
    return this.#park(roomId, message)
  }

  async end (roomId: string, payload: string) {
    if (this.#tombstones.has(roomId)) return
    this.#tombstones.set(roomId, payload)
    this.#listeners.get(roomId)?.onEnd(payload)
  }

  close () {
    this.#listeners.clear()
  }

  #ownedRoom (roomId: string, term: number): RoomRecord | undefined {
    const room = this.#rooms.get(roomId)
    return room?.isOwned && room.term === term ? room : undefined
  }

  #park (roomId: string, message: string): PublishOutcome {
    const room = this.#rooms.get(roomId) ?? newRoom()
    const bytes = room.bytes + costOf(message)
    if (room.parked.length >= MAX_PARKED || bytes > MAX_BYTES_PER_ROOM || Buffer.byteLength(message) > MAX_PARKED_BYTES) return 'parking-full'
    room.parked.push(message)
    room.bytes = bytes
    this.#save(roomId, room)
    return 'parked'
  }

  /** As a new object: only then is its size looked at. */
  #save (roomId: string, room: RoomRecord) {
    this.#rooms.set(roomId, { ...room })
  }
}

function newRoom (): RoomRecord {
  return { term: 0, tail: undefined, isOwned: false, isFinished: false, log: [], parked: [], bytes: 0 }
}

function costOf (text: string): number {
  return 2 * text.length + OVERHEAD_BYTES
}
