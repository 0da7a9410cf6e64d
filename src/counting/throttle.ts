import type { Clock } from '../clock.js'
import { TimeoutQueue } from '../timeout-queue.js'

/** So many are done in one turn of the event loop, then comes a pause: a lost Redis that is back concerns all rooms at once. */
const AT_ONCE = 500
const PAUSE_MS = 20

export interface Pace {
  /** How long requests are gathered before the first of them is done. */
  readonly gatherMs: number
  /** How long a thing rests when it was done. */
  readonly restMs: number
}

/**
 * Does something with many things, many of them at a time, and with each of them once in `restMs` at the most, however often that is requested.
 * Without requests no timer runs.
 */
export class Throttle<T> {
  readonly #due = new Set<T>()
  /** What rests, and whether it was requested again meanwhile. */
  readonly #resting = new Map<T, boolean>()
  readonly #rests: TimeoutQueue<T>
  #cancelTimer: (() => void) | undefined

  /** @param act is given up to AT_ONCE things; those it returns rest from then on, also if they are requested within it */
  constructor (private readonly clock: Clock, private readonly pace: Pace, private readonly act: (items: readonly T[]) => readonly T[]) {
    this.#rests = new TimeoutQueue(clock, pace.restMs, (item) => this.#onRested(item))
  }

  request (item: T) {
    if (this.#resting.has(item)) this.#resting.set(item, true)
    else this.#add(item, this.pace.gatherMs)
  }

  /** Forgets `item`. */
  delete (item: T) {
    this.#due.delete(item)
    this.#resting.delete(item)
    this.#rests.delete(item)
  }

  clear () {
    this.#cancelTimer?.()
    this.#cancelTimer = undefined
    this.#due.clear()
    this.#resting.clear()
    this.#rests.clear()
  }

  #add (item: T, delayMs: number) {
    this.#due.add(item)
    this.#cancelTimer ??= this.clock.after(delayMs, () => this.#run())
  }

  #run () {
    this.#cancelTimer = undefined
    const items: T[] = []
    for (const item of this.#due) {
      if (items.length === AT_ONCE) break
      this.#due.delete(item)
      this.#resting.set(item, false)
      items.push(item)
    }
    if (this.#due.size > 0) this.#cancelTimer = this.clock.after(PAUSE_MS, () => this.#run())
    const done = new Set(this.act(items))
    for (const item of items) {
      if (done.has(item)) this.#rests.touch(item)
      else this.#resting.delete(item)
    }
  }

  #onRested (item: T) {
    const isRequested = this.#resting.get(item)
    this.#resting.delete(item)
    // It has waited for long enough.
    if (isRequested) this.#add(item, 1)
  }
}
