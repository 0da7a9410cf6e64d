import type { Clock } from './clock.js'

/** Part of its wait that an entry may be late, so that many with deadlines close together are one wake-up. */
const SLACK = 0.01

/**
 * Times out many things that all wait equally long, with one timer for all of them.
 *
 * Invariant: the map's insertion order is the order of the deadlines, because every
 * entry waits `timeoutMs` and a touched one moves to the end. So the next to time out
 * is always the first, and touching costs O(1).
 */
export class TimeoutQueue<T> {
  readonly #deadlines = new Map<T, number>()
  #cancelTimer: (() => void) | undefined

  /**
   * @param timeoutMs how long an entry waits; at least 1
   * @param onTimeout called with an entry that was not touched for so long, after it left the queue
   */
  constructor (private readonly clock: Clock, private readonly timeoutMs: number, private readonly onTimeout: (item: T) => void) {}

  get size () { return this.#deadlines.size }

  /** Starts or restarts the wait of `item`. */
  touch (item: T) {
    this.#deadlines.delete(item)
    this.#deadlines.set(item, this.clock.now() + this.timeoutMs)
    if (this.#cancelTimer === undefined) this.#arm(this.timeoutMs)
  }

  /** Forgets `item`; harmless when it is not waiting. */
  delete (item: T) {
    this.#deadlines.delete(item)
  }

  /** What waits, the longest first. */
  items (): IterableIterator<T> {
    return this.#deadlines.keys()
  }

  /** Forgets all. */
  clear () {
    this.#deadlines.clear()
    this.#cancelTimer?.()
    this.#cancelTimer = undefined
  }

  #arm (delayMs: number) {
    this.#cancelTimer = this.clock.after(delayMs, () => this.#expire())
  }

  /** The timer counts as armed until the end, so that what is touched meanwhile does not arm another. */
  #expire () {
    const now = this.clock.now()
    for (const [item, deadline] of this.#deadlines) {
      if (deadline > now) break
      this.#deadlines.delete(item)
      this.onTimeout(item)
    }
    this.#cancelTimer = undefined
    const next = this.#deadlines.values().next().value
    if (next !== undefined) this.#arm(Math.ceil(Math.max(1, SLACK * this.timeoutMs, next - now)))
  }
}
