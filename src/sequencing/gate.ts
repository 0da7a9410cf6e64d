/**
 * Lets only so many in at a time, the others in their order: when Redis comes back, thousands of rooms want to ask at
 * once, and behind a queue of all their questions each answer, and the heartbeat, would come too late.
 */
export class Gate {
  #inside = 0
  readonly #waiting: Array<() => void> = []

  constructor (private readonly width: number) {}

  /** Resolves when there is room; `leave` must be called then. */
  async enter () {
    if (this.#inside < this.width) this.#inside++
    else await new Promise<void>((resolve) => this.#waiting.push(resolve))
  }

  /** Makes room for the next one. */
  leave () {
    const next = this.#waiting.shift()
    if (next === undefined) this.#inside--
    else next()
  }
}
