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

  /** @param write writes one down; writing it again must change nothing */
  constructor (private readonly write: (roomId: string, payload: string) => Promise<unknown>, private readonly clock: Clock, private readonly log: Log) {}

  async record (roomId: string, payload: string) {
    try {
      await this.write(roomId, payload)
    } catch {
      this.#unrecorded.set(roomId, payload)
      const oldest = this.#unrecorded.keys().next().value
      if (this.#unrecorded.size > MAX_UNRECORDED_ENDS && oldest !== undefined) {
        this.#unrecorded.delete(oldest)
        this.log.warn({ roomId: oldest, bound: 'MAX_UNRECORDED_ENDS' }, 'end of a room could not be recorded')
      }
      this.#cancelRetry ??= this.clock.after(RETRY_MS, () => this.#retry())
    }
  }

  close () {
    this.#unrecorded.clear()
    this.#cancelRetry?.()
  }

  #retry () {
    this.#cancelRetry = undefined
    const ends = [...this.#unrecorded]
    this.#unrecorded.clear()
    for (const [roomId, payload] of ends) this.record(roomId, payload)
  }
}
