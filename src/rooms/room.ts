import type { Clock } from '../clock.js'
import type { ViewerCounts } from '../broker/viewer-board.js'
import type { Census } from '../counting/census.js'
import type { Headcount } from '../counting/headcount.js'
import type { Counters } from '../counters.js'
import { FlushPacer } from '../sequencing/flush-pacer.js'
import type { SequencerContext } from '../sequencing/sequencer-context.js'
import { Sequencer, type Outlet } from '../sequencing/sequencer.js'
import type { TimeoutQueue } from '../timeout-queue.js'
import { Audience, type AudienceContext } from './audience.js'
import type { DisconnectReason } from './disconnect-reason.js'
import { compareEventIds, formatEventId, parseEventId } from './event-id.js'
import { goodbyeFrame, helloFrame, TOKEN_EXPIRED_FRAME } from './frame.js'
import type { CompressionSettings } from './gzip-viewers.js'
import { History, type Continuation, type Entry } from './history.js'
import type { Viewer } from './viewer.js'

/** So many bytes are not held back any longer. */
const MAX_UNFLUSHED_BYTES = 131_072

export interface RoomSettings {
  readonly historyMessages: number
  readonly historyBytes: number
  readonly retryMs: number
  readonly subscribeTimeoutMs: number
  readonly compression: CompressionSettings
}

/** What the rooms of an instance share. */
export interface RoomContext extends SequencerContext, AudienceContext {
  readonly settings: RoomSettings
  readonly clock: Clock
  readonly counters: Counters
  readonly census: Census
  /** Calls `heartbeat` on a room whose viewers have been silent for long enough. */
  readonly heartbeats: TimeoutQueue<Room>
  /** Calls `giveUp` on the room of a viewer whose place has not come for too long. */
  readonly aheadViewers: TimeoutQueue<WaitingViewer>
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

/** A viewer of which it is not known yet where its stream goes on. */
export interface WaitingViewer {
  readonly room: Room
  readonly viewer: Viewer
  readonly start: StartOptions
}

/**
 * One chat room on this instance: what its sequencer says is kept in the history, and written as one frame to all
 * viewers. As the owner the sequencer paces that. What comes from another instance was paced there, and is paced again here while
 * this one has more to write than it can.
 */
export class Room implements Outlet {
  /** Places taken by viewers, also by those whose stream has not begun or is just ending. The registry counts it. */
  places = 0
  /** Resolves when streams may begin: the history is complete, or that takes longer than SUBSCRIBE_TIMEOUT_MS, or the room has ended. */
  readonly opened: Promise<void>
  readonly sequencer: Sequencer

  readonly #context: RoomContext
  readonly #history: History
  readonly #audience: Audience
  readonly #headcount: Headcount
  readonly #pacer: FlushPacer
  readonly #waiting = new Map<Viewer, WaitingViewer>()
  #resolveOpened: () => void = () => {}
  #cancelOpenTimeout: (() => void) | undefined
  #isReady = false
  #hasEnded = false

  /** @param waitForBroker false: streams begin at once, because the broker is known not to answer now */
  constructor (readonly id: string, waitForBroker: boolean, context: RoomContext) {
    const { settings, clock } = context
    this.#context = context
    this.#history = new History(settings.historyMessages, settings.historyBytes)
    this.#audience = new Audience(this.#history, settings.compression, context, (isFlushed) => this.#onWritten(isFlushed))
    this.#headcount = context.census.open(id, this.#audience)
    const { governor } = context
    this.#pacer = new FlushPacer(clock, governor, () => governor.isUnderLoad ? governor.intervalMs : 0, this.#audience)
    this.sequencer = new Sequencer(id, this.#history, this, context)
    this.opened = new Promise((resolve) => {
      this.#resolveOpened = () => {
        this.#isReady = true
        resolve()
      }
    })
    if (waitForBroker) this.#cancelOpenTimeout = clock.after(settings.subscribeTimeoutMs, () => this.#resolveOpened())
    else this.#resolveOpened()
  }

  /** Whether `opened` is resolved. */
  get isReady () { return this.#isReady }

  get hasEnded () { return this.#hasEnded }

  viewers (): Viewer[] { return this.#audience.viewers() }

  /** Bytes of the events that are kept. */
  get historyBytes () { return this.#history.bytes }

  /** Id of the last event. */
  get lastEventId () { return formatEventId(this.#history.last) }

  /** Whether there is nothing more to say to a viewer of a room that has ended than just that. */
  hasSeenAll (lastEventId: string | undefined): boolean {
    const id = parseEventId(lastEventId ?? '')
    const continuation = id && this.#history.afterId(id)
    if (continuation === undefined) return true
    const next = this.#history.next(continuation.position)
    return continuation.lead === undefined && (next === undefined || next.kind === 'end')
  }

  /** Begins a viewer's stream: what it missed or asked for, then all that comes. Only once `opened`. */
  join (viewer: Viewer, start: StartOptions) {
    if (this.#audience.size === 0) this.#context.heartbeats.touch(this)
    this.#headcount.onJoining()
    const continuation = this.sequencer.isOpen ? this.#continuationOf(start) : undefined
    if (continuation !== undefined) {
      this.#begin(viewer, continuation, start.lastEventId)
      this.#headcount.onChanged()
      return
    }
    const waiting = { room: this, viewer, start }
    this.#waiting.set(viewer, waiting)
    this.#audience.wait(viewer, helloFrame(this.#retryMs()))
    this.#headcount.onChanged()
    if (this.sequencer.isOpen) this.#context.aheadViewers.touch(waiting)
  }

  /** Forgets a viewer whose socket is closed. */
  leave (viewer: Viewer) {
    this.#stopWaiting(viewer)
    this.#audience.leave(viewer)
    this.#headcount.onChanged()
  }

  /** Sends a viewer away to come back, with its place, to another instance. */
  dismiss (viewer: Viewer, reason: DisconnectReason) {
    if (!this.isWriting) this.sequencer.flush()
    this.#audience.dismiss(viewer, goodbyeFrame(reason, this.#retryMs()), reason)
  }

  /** Ends the stream of a viewer whose token has expired, and says so. */
  expire (viewer: Viewer) {
    if (!this.isWriting) this.sequencer.flush()
    this.#audience.dismiss(viewer, TOKEN_EXPIRED_FRAME, 'token-expired')
  }

  heartbeat () {
    if (this.#audience.size === 0) return
    this.#audience.heartbeat()
    this.#context.heartbeats.touch(this)
  }

  /** The place of a viewer has not come: nobody gave out its id, unless this instance is out of touch. */
  giveUp (waiting: WaitingViewer) {
    if (!this.sequencer.isInTouch && !this.#hasEnded) {
      this.#context.aheadViewers.touch(waiting)
      return
    }
    const { viewer } = waiting
    this.#stopWaiting(viewer)
    this.#begin(viewer, this.#history.afterUnknownId())
  }

  /** Stops; the room is used no more. Resolves when another instance may have it. */
  async close () {
    this.#cancelOpenTimeout?.()
    this.#resolveOpened()
    this.#context.heartbeats.delete(this)
    this.#headcount.close()
    await this.sequencer.close()
    this.#pacer.stop()
  }

  onSubscribed () {
    this.#headcount.onSubscribed()
  }

  onInterrupted () {
    this.#headcount.onInterrupted()
  }

  onViewers (counts: ViewerCounts) {
    this.#headcount.onViewers(counts)
  }

  onOpen () {
    this.#cancelOpenTimeout?.()
    for (const { viewer, start } of [...this.#waiting.values()]) {
      this.#stopWaiting(viewer)
      // A new viewer was promised everything from its beginning on, but nobody listened.
      if (start.lastEventId === undefined) this.#begin(viewer, this.#history.afterNotListening())
      else this.join(viewer, start)
    }
    this.#resolveOpened()
  }

  onSaid (entry: Entry, heardAtMs?: number) {
    if (entry.kind === 'batch') this.#context.counters.batches++
    this.#audience.add(entry, heardAtMs)
    if (this.#audience.unflushedBytes < MAX_UNFLUSHED_BYTES) this.#pacer.request()
    else this.#pacer.flushNow()
    if (this.#audience.size > 0) this.#context.heartbeats.touch(this)
    for (const { viewer, start } of [...this.#waiting.values()]) {
      const continuation = this.sequencer.isOpen ? this.#continuationOf(start) : undefined
      if (continuation === undefined) continue
      this.#stopWaiting(viewer)
      this.#begin(viewer, continuation, start.lastEventId)
    }
  }

  flush () {
    // The sequencer paces it.
    this.#pacer.stop()
    this.#audience.flush()
  }

  get isWriting () { return this.#audience.isWriting }

  onEnded () {
    this.#hasEnded = true
    for (const waiting of [...this.#waiting.values()]) this.giveUp(waiting)
    this.#audience.close()
    this.#cancelOpenTimeout?.()
    this.#context.heartbeats.delete(this)
    this.#resolveOpened()
    this.#context.onEnded(this)
  }

  /** @returns undefined when it is not known yet: what the viewer has seen has not come here */
  #continuationOf ({ lastEventId, recent }: StartOptions): Continuation | undefined {
    if (lastEventId === undefined) return this.#history.recent(recent)
    const id = parseEventId(lastEventId)
    if (id === undefined) return this.#history.afterUnknownId()
    return this.#history.afterId(id) ?? (this.sequencer.isOwner || this.#hasEnded ? this.#history.afterUnknownId() : undefined)
  }

  #begin (viewer: Viewer, { position, lead, gap }: Continuation, lastEventId = '') {
    if (gap !== undefined) this.#context.counters.gaps.viewer[gap]++
    if (!this.isWriting) this.#pacer.flushNow()
    // A lead carries its own id; until the viewer has read it, the id it came with stays in force.
    const seen = parseEventId(lastEventId)
    const id = lead || (seen && compareEventIds(position, seen) < 0) ? undefined : position
    this.#audience.join(viewer, [helloFrame(this.#retryMs(), id), ...(lead ? [lead] : [])], position)
  }

  #onWritten (isFlushed: boolean) {
    this.#pacer.onWritten(isFlushed)
    this.sequencer.onWritten(isFlushed)
  }

  #stopWaiting (viewer: Viewer) {
    const waiting = this.#waiting.get(viewer)
    if (waiting === undefined) return
    this.#waiting.delete(viewer)
    this.#context.aheadViewers.delete(waiting)
  }

  /** Spread, so that viewers who lost their streams together do not come back together. */
  #retryMs () {
    return this.#context.settings.retryMs * (0.5 + Math.random())
  }
}
