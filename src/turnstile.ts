import type { Clock } from './clock.js'

/**
 * Lets only so many go on in each turn of the event loop, the others in the next ones, in their order: those who have come, or have
 * waited for something, together would keep everybody else waiting if they all went on at once.
 */
export class Turnstile {
  #passed = 0
  #waiting: Array<() => void> = []

  constructor (private readonly clock: Clock, private readonly perTurn: number) {}

  /** Calls back when it is one's turn: now, if there is no crowd. */
  pass (goOn: () => void) {
    if (this.#passed === this.perTurn) this.#waiting.push(goOn)
    else this.#letPass(goOn)
  }

  #letPass (goOn: () => void) {
    if (this.#passed++ === 0) this.clock.soon(() => this.#onNextTurn())
    goOn()
  }

  #onNextTurn () {
    this.#passed = 0
    for (const goOn of this.#waiting.splice(0, this.perTurn)) this.#letPass(goOn)
  }
}
