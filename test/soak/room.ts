import { parseEventId } from '../../src/rooms/event-id.js'
import type { Gap } from '../../src/rooms/frame.js'

/** How a room's messages are published: plain PUBLISH, the script that parks, or over HTTP. */
export type Path = 'publish' | 'script' | 'http'

/** Ids that are remembered: more than an event that is said again can be old. */
const IDS_KEPT = 10_000
const MARK = /~(\d+):(\d+)~/g

/**
 * A room, what was published in it, and what is known to have become of that. Its messages are numbered from 1, in the order in which they
 * were published; each carries a mark, by which viewers know it whatever it is wrapped in.
 */
export class Room {
  /** The number that was given out last; that message may still be on its way to Redis. */
  count = 0
  /** Messages of which it is not known yet whether Redis has taken them. */
  underWay = 0
  /** Messages of which nobody knows whether Redis has taken them: they may be received, once, or not. */
  readonly unsure = new Set<number>()
  /** For each message, what Redis answered and when: for reports. */
  readonly fates: string[] = []
  /** Messages that were kept because nobody listened. */
  readonly parked = new Set<number>()
  /** Messages that some viewer has got after later ones. */
  readonly late = new Set<number>()
  /** Its end is about to be published: nothing else is. */
  isEnding = false
  /** For each id, the number of the last message that was said under it or before. */
  readonly #lastOf = new Map<string, number>()

  constructor (
    readonly index: number,
    readonly id: string,
    readonly path: Path,
    readonly messagesPerSecond: number,
    readonly messageBytes: number
  ) {}

  /**
   * Whether a message may come after later ones: if it was parked when nobody listened, or was on its way, over HTTP, through an instance
   * that stood still. Of plain PUBLISH the order is that of Redis, and no other.
   */
  get mayBeLate () { return this.path !== 'publish' }

  /** Messages that came late, and had no reason to. Only when it is known what was published. */
  lateWithoutReason (): number[] {
    return [...this.late].filter((n) => !this.unsure.has(n) && !this.parked.has(n))
  }

  /** The text of the next message. */
  next (): string {
    this.count++
    const text = `{"id":"~${this.index}:${this.count}~","nickname":"viewer","message":"`
    return `${text}${'so they say '.repeat(Math.ceil(this.messageBytes / 12)).slice(0, Math.max(0, this.messageBytes - text.length - 2))}"}`
  }

  /** @returns the number of each message in some text; NaN for one of another room */
  numbersIn (text: string): number[] {
    return Array.from(text.matchAll(MARK), ([, room, n]) => Number(room) === this.index ? Number(n) : NaN)
  }

  /** @returns whether this is what anybody else has got under the id */
  agreesOn (id: string, last: number): boolean {
    const known = this.#lastOf.get(id)
    if (known === undefined) this.#remember(id, last)
    return known === undefined || known === last
  }

  /**
   * What an owner has said and could not log any more comes after the gap, and may be said again.
   *
   * @returns the first message that may come after a gap
   */
  firstAfter ({ from, to }: Gap): number {
    const last = from === null ? undefined : this.#lastOf.get(from)
    const [before, after] = [parseEventId(from ?? ''), parseEventId(to)]
    // A gap of the log begins a term, with the number where the former one ended: its id is never a batch's.
    if (last !== undefined && before !== undefined && after !== undefined && after.term > before.term && after.n === before.n) this.#remember(to, last)
    return last === undefined ? 1 : last + 1
  }

  #remember (id: string, last: number) {
    this.#lastOf.set(id, last)
    const [oldest = id] = this.#lastOf.keys()
    if (this.#lastOf.size > IDS_KEPT) this.#lastOf.delete(oldest)
  }
}
