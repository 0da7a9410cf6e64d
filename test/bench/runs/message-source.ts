import { makeMessage } from '../message.js'
import type { Publisher } from '../publishers.js'

const TICK_MS = 10

/** Publishes at a steady rate to many rooms, which take turns, so that the messages are spread evenly over the second. */
export class MessageSource {
  /** Of all rooms together. */
  published = 0
  #rate: number
  /** Since when the rate is what it is, and how many had been published then. */
  #since = { ms: performance.now(), published: 0 }
  readonly #timer: NodeJS.Timeout

  /** @param rate messages a second in each room */
  constructor (publisher: Publisher, rooms: readonly string[], rate: number, bytes: number) {
    this.#rate = rate
    this.#timer = setInterval(() => {
      const due = this.#since.published + Math.floor((performance.now() - this.#since.ms) / 1000 * this.#rate * rooms.length)
      for (; this.published < due; this.published++) {
        const room = rooms[this.published % rooms.length]
        if (room !== undefined) publisher.publish(room, makeMessage(Math.floor(this.published / rooms.length), bytes))
      }
    }, TICK_MS)
  }

  /** @param rate messages a second in each room, from now on */
  changeRate (rate: number) {
    this.#rate = rate
    this.#since = { ms: performance.now(), published: this.published }
  }

  stop () {
    clearInterval(this.#timer)
  }
}
