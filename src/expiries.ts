import type { Clock } from './clock.js'

const TICK_MS = 1000
/** So many are told in one turn of the event loop. */
const TOLD_PER_TURN = 500

/** What waits, and the second in which its time is over. */
interface Waiting<T> {
  readonly item: T
  readonly second: number
}

/**
 * Tells of the moments, by the wall clock, at which things expire: to the second, never early. All that expire in one second
 * share a bucket, and all buckets one timer, which runs only while something waits; so a moment may be as far off as it likes.
 */
export class Expiries<T> {
  readonly #buckets = new Map<number, Set<Waiting<T>>>()
  #due: Array<Set<Waiting<T>>> = []
  #lastSecond = -Infinity
  #cancelTimer: (() => void) | undefined

  /** @param onExpired called with each once, after it was forgotten */
  constructor (private readonly clock: Clock, private readonly onExpired: (item: T) => void) {}

  /** @returns what forgets the item; harmless when it has expired */
  add (item: T, atEpochMs: number): () => void {
    // A clock that was set back must not put it into a second that is over.
    const second = Math.max(Math.ceil(atEpochMs / TICK_MS), this.#lastSecond + 1)
    const waiting = { item, second }
    const bucket = this.#buckets.get(second) ?? new Set()
    this.#buckets.set(second, bucket.add(waiting))
    if (this.#cancelTimer === undefined) this.#arm()
    return () => {
      bucket.delete(waiting)
      if (bucket.size === 0 && this.#buckets.get(second) === bucket) this.#buckets.delete(second)
    }
  }

  /** Forgets all. */
  clear () {
    this.#buckets.clear()
    this.#due = []
    this.#cancelTimer?.()
    this.#cancelTimer = undefined
  }

  #arm () {
    this.#cancelTimer = this.clock.after(TICK_MS, () => this.#tick())
  }

  #tick () {
    this.#cancelTimer = undefined
    const second = Math.floor(this.clock.epochMs() / TICK_MS)
    if (second > this.#lastSecond) {
      for (const due of this.#dueUntil(second)) {
        this.#due.push(this.#buckets.get(due) ?? new Set())
        this.#buckets.delete(due)
      }
      this.#lastSecond = second
    }
    this.#tell()
    if (this.#buckets.size > 0 && this.#cancelTimer === undefined) this.#arm()
  }

  /** The seconds to look at: those that have passed, unless that is more than there are buckets, as after the start or a clock that was set. */
  #dueUntil (second: number): number[] {
    const passed = second - this.#lastSecond
    if (passed > this.#buckets.size) return [...this.#buckets.keys()].filter((key) => key <= second)
    return Array.from({ length: passed }, (_, index) => this.#lastSecond + 1 + index).filter((key) => this.#buckets.has(key))
  }

  /** Tokens that were given out together expire together: not all in one turn. */
  #tell () {
    let left = TOLD_PER_TURN
    for (let bucket = this.#due[0]; bucket !== undefined && left > 0; bucket = this.#due[0]) {
      for (const waiting of bucket) {
        if (left-- === 0) break
        bucket.delete(waiting)
        this.onExpired(waiting.item)
      }
      if (bucket.size === 0) this.#due.shift()
    }
    if (this.#due.length > 0) this.clock.soon(() => this.#tell())
  }
}
