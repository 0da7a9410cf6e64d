import type { Claim } from '../broker/broker.js'
import type { GapReason } from '../rooms/frame.js'
import { FlushPacer } from './flush-pacer.js'
import { isOfType } from './heard-queue.js'
import type { LogReader } from './log-reader.js'
import type { LogView } from './log-view.js'
import { LogWriter } from './log-writer.js'
import type { SequencerContext } from './sequencer-context.js'

/** A batch that has grown to so many UTF-16 code units is not held back any longer. */
export const MAX_BATCH_LENGTH = 131_072

/** What comes of a tenure, and what ends it. */
export interface TenureEvents {
  /** Another instance may own the room. */
  onLost (): void
  /** It is not known what is logged; trying at once would fail again. */
  onFailed (): void
  /** What there was to say has been said. */
  onSaid (): void
  /** Whether that is still being written. */
  isWriting (): boolean
  /** The end was logged. */
  onFinished (payload: string): void
}

/**
 * The time in which this instance owns a room: it numbers what it hears, says it to its viewers at once, and logs it meanwhile.
 * It begins with the claim. Behind that nobody else can append, so the log is read to its end and then continued.
 *
 * Invariants, besides those of LogView and LogWriter:
 * 1. Nothing is said while the lease may have run out.
 * 2. A gap is the first that is said under a term: else its id would not be a new one.
 */
export class Tenure {
  readonly term: number
  readonly #writer: LogWriter
  readonly #pacer: FlushPacer
  #hasHeir = false

  /** @param lapses of the lease, when the room was claimed */
  constructor (
    private readonly roomId: string,
    private readonly view: LogView,
    private readonly context: SequencerContext,
    private readonly events: TenureEvents,
    private readonly claim: Claim,
    private readonly lapses: number
  ) {
    const { broker, clock, governor } = context
    this.term = claim.term
    this.#writer = new LogWriter(roomId, claim.term, view, broker, (isRefused) => isRefused ? events.onLost() : events.onFailed(), () => this.#onAllLogged(), context.counters)
    this.#pacer = new FlushPacer(clock, governor, () => governor.intervalMs, {
      flush: () => this.flush(),
      get isWriting () { return events.isWriting() }
    })
  }

  /** Another instance follows, and has heard everything that is not logged. */
  get hasHeir () { return this.#hasHeir }

  /** Whether the lease has been valid all the time since the room was claimed. */
  get holdsRoom () {
    const { membership } = this.context
    return membership.holdsLease && membership.lapses === this.lapses
  }

  /**
   * Reads what the log has by now, and admits what may be lost since.
   *
   * @returns the parked messages; undefined when it became void
   * @throws BrokerUnavailableError
   */
  async continueLog (reader: LogReader, reasonOfLoss: GapReason, isVoid: () => boolean): Promise<string[] | undefined> {
    const { tail, term, isComplete } = this.claim
    const isNew = tail === undefined && !this.view.hasBegun
    const [entries, parked] = await Promise.all([reader.read(term), this.context.broker.readParked(this.roomId)])
    if (isVoid()) return undefined
    this.view.catchUp(entries, tail, term)
    // In a new room nobody was promised anything before.
    if (isNew || isComplete) this.view.heard.startAfter(this.view.place.n)
    else this.view.admitLoss(reasonOfLoss)
    return parked
  }

  /**
   * Parked messages come before everything that was heard, and after the gap, if there is one. They are said when they
   * are logged, and not before: else the next owner would say them again if this one died.
   *
   * @returns false when something else came between
   * @throws BrokerUnavailableError
   */
  async sayParked (parked: readonly string[], isVoid: () => boolean): Promise<boolean> {
    const { heard } = this.view
    // What was heard before an interruption was published before anything was parked: behind it a new term begins.
    if (parked.length === 0 || heard.hasHoleInside) return true
    const { first } = heard
    if (isOfType(first, 'hole')) {
      if (!await this.#writer.logAndSay(this.view.nextGap(this.term, first.reason), 0, isVoid)) return false
      heard.shift()
    }
    for (const messages of chunks(parked, MAX_BATCH_LENGTH)) {
      if (!await this.#writer.logAndSay(this.view.nextBatch(this.term, messages), messages.length, isVoid)) return false
    }
    heard.startAfter(this.view.place.n)
    return true
  }

  /** Something was heard. */
  onHeard () {
    if (this.view.heard.length >= MAX_BATCH_LENGTH) this.flush()
    else this.#pacer.request()
  }

  /** What was said has been written to all. */
  onWritten (isFlushed: boolean) {
    this.#pacer.onWritten(isFlushed)
  }

  /** Says what was heard, in its order. @returns whether there was anything */
  flush (): boolean {
    if (this.view.heard.first === undefined) return false
    if (!this.holdsRoom) {
      this.events.onLost()
      return false
    }
    this.#sayHeard()
    this.events.onSaid()
    return true
  }

  /** Says nothing any more. What may not be logged counts as heard only. */
  end () {
    this.#pacer.stop()
    this.view.takeBack(this.#writer.abandon())
  }

  #sayHeard () {
    const { heard } = this.view
    for (let { first } = heard; first !== undefined; { first } = heard) {
      if (typeof first === 'string') {
        this.#writer.write(this.view.nextBatch(this.term, heard.takeMessages(MAX_BATCH_LENGTH)))
      } else if (first.type === 'mark') {
        heard.shift()
        this.#answer(first)
      } else if (first.type === 'hole') {
        if (this.view.place.term >= this.term) {
          // What is on its way would be taken back, and be heard again.
          if (this.#writer.isDone) this.events.onLost()
          return
        }
        heard.shift()
        this.#hasHeir = false
        this.#writer.write(this.view.nextGap(this.term, first.reason))
      } else {
        // When all is surely logged: an owner that has ended a room logs nothing any more.
        if (this.#writer.isDone) this.#finish(first.payload)
        return
      }
    }
  }

  #answer ({ instance, word }: { readonly instance: string, readonly word: string }) {
    const { broker } = this.context
    if (instance !== broker.instance) this.#hasHeir = true
    broker.answerMark(this.roomId, this.term, word, this.view.place.n)
  }

  #finish (payload: string) {
    this.context.broker.finish(this.roomId, this.term, this.view.place, payload)
    this.events.onFinished(payload)
  }

  #onAllLogged () {
    const { first } = this.view.heard
    if (isOfType(first, 'end') || isOfType(first, 'hole')) this.flush()
  }
}

/** Splits messages into lists of about `maxLength` UTF-16 code units. */
function * chunks (messages: readonly string[], maxLength: number): Generator<string[]> {
  let chunk: string[] = []
  let length = 0
  for (const message of messages) {
    chunk.push(message)
    length += message.length
    if (length < maxLength) continue
    yield chunk
    chunk = []
    length = 0
  }
  if (chunk.length > 0) yield chunk
}
