import type { Clock } from '../clock.js'

/**
 * Says when to flush. What a quiet room hears goes out at once, with all that came in the same turn of the event loop; a
 * busy room rests for `intervalMs` between two flushes. The rest starts when the batch has been written to all
 * viewers, so a room whose fan-out is expensive flushes less often by itself and leaves the event loop time
 * for others. While nothing comes, no timer runs.
 */
export class FlushPacer {
  #state: 'quiet' | 'scheduled' | 'resting' = 'quiet'
  #cancelRest: (() => void) | undefined

  /** @param flush returns whether there was anything to flush */
  constructor (private readonly clock: Clock, private readonly intervalMs: number, private readonly flush: () => boolean) {}

  /** There is something to flush. */
  request () {
    if (this.#state !== 'quiet') return
    this.#state = 'scheduled'
    this.clock.soon(() => {
      if (this.#state === 'scheduled') this.#flushAndRest()
    })
  }

  /** Flushes nothing any more, until it is requested again. */
  stop () {
    this.#state = 'quiet'
    this.#cancelRest?.()
  }

  #flushAndRest () {
    this.#state = 'resting'
    const hasFlushed = this.flush()
    // The flush may have stopped the pacer.
    if (this.#isStopped) return
    if (hasFlushed) this.#cancelRest = this.clock.after(this.intervalMs, () => this.#flushAndRest())
    else this.#state = 'quiet'
  }

  get #isStopped () { return this.#state !== 'resting' }
}
