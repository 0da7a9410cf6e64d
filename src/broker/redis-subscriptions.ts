import type { Redis } from 'ioredis'
import type { Clock } from '../clock.js'
import type { Log } from '../log.js'
import { parseLogEntry } from '../sequencing/log-entry.js'
import type { RoomListener } from './broker.js'
import { MessageBound } from './message-bound.js'
import { parseViewerCounts } from './redis-viewer-board.js'
import { parseSignal } from './signal.js'
import { batchesChannel, endChannel, messageChannel, signalsChannel } from './redis-keys.js'

/** Rooms subscribed to by one command when a lost connection is back. */
const ROOMS_PER_SUBSCRIBE = 500
/** Subscriptions that Redis ends come one by one: all of them are looked for at once. */
const CHECK_MS = 20
/** Pause before a subscription that failed is tried again. */
const RETRY_MS = 1000

export interface SubscriptionOptions {
  /** Connection for subscriptions only. */
  readonly subscriber: Redis
  readonly clock: Clock
  readonly log: Log
  /** Larger messages are dropped; an end whose payload is larger ends the room with `{}`. */
  readonly maxMessageBytes: number
  /** Whether what instances tell each other comes on sharded channels, as in a cluster. */
  readonly isSharded?: boolean
}

/** Who listens to which room. Restores what was subscribed to when a lost connection is back. */
export class RedisSubscriptions {
  readonly #options: SubscriptionOptions
  readonly #listeners = new Map<string, RoomListener>()
  /** Who is called for a message on a channel: one look-up per message. */
  readonly #channels = new Map<string, (payload: string) => void>()
  /** Rooms that were not told yet that they are subscribed to. */
  readonly #unsubscribed = new Set<string>()
  #ready = false
  /** Counts connections, to know an answer of an earlier one. */
  #connection = 0
  #refused = false
  #cancelRetry: (() => void) | undefined
  #cancelCheck: (() => void) | undefined
  readonly #bound: MessageBound

  constructor (options: SubscriptionOptions) {
    this.#options = options
    const { subscriber, maxMessageBytes, clock, log } = options
    this.#bound = new MessageBound(maxMessageBytes, clock, log)
    subscriber.on('message', this.#onMessage)
    subscriber.on('smessage', this.#onMessage)
    subscriber.on('moved', this.#onMoved)
    subscriber.on('ready', this.#onReady)
    subscriber.on('close', this.#onClose)
    if (subscriber.status === 'ready') this.#onReady()
  }

  /** Messages that were too large. */
  get oversized () { return this.#bound.oversized }

  get connected () { return this.#ready }

  add (roomId: string, listener: RoomListener) {
    this.#listeners.set(roomId, listener)
    this.#unsubscribed.add(roomId)
    this.#channels.set(messageChannel(roomId), (message) => {
      if (this.#bound.fits(roomId, message)) listener.onMessage(message)
    })
    this.#channels.set(endChannel(roomId), (payload) => listener.onEnd(this.#bound.endPayload(roomId, payload)))
    this.#channels.set(signalsChannel(roomId), (text) => {
      const counts = parseViewerCounts(text)
      if (counts !== undefined) return listener.onViewers(counts)
      const signal = parseSignal(text)
      if (signal !== undefined) listener.onSignal(signal)
    })
    this.#channels.set(batchesChannel(roomId), (text) => {
      const entry = parseLogEntry(text)
      if (entry !== undefined) return listener.onLogged(entry)
      const signal = parseSignal(text)
      if (signal !== undefined) listener.onSignal(signal)
    })
    if (this.#ready) this.#subscribe([roomId])
  }

  /** Resolves when nothing will be heard any more. */
  async remove (roomId: string) {
    const listener = this.#listeners.get(roomId)
    if (listener === undefined) return
    this.#unsubscribed.delete(roomId)
    // Without a connection there is no subscription either.
    if (this.#ready) await this.#unsubscribe(roomId)
    // The room may have been added anew meanwhile.
    if (this.#listeners.get(roomId) !== listener) return
    this.#delete(roomId)
  }

  /** Tells the listener nothing any more, at once. @returns whether it was told last that it is subscribed */
  drop (roomId: string): boolean {
    const wasSubscribed = this.#listeners.has(roomId) && !this.#unsubscribed.has(roomId)
    this.#delete(roomId)
    if (this.#ready) this.#unsubscribe(roomId)
    return wasSubscribed
  }

  async follow (roomId: string) {
    const { subscriber, isSharded } = this.#options
    await (isSharded ? subscriber.ssubscribe(batchesChannel(roomId)) : subscriber.subscribe(batchesChannel(roomId)))
  }

  unfollow (roomId: string) {
    const { subscriber, isSharded } = this.#options
    if (this.#ready) (isSharded ? subscriber.sunsubscribe(batchesChannel(roomId)) : subscriber.unsubscribe(batchesChannel(roomId))).catch(() => {})
  }

  close () {
    const { subscriber } = this.#options
    subscriber.off('message', this.#onMessage)
    subscriber.off('smessage', this.#onMessage)
    subscriber.off('moved', this.#onMoved)
    subscriber.off('ready', this.#onReady)
    subscriber.off('close', this.#onClose)
    this.#listeners.clear()
    this.#channels.clear()
    this.#unsubscribed.clear()
    this.#cancelRetry?.()
    this.#cancelCheck?.()
  }

  readonly #onMessage = (channel: string, payload: string) => {
    this.#channels.get(channel)?.(payload)
  }

  /**
   * Redis has ended sharded subscriptions: their keys are elsewhere now. It does so channel by channel, and these rooms hear nothing
   * of other instances any more. Where their keys are is found out meanwhile (redis-cluster.ts); should they be back here, it is subscribed again.
   */
  readonly #onMoved = () => {
    // Without any, ioredis passes nothing on: what is heard after the next one must come after the interruption.
    if (!this.#options.subscriber.condition?.subscriber) this.#interruptLost()
    else this.#cancelCheck ??= this.#options.clock.after(CHECK_MS, () => this.#interruptLost())
  }

  #interruptLost () {
    this.#cancelCheck?.()
    this.#cancelCheck = undefined
    if (!this.#ready) return
    const subscribed = this.#options.subscriber.condition?.subscriber
    const channels = new Set(subscribed ? subscribed.channels('ssubscribe') : [])
    for (const [roomId, listener] of this.#listeners) {
      if (this.#unsubscribed.has(roomId) || channels.has(signalsChannel(roomId))) continue
      this.#unsubscribed.add(roomId)
      listener.onInterrupted()
    }
    if (this.#unsubscribed.size > 0) this.#retryLater()
  }

  readonly #onReady = () => {
    // ioredis says so a tick after its status: the constructor may have seen it already.
    if (this.#ready) return
    this.#ready = true
    const roomIds = [...this.#unsubscribed]
    for (let start = 0; start < roomIds.length; start += ROOMS_PER_SUBSCRIBE) {
      this.#subscribe(roomIds.slice(start, start + ROOMS_PER_SUBSCRIBE))
    }
  }

  readonly #onClose = () => {
    this.#connection++
    if (!this.#ready) return
    this.#ready = false
    this.#refused = false
    if (this.#listeners.size > 0) this.#options.log.warn({ rooms: this.#listeners.size }, 'rooms hear nothing until redis is back')
    for (const [roomId, listener] of this.#listeners) {
      this.#unsubscribed.add(roomId)
      listener.onInterrupted()
    }
  }

  /** Subscribes, and tells the listeners. What fails while the connection lives is tried again. */
  async #subscribe (roomIds: string[]) {
    const connection = this.#connection
    const listeners = roomIds.map((roomId) => this.#listeners.get(roomId))
    try {
      await this.#subscribeChannels(roomIds)
    } catch (error) {
      // After a lost connection all begins anew with its return.
      if (connection === this.#connection) this.#onFailed(error)
      return
    }
    if (connection !== this.#connection) return
    for (const [index, roomId] of roomIds.entries()) {
      const listener = listeners[index]
      // The room may have gone, gone and come back, or been told by another attempt, while Redis answered.
      if (listener !== undefined && this.#listeners.get(roomId) === listener && this.#unsubscribed.delete(roomId)) listener.onSubscribed()
    }
    if (this.#refused && this.#unsubscribed.size === 0) {
      this.#refused = false
      this.#options.log.info({}, 'redis subscribes again')
    }
  }

  async #subscribeChannels (roomIds: string[]) {
    const { subscriber, isSharded } = this.#options
    if (!isSharded) return await subscriber.subscribe(...roomIds.flatMap((roomId) => [...contractChannels(roomId), signalsChannel(roomId)]))
    // One command takes sharded channels of one slot only.
    return await Promise.all([subscriber.subscribe(...roomIds.flatMap(contractChannels)), ...roomIds.map((roomId) => subscriber.ssubscribe(signalsChannel(roomId)))])
  }

  /** Never fails: without a connection there is no subscription either. */
  async #unsubscribe (roomId: string) {
    const { subscriber, isSharded } = this.#options
    const [contract, internal] = [contractChannels(roomId), [signalsChannel(roomId), batchesChannel(roomId)]]
    await (isSharded
      ? Promise.all([subscriber.unsubscribe(...contract), subscriber.sunsubscribe(...internal)])
      : subscriber.unsubscribe(...contract, ...internal)).catch(() => {})
  }

  #delete (roomId: string) {
    this.#listeners.delete(roomId)
    // A connection that was lost meanwhile has put it back.
    this.#unsubscribed.delete(roomId)
    for (const channel of [...contractChannels(roomId), signalsChannel(roomId), batchesChannel(roomId)]) this.#channels.delete(channel)
  }

  /** A connection that is just being lost fails too, before ioredis says so: that is no refusal. */
  #onFailed (error: unknown) {
    const reason = error instanceof Error ? error.message : String(error)
    if (!this.#refused && error instanceof Error && !reason.startsWith('MOVED ') && (error.name === 'ReplyError' || reason === 'Command timed out')) {
      this.#refused = true
      this.#options.log.error({ reason }, 'redis does not subscribe, retrying')
    }
    this.#retryLater()
  }

  #retryLater () {
    this.#cancelRetry ??= this.#options.clock.after(RETRY_MS, () => {
      this.#cancelRetry = undefined
      // One by one: a refusal of one room must not keep the others out.
      if (this.#ready) for (const roomId of this.#unsubscribed) this.#subscribe([roomId])
    })
  }
}

function contractChannels (roomId: string): string[] {
  return [messageChannel(roomId), endChannel(roomId)]
}
