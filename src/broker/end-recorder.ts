import type { Clock } from '../clock.js'
import type { Log } from '../log.js'

/** Pause before ends that could not be written are tried again. */
const RETRY_MS = 1000
/** Ends waiting to be written; past it the oldest is given up, said in the log. */
const MAX_UNRECORDED_ENDS = 1000

/**
 * Writes down the ends of rooms that were heard, as often as it takes. The ends were acted upon already, so a failure is
 * not the viewers' concern.
 */
export class EndRecorder {
  readonly #unrecorded = new Map<string, string>()
  #cancelRetry: (() => void) | undefined
  #isFull = false
  #isClosed = false

  /** @param write writes one down; writing it again must change nothing */
  constructor (private readonly write: (roomId: string, payload: string) => Promise<unknown>, private readonly clock: Clock, private readonly log: Log) {}

  async record (roomId: string, payload: string) {
    try {
      await this.write(roomId, payload)
    } catch {
      if (this.#isClosed) return
      this.#unrecorded.set(roomId, payload)
      this.#dropOldest()
      this.#cancelRetry ??= this.clock.after(RETRY_MS, () => this.#retry())
    }
  }

  close () {
    this.#isClosed = true
    this.#unrecorded.clear()
    this.#cancelRetry?.()
  }

  #dropOldest () {
    const oldest = this.#unrecorded.keys().next().value
    if (this.#unrecorded.size <= MAX_UNRECORDED_ENDS || oldest === undefined) return
    this.#unrecorded.delete(oldest)
    // One line for an outage.
    if (!this.#isFull) this.log.warn({ roomId: oldest, bound: 'MAX_UNRECORDED_ENDS' }, 'ends of rooms cannot be recorded')
    this.#isFull = true
  }

  #retry () {
    this.#cancelRetry = undefined
    this.#isFull = false
    const ends = [...this.#unrecorded]
    this.#unrecorded.clear()
    for (const [roomId, payload] of ends) this.record(roomId, payload)
  }
}
