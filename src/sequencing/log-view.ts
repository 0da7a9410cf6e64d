import type { Log } from '../log.js'
import { compareEventIds, formatEventId, type EventId } from '../rooms/event-id.js'
import { GAP_REASONS, messagesOf, type Gap, type GapReason } from '../rooms/frame.js'
import type { Entry, History } from '../rooms/history.js'
import { HeardQueue, isOfType, type Hole } from './heard-queue.js'
import { messagesOfEntry, type LogEntry } from './log-entry.js'

/**
 * What one instance knows of a room's log, and what it has heard beyond it.
 *
 * Invariants:
 * 1. All up to `place`, an entry of the log or the owner's on its way there, has been said here, in the order of the log.
 *    `History.take` leaves out messages that were said before; between two entries that do not follow each
 *    other stands a gap.
 * 2. `heard` holds what was heard and is not in the log up to `place`.
 */
export class LogView {
  readonly heard = new HeardQueue()
  #place: EventId | undefined
  /** Term of the last gap in the log: its owner numbers the messages anew. */
  #gapTerm = 0
  /**
   * Where the owner is, when that is below what was said here: Redis has lost the log, somebody else has begun a new one, and a
   * gap is to be said.
   */
  #newNumbers: EventId | undefined

  constructor (private readonly roomId: string, private readonly history: History, private readonly onSaid: (entry: Entry) => void, private readonly log: Log, private readonly onGap: (reason: GapReason) => void) {}

  /** Whether it is known where the log stands. */
  get hasBegun () { return this.#place !== undefined }

  /** The last entry. */
  get place (): EventId { return this.#place ?? this.history.last }

  /** A new term must be above this one. */
  get lastTerm () { return Math.max(this.place.term, this.history.last.term) }

  /** The oldest entry that is worth keeping. */
  get oldest () { return this.history.oldest }

  /** Whether the first thing in `heard` is what comes next in the log. */
  get isContiguous () {
    return this.#newNumbers === undefined && this.#place !== undefined && this.heard.base !== undefined && this.heard.base <= this.#place.n
  }

  /** Whether all that is not in the log yet is in `heard`, as far as this instance can know. */
  get hasHeardAll () {
    return this.isContiguous && !this.heard.hasHole
  }

  /**
   * Takes entries that were read from the log, and says a gap where the log no longer has what came between.
   *
   * @param entries in their order
   * @param tail the last entry, as far as it is known
   * @param term where a log begins of which nothing is known
   * @returns the place it is at then
   */
  catchUp (entries: readonly LogEntry[], tail: EventId | undefined, term: number): EventId {
    if (this.#place === undefined) {
      this.#place = entries[0]?.from ?? tail ?? { term, n: 0 }
      this.history.begin(this.#place)
    }
    for (const entry of entries) {
      if (compareEventIds(entry.to, this.place) <= 0) continue
      if (compareEventIds(entry.from, this.place) > 0) this.#skipTo(entry.from)
      this.take(entry)
    }
    if (tail !== undefined && compareEventIds(tail, this.place) > 0) this.#skipTo(tail)
    return this.place
  }

  /** Takes the next entry of the log, of which others know more than `heard` does. */
  take (entry: LogEntry) {
    if (entry.kind === 'batch') this.admitNewNumbers()
    this.#newNumbers = undefined
    if (entry.kind === 'gap') {
      this.#gapTerm = entry.to.term
      this.heard.loseBase()
      if (compareEventIds(entry.to, this.history.last) <= 0 && isOfType(this.heard.first, 'hole')) {
        // This instance's own, which it has taken back.
        this.heard.shift()
        this.heard.startAfter(entry.to.n)
      }
    } else if (this.heard.base !== undefined && !this.heard.strike(messagesOfEntry(entry), entry.to.n)) {
      this.log.warn({ roomId: this.roomId, id: formatEventId(entry.to) }, 'the log has other messages than were heard here')
    }
    this.say(entry)
  }

  /** Says an entry, and goes on behind it. */
  say (entry: LogEntry) {
    this.#place = entry.to
    const said = this.history.take(entry)
    if (said === undefined) return
    if (entry.kind === 'gap') {
      const reason = reasonOf(entry)
      if (reason !== undefined) this.onGap(reason)
    }
    this.onSaid(said)
  }

  sayEnd (payload: string) {
    this.say({ kind: 'end', from: this.place, to: this.place, data: payload })
  }

  /**
   * Learns from the owner where `heard` begins.
   *
   * @param term of the owner: an answer of before a gap counts other messages
   */
  startAfterMark (word: string, term: number, n: number) {
    if (term < this.#gapTerm) return
    // The mark stands behind everything that was said here.
    if (this.heard.startAfterMark(word, n) && n < this.history.last.n) this.#newNumbers = { term, n }
    this.heard.dropUpTo(this.place.n)
  }

  /** Everything in the log was read, nobody else appends: notes that messages may be missing before what was heard. */
  admitLoss (reason: GapReason) {
    if (this.isContiguous) return
    if (this.heard.base === undefined) {
      // What others have logged since may be newer than what was heard before an interruption.
      this.heard.dropBeforeLastHole()
      this.heard.strikeOverlap(this.history.latestFrames(this.heard.size).flatMap(messagesOf))
    }
    this.heard.beginWithHole(reason, this.place.n)
    this.#newNumbers = undefined
  }

  /** All that is logged was read: what was said here under numbers that are used again is on the other side of a gap. */
  admitNewNumbers () {
    if (this.#newNumbers === undefined) return
    const { base } = this.heard
    this.#skipTo(this.#newNumbers)
    if (base !== undefined) this.heard.startAfter(base)
    this.#newNumbers = undefined
  }

  /** Takes back entries that were said but may not be in the log: whoever owns the room next logs them. */
  takeBack (entries: readonly LogEntry[]) {
    const [first] = entries
    if (first === undefined) return
    this.#place = first.from
    this.heard.putBack(entries.flatMap<string | Hole>((entry) =>
      entry.kind === 'gap' ? { type: 'hole', reason: reasonOf(entry) ?? 'broker-reconnect' } : messagesOfEntry(entry)))
  }

  /** The entry in which these messages come next. */
  nextBatch (term: number, messages: readonly string[]): LogEntry {
    const from = this.place
    return { kind: 'batch', from, to: { term, n: from.n + messages.length }, data: JSON.stringify(messages) }
  }

  /** The entry that says a loss next. */
  nextGap (term: number, reason: GapReason): LogEntry {
    const from = this.place
    return gapEntry(reason, from, { term, n: from.n }, null)
  }

  /** Says a gap that is this instance's own: others may have had what is missing. */
  #skipTo (to: EventId) {
    const from = this.place
    this.heard.loseBase()
    this.say(gapEntry('history-exceeded', from, to, from.term === to.term ? to.n - from.n : null))
  }
}

function gapEntry (reason: GapReason, from: EventId, to: EventId, missed: number | null): LogEntry {
  const gap: Gap = { reason, from: formatEventId(from), to: formatEventId(to), missed }
  return { kind: 'gap', from, to, data: JSON.stringify(gap) }
}

/** @returns undefined when it is none that is known: what is in the log may be from a later release, or anybody's */
function reasonOf (gap: LogEntry): GapReason | undefined {
  // A log entry is sound: its data is an object.
  const { reason } = JSON.parse(gap.data) as Partial<Gap>
  return GAP_REASONS.find((known) => known === reason)
}
