import type { Clock } from './clock.js'

/**
 * Lets only so many go on in each turn of the event loop, the others in the next ones, in their order: those who have come, or have
 * waited for something, together would keep everybody else waiting if they all went on at once.
 */
export class Turnstile {
  #passed = 0
  #waiting: Array<() => void> = []

  constructor (private readonly clock: Clock, private readonly perTurn: number) {}

  /** How many wait for their turn. */
  get waiting () { return this.#waiting.length }

  /** Calls back when it is one's turn: now, if there is no crowd. Whoever calls bounds how many wait. */
  pass (goOn: () => void) {
    if (this.#passed === this.perTurn) {
      this.#waiting.push(goOn)
      return
    }
    if (this.#passed === 0) this.clock.soon(this.#onNextTurn)
    this.#passed++
    goOn()
  }

  readonly #onNextTurn = () => {
    const turn = this.#waiting.splice(0, this.perTurn)
    // Before they go on: who comes meanwhile is behind them.
    this.#passed = turn.length
    if (turn.length > 0) this.clock.soon(this.#onNextTurn)
    const next = turn.values()
    try {
      for (const goOn of next) goOn()
    } finally {
      // What one of them throws keeps the others waiting for no longer than a turn.
      this.#waiting.unshift(...next)
    }
  }
}
