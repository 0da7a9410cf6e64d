import type { Clock } from '../clock.js'
import type { Log } from '../log.js'

/** Pause before what failed is tried again. */
const RETRY_MS = 1000
/** What waits to be done; past it the oldest is given up, said in the log. */
const MAX_WAITING = 1000

type Task = () => Promise<unknown>

/** Does things that must be done once the broker can be reached, but that nobody waits for. A task is done again when it is not known whether it was. */
export class Retrier {
  readonly #waiting = new Set<Task>()
  #cancelRetry: (() => void) | undefined
  #isFull = false
  #isClosed = false

  constructor (private readonly clock: Clock, private readonly log: Log) {}

  /** Resolves when it was tried once. */
  async do (task: Task) {
    try {
      await task()
    } catch (error) {
      if (this.#isClosed) return
      this.#waiting.add(task)
      this.#dropOldest()
      this.#cancelRetry ??= this.clock.after(RETRY_MS, () => this.#retry())
    }
  }

  close () {
    this.#isClosed = true
    this.#waiting.clear()
    this.#cancelRetry?.()
  }

  #dropOldest () {
    const [oldest] = this.#waiting
    if (this.#waiting.size <= MAX_WAITING || oldest === undefined) return
    this.#waiting.delete(oldest)
    // One line for an outage.
    if (!this.#isFull) this.log.warn({ bound: 'MAX_WAITING', maximum: MAX_WAITING }, 'redis is away for too long, some of what had to be written is given up')
    this.#isFull = true
  }

  #retry () {
    this.#cancelRetry = undefined
    this.#isFull = false
    const tasks = [...this.#waiting]
    this.#waiting.clear()
    for (const task of tasks) this.do(task)
  }
}
