import { formatEventId, type EventId } from './event-id.js'
import { endFrame, gapFrame, messagesFrame, messagesOf, type Gap, type GapReason } from './frame.js'

/**
 * A place between two entries of a room's history. Viewers that are behind hold one of these (shared, never one of
 * their own) instead of a queue.
 */
export interface Position extends EventId {
  /** Number of the entry before this place; entries are numbered without holes, whatever they hold. */
  readonly seq: number
}

/** What a room said: a batch, a gap, or its end. */
export interface Entry {
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
}

/**
 * The latest entries of one room, bounded in messages and bytes, and the numbering of all of them.
 *
 * Invariants: `seq` grows by one with each entry; `n` grows by the number of messages and never goes back, also across
 * terms; each entry starts where the one before it ended. At least the newest entry is kept, so the bytes
 * held are at most `maxBytes` or one batch.
 */
export class History {
  readonly #entries: Entry[] = []
  #bytes = 0
  #last: Position
  /** The batch that was cut last: viewers who come back together are cut at the same place. */
  #cut: { readonly entry: Entry, readonly skip: number, readonly lead: Buffer } | undefined

  /**
   * @param maxMessages messages kept at least, as long as they fit into `maxBytes`
   * @param maxBytes bytes of frames kept at the most
   */
  constructor (term: string, private readonly maxMessages: number, private readonly maxBytes: number) {
    this.#last = { term, n: 0, seq: 0 }
  }

  /** The place after the newest entry. */
  get last (): Position { return this.#last }

  appendMessages (messages: readonly string[]): Entry {
    const to = { term: this.#last.term, n: this.#last.n + messages.length, seq: this.#last.seq + 1 }
    return this.#append(to, messagesFrame(to, messages))
  }

  /** Notes that messages may have been lost here: what follows belongs to a new term. */
  appendGap (reason: GapReason, newTerm: string): Entry {
    const to = { term: newTerm, n: this.#last.n, seq: this.#last.seq + 1 }
    return this.#append(to, gapFrame({ reason, from: formatEventId(this.#last), to: formatEventId(to), missed: null }))
  }

  appendEnd (payload: string): Entry {
    return this.#append({ ...this.#last, seq: this.#last.seq + 1 }, endFrame(payload))
  }

  /** The entry that starts at `position`; undefined when that is the end of the history, or no longer in it. */
  next (position: Position): Entry | undefined {
    const first = this.#entries[0]
    return first && this.#entries[position.seq - first.from.seq]
  }

  /** Where a viewer that was at `position` goes on: there, or with the newest entry when that place is gone. */
  afterFallingBehind (position: Position): Continuation {
    const oldest = this.#entries[0]
    const newest = this.#entries.at(-1)
    if (!oldest || !newest || position.seq >= oldest.from.seq) return { position }
    return this.#afterGap('slow-viewer', position, newest.from)
  }

  /** Where a viewer goes on whose last event had `id`; undefined is an id nobody could have given out. */
  afterId (id: EventId | undefined): Continuation {
    if (id === undefined) return this.#afterGap('unknown-id', null, this.#last)
    if (id.term === this.#last.term && id.n === this.#last.n) return { position: this.#last }
    for (let index = this.#entries.length - 1; index >= 0; index--) {
      const entry = this.#entries[index]
      if (entry?.from.term !== id.term) continue
      if (id.n === entry.from.n) return { position: entry.from }
      if (id.n > entry.from.n && id.n < entry.to.n) return this.#inside(entry, id.n - entry.from.n)
    }
    const oldest = this.#entries[0]?.from
    if (oldest?.term === id.term && id.n < oldest.n) return this.#afterGap('history-exceeded', id, oldest)
    return this.#afterGap('unknown-id', id, this.#last)
  }

  /** Where a new viewer starts that wants the last `count` messages first. */
  recent (count: number): Continuation {
    if (count === 0) return { position: this.#last }
    for (let index = this.#entries.length - 1; index >= 0; index--) {
      const entry = this.#entries[index]
      const surplus = entry ? this.#last.n - entry.from.n - count : -1
      if (entry && surplus >= 0) return surplus === 0 ? { position: entry.from } : this.#inside(entry, surplus)
    }
    return { position: this.#entries[0]?.from ?? this.#last }
  }

  /** Going on inside a batch: its later messages lead, under the id of the whole batch. */
  #inside (entry: Entry, skip: number): Continuation {
    if (this.#cut?.entry !== entry || this.#cut.skip !== skip) {
      this.#cut = { entry, skip, lead: messagesFrame(entry.to, messagesOf(entry.frame).slice(skip)) }
    }
    return { position: entry.to, lead: this.#cut.lead }
  }

  #afterGap (reason: GapReason, from: EventId | null, position: Position): Continuation {
    // Numbers of two terms say nothing about what was lost between them.
    const missed = from?.term === position.term && from.n <= position.n ? position.n - from.n : null
    const gap: Gap = { reason, from: from && formatEventId(from), to: formatEventId(position), missed }
    return { position, lead: gapFrame(gap) }
  }

  #append (to: Position, frame: Buffer): Entry {
    const entry = { from: this.#last, to, frame }
    this.#last = to
    this.#entries.push(entry)
    this.#bytes += frame.length
    for (let oldest = this.#entries[0]; oldest && oldest !== entry; oldest = this.#entries[0]) {
      const enoughWithout = to.n - oldest.to.n >= this.maxMessages
      if (!enoughWithout && this.#bytes <= this.maxBytes) break
      this.#entries.shift()
      this.#bytes -= oldest.frame.length
      if (this.#cut?.entry === oldest) this.#cut = undefined
    }
    return entry
  }
}
