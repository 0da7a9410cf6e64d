import type { LogEntry } from '../sequencing/log-entry.js'
import { compareEventIds, formatEventId, type EventId } from './event-id.js'
import { endFrame, gapFrame, messagesFrame, messagesOf, type Gap, type GapReason } from './frame.js'

/**
 * A place between two entries of a room's history. Viewers that are behind hold one of these (shared, never one of
 * their own) instead of a queue.
 */
export interface Position extends EventId {
  /** Number of the entry before this place; entries are numbered without holes, whatever they hold. */
  readonly seq: number
}

/** Kept frames are put together into pieces of so much. */
const PIECE_BYTES = 2048

/** What a room said on this instance: a batch, a gap, or its end. */
export interface Entry {
  readonly kind: LogEntry['kind']
  /** The place before the entry. */
  readonly from: Position
  /** The place after it; its id is the id of the event. */
  readonly to: Position
  readonly frame: Buffer
}

/** Where a viewer goes on, and what it must be told before. */
export interface Continuation {
  readonly position: Position
  readonly lead?: Buffer
  /** Why there is a gap, if the lead is one. */
  readonly gap?: GapReason
}

/**
 * The latest entries that this instance has said in one room, bounded in messages and bytes.
 *
 * Invariants: `seq` grows by one with each entry; each entry starts where the one before it ended; between two gaps `n`
 * numbers the messages without holes, also across terms. At least the newest entry is kept, so the bytes held are
 * at most `maxBytes` or one batch, and the memory they take no more than twice that and two pieces:
 * only they are put into pieces.
 */
export class History {
  readonly #entries: Entry[] = []
  #messages = 0
  #bytes = 0
  /** What is left of the newest piece. */
  #free = Buffer.alloc(0)
  #last: Position = { term: 0, n: 0, seq: 0 }
  /** Ids before this one are from the other side of a gap that is no longer kept, or unknown. */
  #reachesBackTo: EventId = this.#last
  /** The batch that was cut last: viewers who come back together are cut at the same place. */
  #cut: { readonly entry: Entry, readonly skip: number, readonly lead: Buffer } | undefined

  /**
   * @param maxMessages messages kept at least, as long as they fit into `maxBytes`; a gap counts as one
   * @param maxBytes bytes of frames kept at the most
   */
  constructor (private readonly maxMessages: number, private readonly maxBytes: number) {}

  /** Bytes of the frames that are kept. */
  get bytes () { return this.#bytes }

  /** The place after the newest entry. */
  get last (): Position { return this.#last }

  /** The oldest entry that is kept; the place after the newest when there is none. */
  get oldest (): EventId { return this.#entries[0]?.to ?? this.#last }

  /** Sets where the history begins, before anything is in it. */
  begin ({ term, n }: EventId) {
    this.#last = { term, n, seq: 0 }
    this.#reachesBackTo = this.#last
  }

  /**
   * Adds an entry of the log, or what of it is new here: an owner has said its batches before they were logged, and
   * another may have logged the same messages in other batches.
   *
   * @returns what is to be said; undefined when nothing of it is new
   */
  take (entry: LogEntry): Entry | undefined {
    if (entry.kind === 'gap' && compareEventIds(entry.to, this.#last) <= 0) return undefined
    if (entry.kind === 'gap') return this.#append('gap', entry.to, gapFrame(entry.to, entry.data))
    if (entry.kind === 'end') return this.#append('end', this.#last, endFrame(entry.data))
    const known = this.#last.n - entry.from.n
    if (known <= 0) return this.#append('batch', entry.to, messagesFrame(entry.to, entry.data))
    if (entry.to.n <= this.#last.n) {
      // The same messages under a later id: who has seen that one has seen nothing more.
      this.#last = { ...this.#last, term: entry.to.term }
      return undefined
    }
    const unknown = (JSON.parse(entry.data) as string[]).slice(known)
    return this.#append('batch', entry.to, messagesFrame(entry.to, JSON.stringify(unknown)))
  }

  /** The entry that starts at `position`; undefined when that is the end of the history, or no longer in it. */
  next (position: Position): Entry | undefined {
    const first = this.#entries[0]
    return first && this.#entries[position.seq - first.from.seq]
  }

  /** The entries from `position` on, until they have `maxBytes`; none when that is the end of the history, or no longer in it. */
  after (position: Position, maxBytes: number): Entry[] {
    const entries: Entry[] = []
    let bytes = 0
    for (let entry = this.next(position); entry !== undefined && bytes < maxBytes; entry = this.next(entry.to)) {
      entries.push(entry)
      bytes += entry.frame.length
    }
    return entries
  }

  /** Where a viewer that was at `position` goes on: there, or with the newest entry when that place is gone. */
  afterFallingBehind (position: Position): Continuation {
    const oldest = this.#entries[0]
    const newest = this.#entries.at(-1)
    if (!oldest || !newest || position.seq >= oldest.from.seq) return { position }
    const isKnown = compareEventIds(position, this.#reachesBackTo) >= 0 && !this.#entries.some((entry) => entry.kind === 'gap' && entry !== newest)
    return this.#afterGap('slow-viewer', position, newest.from, isKnown ? newest.from.n - position.n : null)
  }

  /**
   * Where a viewer goes on whose last event had `id`.
   *
   * @returns undefined when the id is ahead: it was given out, but its entry has not come to this instance yet
   */
  afterId (id: EventId): Continuation | undefined {
    if (id.term > this.#last.term) return undefined
    // The stretch between two gaps that the id belongs to: the entries from `start` to before `end`.
    let start = this.#entries.length
    let end = start
    for (let entry = this.#entries[start - 1]; entry; entry = this.#entries[start - 1]) {
      if (entry.kind === 'gap') {
        if (compareEventIds(id, entry.to) >= 0) break
        end = start - 1
      }
      start--
    }
    const first = this.#placeBefore(start)
    const last = this.#placeBefore(end)
    const gap = this.#entries[end]
    // This instance was away for longer than the log reaches, and others were not: who has come from there misses less.
    if (gap !== undefined && compareEventIds(id, last) > 0 && id.term === gap.to.term && id.n < gap.to.n) {
      return this.#afterGap('history-exceeded', id, gap.to, gap.to.n - id.n)
    }
    // Given out under numbers of its own, by an owner of whose log nothing is left: what follows is a gap.
    if (id.term > last.term) return { position: last }
    const isKnown = compareEventIds(id, this.#reachesBackTo) >= 0
    if (id.n < first.n || !isKnown) return this.#afterGap('history-exceeded', id, first, isKnown ? first.n - id.n : null)
    // Given out by an owner that could not log it any more: what follows is a gap, or yet to come.
    if (id.n > last.n) return end < this.#entries.length ? { position: last } : undefined
    for (let index = end - 1; index >= start; index--) {
      const entry = this.#entries[index]
      if (entry === undefined || id.n < entry.from.n) continue
      // Also the end stands at the number of the message before it.
      if (id.n === entry.from.n) return { position: entry.from }
      return id.n < entry.to.n ? this.#inside(entry, id.n - entry.from.n) : { position: entry.to }
    }
    return { position: first }
  }

  /** Where a viewer goes on whose last event had an id that nobody gave out. */
  afterUnknownId (): Continuation {
    return this.#afterGap('unknown-id', null, this.#lastBeforeEnd, null)
  }

  /** Where a viewer goes on whose stream began while the broker was not heard. */
  afterNotListening (): Continuation {
    return this.#afterGap('broker-reconnect', null, this.#lastBeforeEnd, null)
  }

  /** Where a new viewer starts that wants the last `count` messages first. */
  recent (count: number): Continuation {
    let surplus = -count
    for (let index = this.#entries.length - 1; surplus < 0 && index >= 0; index--) {
      const entry = this.#entries[index]
      if (entry === undefined || entry.kind !== 'batch') continue
      surplus += entry.to.n - entry.from.n
      if (surplus >= 0) return surplus === 0 ? { position: entry.from } : this.#inside(entry, surplus)
    }
    return { position: count === 0 ? this.#last : this.#placeBefore(0) }
  }

  /** Frames of the newest batches, with at least `count` messages if there are so many; the oldest first. */
  latestFrames (count: number): Buffer[] {
    const frames: Buffer[] = []
    let messages = 0
    for (let index = this.#entries.length - 1; index >= 0 && messages < count; index--) {
      const entry = this.#entries[index]
      if (entry?.kind !== 'batch') continue
      messages += entry.to.n - entry.from.n
      frames.unshift(entry.frame)
    }
    return frames
  }

  get #lastBeforeEnd (): Position {
    const newest = this.#entries.at(-1)
    return newest?.kind === 'end' ? newest.from : this.#last
  }

  #placeBefore (index: number): Position {
    return this.#entries[index]?.from ?? this.#last
  }

  /** Going on inside a batch: its later messages lead, under the id of the whole batch. */
  #inside (entry: Entry, skip: number): Continuation {
    if (this.#cut?.entry !== entry || this.#cut.skip !== skip) {
      this.#cut = { entry, skip, lead: messagesFrame(entry.to, JSON.stringify(messagesOf(entry.frame).slice(skip))) }
    }
    return { position: entry.to, lead: this.#cut.lead }
  }

  #afterGap (reason: GapReason, from: EventId | null, position: Position, missed: number | null): Continuation {
    // Ids never go back, also where an owner of whose log nothing is left had given out higher ones.
    const to = from !== null && compareEventIds(from, position) > 0 ? from : position
    const gap: Gap = { reason, from: from && formatEventId(from), to: formatEventId(to), missed }
    return { position, lead: gapFrame(to, JSON.stringify(gap)), gap: reason }
  }

  #append (kind: Entry['kind'], { term, n }: EventId, frame: Buffer): Entry {
    const entry: Entry = { kind, from: this.#last, to: { term, n, seq: this.#last.seq + 1 }, frame: this.#own(frame) }
    this.#last = entry.to
    this.#entries.push(entry)
    this.#messages += weightOf(entry)
    this.#bytes += frame.length
    for (let oldest = this.#entries[0]; oldest && oldest !== entry; oldest = this.#entries[0]) {
      const enoughWithout = this.#messages - weightOf(oldest) >= this.maxMessages
      if (!enoughWithout && this.#bytes <= this.maxBytes) break
      this.#entries.shift()
      this.#messages -= weightOf(oldest)
      this.#bytes -= oldest.frame.length
      if (oldest.kind === 'gap') this.#reachesBackTo = oldest.to
      if (this.#cut?.entry === oldest) this.#cut = undefined
    }
    return entry
  }

  /**
   * Puts a frame into memory of this room. Node.js makes small buffers in pieces of 8 KiB or more that all share: one that is kept
   * would keep a whole piece.
   */
  #own (frame: Buffer): Buffer {
    const { length } = frame
    if (length === frame.buffer.byteLength) return frame
    if (this.#free.length < length) this.#free = Buffer.allocUnsafeSlow(Math.max(PIECE_BYTES, length))
    const own = this.#free.subarray(0, length)
    own.set(frame)
    this.#free = this.#free.subarray(length)
    return own
  }
}

/** How many messages an entry has. */
export function messagesIn ({ kind, from, to }: Entry): number {
  return kind === 'batch' ? to.n - from.n : 0
}

/** How many messages an entry stands for in the bound. */
function weightOf (entry: Entry): number {
  return entry.kind === 'batch' ? messagesIn(entry) : 1
}
