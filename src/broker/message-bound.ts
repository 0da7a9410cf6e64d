import type { Clock } from '../clock.js'
import type { Log } from '../log.js'

/** A flood of too large messages is said only so often. */
const LOG_INTERVAL_MS = 10_000

/** Keeps out what is larger than MAX_MESSAGE_BYTES, counts it and says so. */
export class MessageBound {
  /** Messages that were too large. */
  oversized = 0
  #loggedAtMs = -Infinity

  constructor (private readonly maxMessageBytes: number, private readonly clock: Clock, private readonly log: Log) {}

  /** @returns whether the message may be passed on */
  fits (roomId: string, message: string): boolean {
    const bytes = Buffer.byteLength(message)
    if (bytes <= this.maxMessageBytes) return true
    this.oversized++
    const nowMs = this.clock.now()
    if (nowMs - this.#loggedAtMs >= LOG_INTERVAL_MS) {
      this.#loggedAtMs = nowMs
      this.log.warn({ roomId, bytes, dropped: this.oversized, bound: 'MAX_MESSAGE_BYTES', maxMessageBytes: this.maxMessageBytes }, 'message is too large, dropped')
    }
    return false
  }

  /** @returns the payload of an end, or `{}` in the place of one that is too large: the room ends all the same */
  endPayload (roomId: string, payload: string): string {
    const bytes = Buffer.byteLength(payload)
    if (bytes <= this.maxMessageBytes) return payload
    this.log.warn({ roomId, bytes, bound: 'MAX_MESSAGE_BYTES', maxMessageBytes: this.maxMessageBytes }, 'payload of an end is too large, dropped')
    return '{}'
  }
}
