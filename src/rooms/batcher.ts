import type { Clock } from '../clock.js'

/** A batch that has grown to so many bytes is not held back any longer. */
export const MAX_BATCH_BYTES = 262_144
/** What a message costs in a batch at least, quotes and comma: bounds the number of empty ones. */
const BYTES_PER_MESSAGE = 3

/**
 * Gathers messages into batches. A quiet room's message goes out at once, with all that came in the same turn of the
 * event loop; a busy room rests for `intervalMs` between two batches. The rest starts when the batch has
 * been written to all viewers, so a room whose fan-out is expensive flushes less often by itself and leaves
 * the event loop time for others. While nothing comes, no timer runs.
 */
export class Batcher {
  #messages: string[] = []
  #bytes = 0
  #state: 'quiet' | 'scheduled' | 'resting' = 'quiet'
  #cancelRest: (() => void) | undefined

  /** @param onBatch takes the messages in the order of `add`, never none */
  constructor (private readonly clock: Clock, private readonly intervalMs: number, private readonly onBatch: (messages: string[]) => void) {}

  /** @param bytes length of the message in UTF-8 */
  add (message: string, bytes: number) {
    this.#messages.push(message)
    this.#bytes += bytes + BYTES_PER_MESSAGE
    if (this.#bytes >= MAX_BATCH_BYTES) {
      this.flush()
    } else if (this.#state === 'quiet') {
      this.#state = 'scheduled'
      this.clock.soon(() => {
        if (this.#state === 'scheduled') this.#flushAndRest()
      })
    }
  }

  /** Hands over what has gathered, now. */
  flush () {
    if (this.#messages.length === 0) return
    const messages = this.#messages
    this.#messages = []
    this.#bytes = 0
    this.onBatch(messages)
  }

  /** Forgets what has gathered, and stops. */
  close () {
    this.#messages = []
    this.#bytes = 0
    this.#state = 'quiet'
    this.#cancelRest?.()
  }

  #flushAndRest () {
    if (this.#messages.length === 0) {
      this.#state = 'quiet'
      return
    }
    this.flush()
    this.#state = 'resting'
    this.#cancelRest = this.clock.after(this.intervalMs, () => this.#flushAndRest())
  }
}
