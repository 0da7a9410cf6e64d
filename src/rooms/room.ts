import type { RoomListener } from '../broker/broker.js'
import type { Clock } from '../clock.js'
import type { Log } from '../log.js'
import type { TimeoutQueue } from '../timeout-queue.js'
import { Audience } from './audience.js'
import { Batcher } from './batcher.js'
import type { DisconnectReason } from './disconnect-reason.js'
import { createTerm, parseEventId } from './event-id.js'
import { goodbyeFrame, helloFrame } from './frame.js'
import { History, type Entry } from './history.js'
import type { Viewer } from './viewer.js'

/** A room that is flooded with too large messages says so only so often. */
const OVERSIZED_LOG_INTERVAL_MS = 10_000

export interface RoomSettings {
  readonly flushIntervalMs: number
  readonly historyMessages: number
  readonly historyBytes: number
  readonly maxMessageBytes: number
  readonly retryMs: number
  readonly subscribeTimeoutMs: number
}

/** What the rooms of an instance share. */
export interface RoomContext {
  readonly settings: RoomSettings
  readonly clock: Clock
  readonly log: Log
  /** Calls `heartbeat` on a room whose viewers have been silent for long enough. */
  readonly heartbeats: TimeoutQueue<Room>
  /** Disconnects viewers that have taken no bytes for too long. */
  readonly slowViewers: TimeoutQueue<Viewer>
  /** Called once, after a room has told its viewers of its end. */
  onEnded (room: Room): void
}

/** Where a stream starts. */
export interface StartOptions {
  /** The last event the viewer has seen; undefined for a new viewer. May be anything: it comes from the network. */
  readonly lastEventId?: string | undefined
  /** Messages a new viewer wants to see first. */
  readonly recent: number
}

/**
 * One chat room on this instance: hears messages from the broker, gathers them into batches, keeps the latest,
 * and writes each batch as one frame to all viewers.
 */
export class Room implements RoomListener {
  /** Places taken by viewers, also by those whose stream has not begun or is just ending. The registry counts it. */
  places = 0
  /** Resolves when streams may begin: the broker listens, or has not said so for SUBSCRIBE_TIMEOUT_MS, or the room has ended. */
  readonly opened: Promise<void>

  readonly #context: RoomContext
  readonly #batcher: Batcher
  readonly #history: History
  readonly #audience: Audience
  #resolveOpened: () => void = () => {}
  #cancelOpenTimeout: (() => void) | undefined
  #isOpened = false
  /** Streams were open while nobody listened: what is heard next comes after a gap. */
  #mayHaveMissed = false
  #hasEnded = false
  #oversized = 0
  #oversizedLoggedAt = -Infinity

  /** @param waitForBroker false: streams begin at once, because the broker is known not to answer now */
  constructor (readonly id: string, waitForBroker: boolean, context: RoomContext) {
    const { settings, clock } = context
    this.#context = context
    this.#batcher = new Batcher(clock, settings.flushIntervalMs, (messages) => this.#say(this.#history.appendMessages(messages)))
    this.#history = new History(createTerm(clock.epochMs()), settings.historyMessages, settings.historyBytes)
    this.#audience = new Audience(this.#history, context.slowViewers)
    this.opened = new Promise((resolve) => { this.#resolveOpened = resolve })
    if (waitForBroker) this.#cancelOpenTimeout = clock.after(settings.subscribeTimeoutMs, () => this.#openUnheard())
    else this.#openUnheard()
  }

  get hasEnded () { return this.#hasEnded }

  viewers (): Viewer[] { return this.#audience.viewers() }

  /** Begins a viewer's stream: what it missed or asked for, then all that comes. Only once `opened`, and not after the end. */
  join (viewer: Viewer, { lastEventId, recent }: StartOptions) {
    const { position, lead } = lastEventId === undefined
      ? this.#history.recent(recent)
      : this.#history.afterId(parseEventId(lastEventId))
    // A lead carries its own id; until the viewer has read it, the id it came with stays in force.
    const hello = lead ? [helloFrame(this.#retryMs()), lead] : [helloFrame(this.#retryMs(), position)]
    this.#audience.join(viewer, hello, position)
    if (this.#audience.size === 1) this.#context.heartbeats.touch(this)
  }

  /** Forgets a viewer whose socket is closed. */
  leave (viewer: Viewer) {
    this.#audience.leave(viewer)
  }

  /** Sends a viewer away to come back, with its place, to another instance. */
  dismiss (viewer: Viewer, reason: DisconnectReason) {
    this.#batcher.flush()
    this.#audience.dismiss(viewer, goodbyeFrame(reason, this.#retryMs()), reason)
  }

  heartbeat () {
    if (this.#audience.size === 0) return
    this.#audience.heartbeat()
    this.#context.heartbeats.touch(this)
  }

  /** Stops; the room is used no more. */
  close () {
    this.#cancelOpenTimeout?.()
    this.#batcher.close()
    this.#context.heartbeats.delete(this)
  }

  onOpen () {
    this.#sayWhatMayBeMissed()
    this.#open()
  }

  onInterrupted () {
    if (this.#isOpened) this.#mayHaveMissed = true
  }

  onMessage (message: string) {
    // Nobody is promised what comes before the broker says that it hears everything.
    if (this.#hasEnded || !this.#isOpened) return
    this.#sayWhatMayBeMissed()
    const bytes = Buffer.byteLength(message)
    if (bytes > this.#context.settings.maxMessageBytes) this.#dropOversized(bytes)
    else this.#batcher.add(message, bytes)
  }

  onEnd (payload: string) {
    if (this.#hasEnded) return
    this.#hasEnded = true
    this.#sayWhatMayBeMissed()
    this.#batcher.flush()
    this.#say(this.#history.appendEnd(payload))
    this.#audience.close()
    this.close()
    this.#open()
    this.#context.onEnded(this)
  }

  #open () {
    this.#isOpened = true
    this.#cancelOpenTimeout?.()
    this.#resolveOpened()
  }

  /** Lets streams begin although the broker does not listen yet. */
  #openUnheard () {
    this.#mayHaveMissed = true
    this.#open()
  }

  /**
   * Invariant: a gap stands in the history before everything that was heard after an interruption, and after everything
   * heard before it. It is said when something is heard again, not when the interruption begins: who joins in
   * between is concerned too.
   */
  #sayWhatMayBeMissed () {
    if (!this.#mayHaveMissed) return
    this.#mayHaveMissed = false
    this.#batcher.flush()
    this.#context.log.debug({ roomId: this.id }, 'room may have missed messages')
    this.#say(this.#history.appendGap('broker-reconnect', createTerm(this.#context.clock.epochMs())))
  }

  #say (entry: Entry) {
    this.#audience.broadcast(entry)
    if (this.#audience.size > 0) this.#context.heartbeats.touch(this)
  }

  /** Spread, so that viewers who lost their streams together do not come back together. */
  #retryMs () {
    return this.#context.settings.retryMs * (0.5 + Math.random())
  }

  #dropOversized (bytes: number) {
    this.#oversized++
    const now = this.#context.clock.now()
    if (now - this.#oversizedLoggedAt < OVERSIZED_LOG_INTERVAL_MS) return
    this.#oversizedLoggedAt = now
    const { maxMessageBytes } = this.#context.settings
    this.#context.log.warn({ roomId: this.id, bytes, dropped: this.#oversized, bound: 'MAX_MESSAGE_BYTES', maxMessageBytes }, 'message is too large, dropped')
  }
}
