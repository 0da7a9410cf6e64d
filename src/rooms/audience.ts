import type { Clock } from '../clock.js'
import type { Counters, WrittenBytes } from '../counters.js'
import type { TimeoutQueue } from '../timeout-queue.js'
import type { DisconnectReason } from './disconnect-reason.js'
import type { FanOut, Writing } from './fan-out.js'
import { HEARTBEAT_FRAME } from './frame.js'
import type { CompressionSettings } from './gzip-viewers.js'
import { messagesIn, type Entry, type History, type Position } from './history.js'
import { LiveViewers } from './live-viewers.js'
import { Replays, takeReplay } from './replays.js'
import { Unflushed } from './unflushed.js'
import type { Viewer } from './viewer.js'

/** Most bytes a viewer that is behind is given before it must have taken them: bounds the memory it costs. */
const CATCH_UP_BYTES = 65_536

/** What the audiences of an instance share. */
export interface AudienceContext {
  readonly fanOut: FanOut
  /** Disconnects viewers that have taken no bytes for too long. */
  readonly slowViewers: TimeoutQueue<Viewer>
  readonly clock: Clock
  readonly counters: Counters
}

/**
 * The viewers of one room, each live, behind, joining, or waiting.
 *
 * Invariant: a live viewer has been written every entry of the history but those in `#unflushed`, the last of it, and, while a frame is being
 * written, those in that frame, which it is written before anything else; a viewer that is behind has been
 * written every entry up to its position, and nothing more is written to it until it has drained; a viewer that is joining or waiting
 * has been written no entry: its place is ahead of the live ones, who are being written a frame, or is not known yet. A viewer moves between them only
 * within one turn of the event loop, and becomes live only where live viewers are who have been written all frames, so a stream never mixes replay and
 * live, and no entry is written twice or left out.
 *
 * A frame is written by the fan-out, in parts. What comes meanwhile waits until it has been written to all: only so many bytes of entries
 * (`unflushedBytes`) are a reason to write the rest of it at once.
 */
export class Audience implements Writing {
  readonly #live: LiveViewers
  readonly #behind = new Map<Viewer, Position>()
  readonly #joining = new Map<Viewer, { readonly lead: readonly Buffer[], readonly start: Position }>()
  readonly #waiting = new Set<Viewer>()
  readonly #replays: Replays
  /** What is so at present: replaced by the next one, and not in the history. */
  #notice: Buffer | undefined
  /** Live viewers have not been written it. */
  #isNoticeDue = false
  /** Those who are behind and have not been written it. */
  readonly #unnotified = new Set<Viewer>()
  readonly #unflushed = new Unflushed()
  /** Of the frame that was written last, or is being written: the place after it, whether it has entries, and when its oldest message was heard. */
  #frame: { readonly to: Position, readonly isFlushed: boolean, readonly heardAtMs: number | undefined }
  #isWriting = false
  #closed = false
  /** Closed, and live viewers have been written everything. */
  #isOver = false

  /** @param onWritten is told when a frame has been written to all, and whether it had entries */
  constructor (private readonly history: History, compression: CompressionSettings, private readonly context: AudienceContext, private readonly onWritten: (isFlushed: boolean) => void) {
    this.#frame = { to: history.last, isFlushed: false, heardAtMs: undefined }
    this.#replays = new Replays(history, CATCH_UP_BYTES)
    this.#live = new LiveViewers(compression, context.clock, context.counters.bytes)
  }

  get size () { return this.#live.size + this.#behind.size + this.#joining.size + this.#waiting.size }

  get unflushedBytes () { return this.#unflushed.bytes }

  get isWriting () { return this.#isWriting }

  viewers (): Viewer[] { return [...this.#live, ...this.#behind.keys(), ...this.#joining.keys(), ...this.#waiting] }

  /** Keeps a viewer that will `join` later; until then it gets heartbeats only. */
  wait (viewer: Viewer, lead: Buffer) {
    this.#waiting.add(viewer)
    viewer.tell(lead)
  }

  /** Writes `lead` and the notice, then what the history holds from `start` on, then all that comes. */
  join (viewer: Viewer, lead: readonly Buffer[], start: Position) {
    this.#waiting.delete(viewer)
    this.#unnotified.delete(viewer)
    if (this.#isWriting && !this.#unflushed.isEmpty) {
      this.#joining.set(viewer, { lead, start })
      return
    }
    this.flush()
    const replay = this.#replays.from(start)
    const position = replay?.to ?? start
    // What is due comes to all who are live.
    let keepsUp = this.#notice === undefined || this.#isNoticeDue ? viewer.tell(...lead) : viewer.tell(...lead, this.#notice)
    if (replay !== undefined) {
      this.context.counters.replays++
      this.context.counters.deliveries += replay.messages
      const written = this.#bytesLike(viewer)
      written.events += replay.frame.length
      for (const bytes of takeReplay(replay, viewer.isGzip)) {
        keepsUp = viewer.write(bytes)
        written.written += bytes.length
      }
    }
    if (keepsUp) this.#catchUp(viewer, position)
    else this.#fallBehind(viewer, position)
  }

  /** Forgets a viewer whose socket is closed. */
  leave (viewer: Viewer) {
    this.#live.delete(viewer)
    this.#behind.delete(viewer)
    this.#joining.delete(viewer)
    this.#waiting.delete(viewer)
    this.#unnotified.delete(viewer)
    this.context.slowViewers.delete(viewer)
  }

  /**
   * Takes the newest entry of the history; it is written by the next `flush`.
   *
   * @param heardAtMs when its oldest message was heard; undefined when that is not known, or it has none
   */
  add (entry: Entry, heardAtMs?: number) {
    this.#unflushed.add(entry, heardAtMs)
    this.#replays.clear()
  }

  /** Begins to write what was added to all who are live, as one frame. @returns whether there was anything */
  flush (): boolean {
    if (this.#unflushed.isEmpty) return false
    this.#writeRest()
    const gathered = this.#unflushed.take()
    // Those who have joined meanwhile may have been a reason to flush.
    if (gathered === undefined) return true
    const viewers = this.#live.size
    this.context.counters.viewerWrites += viewers
    this.context.counters.deliveries += viewers * gathered.messages
    this.#writeToLive(gathered.frame, true, viewers > 0 ? gathered.heardAtMs : undefined)
    return true
  }

  /** Writes what is so from now on to all who are live; the others get it when they are: only the latest, nothing queues up. */
  show (notice: Buffer | undefined) {
    this.#notice = notice
    this.#isNoticeDue = notice !== undefined && !this.#closed
    if (!this.#isWriting) this.#writeNotice()
  }

  heartbeat () {
    this.#replays.clear()
    // Who is being written to is not silent.
    if (!this.#isWriting && !this.flush()) this.#writeToLive(HEARTBEAT_FRAME, false)
    // A few bytes each: these do not wait for long.
    for (const viewer of this.#waiting) viewer.tell(HEARTBEAT_FRAME)
  }

  /** Nothing comes after the newest entry: whoever has it is disconnected; who is behind gets there first. */
  close () {
    this.#closed = true
    this.#isNoticeDue = false
    if (!this.#isWriting) this.#goOn()
  }

  /**
   * Says `farewell` to a viewer and ends its stream. One that is behind could not read it, and is cut. What has come while a
   * frame is being written it gets where it comes back.
   */
  dismiss (viewer: Viewer, farewell: Buffer, reason: DisconnectReason) {
    if (!this.#isWriting) this.flush()
    const isLive = this.#live.has(viewer)
    if (this.#behind.has(viewer) || (isLive && !this.#live.writeTo(viewer))) {
      this.leave(viewer)
      viewer.destroy(reason)
    } else if (isLive || this.#joining.has(viewer) || this.#waiting.has(viewer)) {
      viewer.tell(farewell)
      this.#disconnect(viewer, reason)
    }
  }

  writeOn (most: number): number {
    if (this.#isOver) return this.#disconnectLive(most)
    const { to } = this.#frame
    const written = this.#live.write(most, (viewer) => this.#fallBehind(viewer, to))
    if (this.#live.isWritten) this.#onFrameWritten()
    return written
  }

  #onFrameWritten () {
    const { isFlushed, heardAtMs } = this.#frame
    const { clock, counters } = this.context
    if (heardAtMs !== undefined) counters.latencyMs.add(clock.now() - heardAtMs)
    this.#isWriting = false
    this.onWritten(isFlushed)
    this.#goOn()
  }

  /** @returns how many of them were */
  #disconnectLive (most: number): number {
    const viewers: Viewer[] = []
    for (const viewer of this.#live) if (viewers.push(viewer) >= most) break
    for (const viewer of viewers) this.#disconnect(viewer, 'room-ended')
    this.#startWriting()
    return viewers.length
  }

  /** Begins what has had to wait while a frame was being written. */
  #goOn () {
    this.#writeNotice()
    if (this.#closed && !this.flush()) {
      this.#isOver = true
      this.#startWriting()
    }
    if (this.#joining.size === 0) return
    const joining = [...this.#joining]
    this.#joining.clear()
    for (const [viewer, { lead, start }] of joining) this.#joinLater(viewer, lead, start)
  }

  /** Joins a viewer whose place may have fallen out of the history meanwhile. */
  #joinLater (viewer: Viewer, lead: readonly Buffer[], start: Position) {
    const { position, lead: gapLead, gap } = this.history.afterFallingBehind(start)
    if (gap !== undefined) this.context.counters.gaps.viewer[gap]++
    this.join(viewer, gapLead === undefined ? lead : [...lead, gapLead], position)
  }

  #writeNotice () {
    if (!this.#isNoticeDue || this.#notice === undefined) return
    this.#isNoticeDue = false
    for (const viewer of this.#behind.keys()) this.#unnotified.add(viewer)
    this.#writeToLive(this.#notice, false)
  }

  /** Only when nothing is being written. */
  #writeToLive (frame: Buffer, isFlushed: boolean, heardAtMs?: number) {
    this.#frame = { to: this.#livePosition, isFlushed, heardAtMs }
    this.#live.begin(frame)
    this.#startWriting()
  }

  #startWriting () {
    this.#isWriting = this.#live.size > 0
    if (this.#isWriting) this.context.fanOut.add(this)
  }

  /** Before something else is written. */
  #writeRest () {
    while (this.#isWriting) this.writeOn(Infinity)
    this.context.fanOut.delete(this)
  }

  /** Where live viewers are who have been written all frames. */
  get #livePosition (): Position { return this.#unflushed.from ?? this.history.last }

  #bytesLike (viewer: Viewer): WrittenBytes {
    return viewer.isGzip ? this.context.counters.bytes.gzip : this.context.counters.bytes.plain
  }

  #fallBehind (viewer: Viewer, position: Position) {
    this.context.counters.fellBehind++
    this.#live.delete(viewer)
    this.#behind.set(viewer, position)
    this.context.slowViewers.touch(viewer)
    viewer.onceDrained(() => this.#onDrained(viewer))
  }

  #onDrained (viewer: Viewer) {
    const position = this.#behind.get(viewer)
    // It may have left, or been cut, meanwhile.
    if (position === undefined) return
    this.#behind.delete(viewer)
    this.context.slowViewers.delete(viewer)
    const { position: start, lead, gap } = this.history.afterFallingBehind(position)
    if (gap !== undefined) this.context.counters.gaps.viewer[gap]++
    if (start.seq > this.#livePosition.seq) {
      this.#joining.set(viewer, { lead: lead === undefined ? [] : [lead], start })
      if (!this.#isWriting) this.#goOn()
      return
    }
    if (lead === undefined || viewer.tell(lead)) this.#catchUp(viewer, start)
    else this.#fallBehind(viewer, start)
  }

  /** Writes what live viewers have after `start`: the frames that are there anyway, for each viewer is at another place. */
  #catchUp (viewer: Viewer, start: Position) {
    const { seq } = this.#livePosition
    let position = start
    while (position.seq < seq) {
      const entries = this.history.after(position, CATCH_UP_BYTES).slice(0, seq - position.seq)
      position = entries.at(-1)?.to ?? this.#livePosition
      this.context.counters.viewerWrites++
      const written = this.#bytesLike(viewer)
      for (const entry of entries) {
        this.context.counters.deliveries += messagesIn(entry)
        // Stored blocks are five bytes longer each, which is not worth a sum of its own.
        written.events += entry.frame.length
        written.written += entry.frame.length
      }
      if (!viewer.tell(...entries.map(({ frame }) => frame))) {
        this.#fallBehind(viewer, position)
        return
      }
    }
    if (this.#closed) this.#disconnect(viewer, 'room-ended')
    else if (this.#unnotified.delete(viewer) && this.#notice !== undefined && !this.#isNoticeDue && !viewer.tell(this.#notice)) this.#fallBehind(viewer, position)
    else this.#live.add(viewer)
  }

  #disconnect (viewer: Viewer, reason: DisconnectReason) {
    this.leave(viewer)
    // The last bytes of a viewer that does not take them must not be kept for ever.
    if (!viewer.close(reason)) this.context.slowViewers.touch(viewer)
  }
}
