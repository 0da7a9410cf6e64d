import type { Redis, Result } from 'ioredis'
import type { Clock } from '../clock.js'
import type { Log } from '../log.js'
import { BrokerUnavailableError, type Broker, type PublishOutcome, type RoomListener } from './broker.js'
import { EndRecorder } from './end-recorder.js'

/** Rooms subscribed to by one command when a lost connection is back. */
const ROOMS_PER_SUBSCRIBE = 500
/** Pause before a subscription that failed is tried again. */
const RETRY_MS = 1000

/**
 * KEYS[1]: the room's tombstone. ARGV: payload, TTL in ms, the room's end channel.
 * Leaves the tombstone and announces the end, unless the room has ended before; returns 1 if it did, else 0.
 *
 * The announcement is what closes a race: an instance that subscribed after a tenant's plain PUBLISH and looked for the
 * tombstone before another instance had written it hears of the end by this one.
 */
const END_ROOM_LUA = `
if redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then
  redis.call('PUBLISH', ARGV[3], ARGV[1])
  return 1
end
return 0`

declare module 'ioredis' {
  interface RedisCommander<Context> {
    endRoom (tombstoneKey: string, payload: string, ttlMs: number, endChannel: string): Result<number, Context>
  }
}

const messageChannel = (roomId: string) => roomId
const endChannel = (roomId: string) => `${roomId}_END`
/** In braces what Redis Cluster hashes, so that all keys of a room share a slot. */
const tombstoneKey = (roomId: string) => `chat:{${roomId}}:ended`

export interface RedisBrokerOptions {
  /** Connection for commands. */
  readonly commands: Redis
  /** Connection for subscriptions only. */
  readonly subscriber: Redis
  readonly clock: Clock
  readonly log: Log
  readonly endedTtlMs: number
  /** An end whose payload is longer ends the room with `{}`. */
  readonly maxMessageBytes: number
}

/**
 * The broker over Redis pub/sub. Both connections belong to the caller, who closes them.
 *
 * Join order: subscribe, and only when that is acknowledged look for the tombstone, and only then call the room open.
 * So an end is either heard or found.
 */
export class RedisBroker implements Broker {
  readonly #options: RedisBrokerOptions
  readonly #listeners = new Map<string, RoomListener>()
  /** Who is called for a message on a channel: one look-up per message. */
  readonly #channels = new Map<string, (payload: string) => void>()
  /** Rooms that were not told yet that they are open. */
  readonly #unopened = new Set<string>()
  readonly #endRecorder: EndRecorder
  #ready = false
  /** Counts connections of the subscriber, to know an answer of an earlier one. */
  #connection = 0
  #refused = false
  #retrying = false
  #cancelRetry: (() => void) | undefined

  constructor (options: RedisBrokerOptions) {
    this.#options = options
    const { commands, subscriber, clock, log } = options
    this.#endRecorder = new EndRecorder((roomId, payload) => this.end(roomId, payload), clock, log)
    commands.defineCommand('endRoom', { lua: END_ROOM_LUA, numberOfKeys: 1 })
    commands.on('ready', this.#openAll)
    subscriber.on('message', this.#onMessage)
    subscriber.on('ready', this.#onReady)
    subscriber.on('close', this.#onClose)
    if (subscriber.status === 'ready') this.#onReady()
  }

  get connected () { return this.#ready }

  get #canOpen () { return this.#ready && this.#options.commands.status === 'ready' }

  subscribe (roomId: string, listener: RoomListener) {
    this.#listeners.set(roomId, listener)
    this.#unopened.add(roomId)
    this.#channels.set(messageChannel(roomId), (message) => listener.onMessage(message))
    this.#channels.set(endChannel(roomId), (payload) => {
      const bounded = this.#bound(roomId, payload)
      this.#endRecorder.record(roomId, bounded)
      listener.onEnd(bounded)
    })
    if (this.#ready) this.#open([roomId])
  }

  unsubscribe (roomId: string) {
    if (!this.#listeners.delete(roomId)) return
    this.#unopened.delete(roomId)
    this.#channels.delete(messageChannel(roomId))
    this.#channels.delete(endChannel(roomId))
    // Without a connection there is no subscription either, and what comes for a forgotten channel is ignored.
    if (this.#ready) this.#options.subscriber.unsubscribe(messageChannel(roomId), endChannel(roomId)).catch(() => {})
  }

  async publish (roomId: string, message: string): Promise<PublishOutcome> {
    try {
      const [ended] = await Promise.all([
        this.#options.commands.exists(tombstoneKey(roomId)),
        this.#options.commands.publish(messageChannel(roomId), message)
      ])
      return ended === 1 ? 'room-ended' : 'published'
    } catch (error) {
      throw unavailable(error)
    }
  }

  async end (roomId: string, payload: string) {
    try {
      const { commands, endedTtlMs } = this.#options
      await commands.endRoom(tombstoneKey(roomId), payload, endedTtlMs, endChannel(roomId))
    } catch (error) {
      throw unavailable(error)
    }
  }

  close () {
    const { commands, subscriber } = this.#options
    commands.off('ready', this.#openAll)
    subscriber.off('message', this.#onMessage)
    subscriber.off('ready', this.#onReady)
    subscriber.off('close', this.#onClose)
    this.#listeners.clear()
    this.#channels.clear()
    this.#unopened.clear()
    this.#endRecorder.close()
    this.#cancelRetry?.()
  }

  readonly #onMessage = (channel: string, payload: string) => {
    this.#channels.get(channel)?.(payload)
  }

  readonly #onReady = () => {
    // ioredis says so a tick after its status: the constructor may have seen it already.
    if (this.#ready) return
    this.#ready = true
    this.#openAll()
  }

  readonly #onClose = () => {
    this.#connection++
    if (!this.#ready) return
    this.#ready = false
    this.#refused = false
    if (this.#listeners.size > 0) this.#options.log.warn({ rooms: this.#listeners.size }, 'rooms may miss messages until redis is back')
    for (const [roomId, listener] of this.#listeners) {
      this.#unopened.add(roomId)
      listener.onInterrupted()
    }
  }

  readonly #openAll = () => {
    if (!this.#ready) return
    const roomIds = [...this.#unopened]
    for (let start = 0; start < roomIds.length; start += ROOMS_PER_SUBSCRIBE) {
      this.#open(roomIds.slice(start, start + ROOMS_PER_SUBSCRIBE))
    }
  }

  /** Subscribes, looks for tombstones, and tells the listeners. What fails while both connections live is tried again. */
  async #open (roomIds: string[]) {
    const connection = this.#connection
    const listeners = roomIds.map((roomId) => this.#listeners.get(roomId))
    const { subscriber, commands, log } = this.#options
    let tombstones: Array<string | null>
    try {
      await subscriber.subscribe(...roomIds.flatMap((roomId) => [messageChannel(roomId), endChannel(roomId)]))
      // Messages are heard already; the tombstones are looked for when the other connection is back.
      if (commands.status !== 'ready') return
      tombstones = await Promise.all(roomIds.map((roomId) => commands.get(tombstoneKey(roomId))))
    } catch (error) {
      // After a lost connection all begins anew with its return.
      if (connection === this.#connection && commands.status === 'ready') this.#onFailed(error)
      return
    }
    if (connection !== this.#connection) return
    for (const [index, roomId] of roomIds.entries()) {
      const listener = listeners[index]
      // The room may have gone, gone and come back, or been opened by another attempt, while Redis answered.
      if (listener === undefined || this.#listeners.get(roomId) !== listener || !this.#unopened.delete(roomId)) continue
      const payload = tombstones[index] ?? undefined
      if (payload === undefined) listener.onOpen()
      else listener.onEnd(this.#bound(roomId, payload))
    }
    if (this.#refused && this.#unopened.size === 0) {
      this.#refused = false
      log.info({}, 'redis subscribes again')
    }
  }

  /** A connection that is just being lost fails too, before ioredis says so: that is no refusal. */
  #onFailed (error: unknown) {
    const reason = messageOf(error)
    if (!this.#refused && error instanceof Error && (error.name === 'ReplyError' || reason === 'Command timed out')) {
      this.#refused = true
      this.#options.log.error({ reason }, 'redis does not subscribe, retrying')
    }
    this.#retryLater()
  }

  #bound (roomId: string, payload: string): string {
    const { maxMessageBytes, log } = this.#options
    const bytes = Buffer.byteLength(payload)
    if (bytes <= maxMessageBytes) return payload
    log.warn({ roomId, bytes, bound: 'MAX_MESSAGE_BYTES', maxMessageBytes }, 'payload of an end is too large, dropped')
    return '{}'
  }

  #retryLater () {
    if (this.#retrying) return
    this.#cancelRetry ??= this.#options.clock.after(RETRY_MS, () => {
      this.#cancelRetry = undefined
      this.#retry()
    })
  }

  async #retry () {
    this.#retrying = true
    // One by one: a refusal of one room must not keep the others out.
    if (this.#canOpen) await Promise.all([...this.#unopened].map((roomId) => this.#open([roomId])))
    this.#retrying = false
    if (this.#canOpen && this.#unopened.size > 0) this.#retryLater()
  }
}

function unavailable (error: unknown) {
  // The cause is left out on purpose: ioredis keeps the arguments of the command in it.
  return new BrokerUnavailableError(messageOf(error))
}

function messageOf (error: unknown) {
  return error instanceof Error ? error.message : String(error)
}
