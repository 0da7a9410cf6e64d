import { makeMessage } from '../message.js'
import type { Publisher } from '../publishers.js'

const TICK_MS = 10

/** Publishes at a steady rate to many rooms, which take turns, so that the messages are spread evenly over the second. */
export class MessageSource {
  /** Of all rooms together. */
  published = 0
  readonly #startedMs = performance.now()
  readonly #timer: NodeJS.Timeout

  /** @param rate messages a second in each room */
  constructor (publisher: Publisher, rooms: readonly string[], rate: number, bytes: number) {
    this.#timer = setInterval(() => {
      const due = Math.floor((performance.now() - this.#startedMs) / 1000 * rate * rooms.length)
      for (; this.published < due; this.published++) {
        const room = rooms[this.published % rooms.length]
        if (room !== undefined) publisher.publish(room, makeMessage(Math.floor(this.published / rooms.length), bytes))
      }
    }, TICK_MS)
  }

  stop () {
    clearInterval(this.#timer)
  }
}
