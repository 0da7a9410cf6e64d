import type { Clock } from '../clock.js'

/** Bounds how often something is done in a while. */
export class RateBound {
  #count = 0
  #sinceMs = -Infinity

  /**
   * @param most so many times
   * @param windowMs in this time, which begins with the first of them
   */
  constructor (private readonly clock: Clock, private readonly most: number, private readonly windowMs: number) {}

  /** Counts one more time. @returns after how many ms it may be done; 0: now */
  waitMs (): number {
    const nowMs = this.clock.now()
    if (nowMs - this.#sinceMs >= this.windowMs) {
      this.#sinceMs = nowMs
      this.#count = 0
    }
    return ++this.#count <= this.most ? 0 : this.#sinceMs + this.windowMs - nowMs
  }
}
