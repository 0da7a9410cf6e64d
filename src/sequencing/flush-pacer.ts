import type { Clock } from '../clock.js'
import type { FlushGovernor } from '../flush-governor.js'

/**
 * Says when to flush. What a quiet room hears goes out at once, with all that came in the same turn of the event loop; a
 * busy room rests between two flushes. The rest starts when the batch has been written to all
 * viewers, so a room whose fan-out is expensive flushes less often by itself and leaves the event loop time
 * for others. A timer runs only while something waits for the end of a rest.
 */
export class FlushPacer {
  #isRequested = false
  #restUntilMs = -Infinity
  #cancelTimer: (() => void) | undefined

  /**
   * @param restMs how long to rest now
   * @param flush returns whether there was anything to flush
   */
  constructor (private readonly clock: Clock, private readonly governor: FlushGovernor, private readonly restMs: () => number, private readonly flush: () => boolean) {}

  /** There is something to flush. */
  request () {
    if (this.#isRequested) return
    this.#isRequested = true
    const { clock } = this
    const leftMs = this.#restUntilMs - clock.now()
    if (leftMs > 0) this.#cancelTimer = clock.after(leftMs, () => this.#flushAndRest(clock.now() - this.#restUntilMs))
    else clock.soon(() => this.#flushAndRest())
  }

  /** Flushes at once, also while it rests. */
  flushNow () {
    this.#flushMeasured()
  }

  /** Flushes nothing any more, until it is requested again. */
  stop () {
    this.#isRequested = false
    this.#restUntilMs = -Infinity
    this.#cancelTimer?.()
  }

  /** @param lateMs how long after the end of the rest; undefined when there was none */
  #flushAndRest (lateMs?: number) {
    // It may have been stopped meanwhile.
    if (!this.#isRequested) return
    this.#isRequested = false
    if (this.#flushMeasured(lateMs)) this.#restUntilMs = this.clock.now() + this.restMs()
  }

  #flushMeasured (lateMs?: number): boolean {
    const startedAtMs = this.clock.now()
    const hasFlushed = this.flush()
    if (hasFlushed) this.governor.onFlush(this.clock.now() - startedAtMs, lateMs)
    return hasFlushed
  }
}
