import type { Clock } from '../clock.js'
import type { FlushGovernor } from '../flush-governor.js'

/**
 * Says when to flush. What a quiet room hears goes out at once, with all that came in the same turn of the event loop; a
 * busy room rests between two flushes. The rest starts when the batch has been written to all
 * viewers, so a room whose fan-out is expensive flushes less often by itself and leaves the event loop time
 * for others. While nothing comes, no timer runs.
 */
export class FlushPacer {
  #state: 'quiet' | 'scheduled' | 'resting' = 'quiet'
  #cancelRest: (() => void) | undefined

  /**
   * @param restMs how long to rest now
   * @param flush returns whether there was anything to flush
   */
  constructor (private readonly clock: Clock, private readonly governor: FlushGovernor, private readonly restMs: () => number, private readonly flush: () => boolean) {}

  /** There is something to flush. */
  request () {
    if (this.#state !== 'quiet') return
    this.#state = 'scheduled'
    this.clock.soon(() => {
      if (this.#state === 'scheduled') this.#flushAndRest()
    })
  }

  /** Flushes at once, also while it rests. */
  flushNow () {
    this.#flushMeasured()
  }

  /** Flushes nothing any more, until it is requested again. */
  stop () {
    this.#state = 'quiet'
    this.#cancelRest?.()
  }

  /** @param lateMs how long after the end of the rest; undefined when there was none */
  #flushAndRest (lateMs?: number) {
    this.#state = 'resting'
    const hasFlushed = this.#flushMeasured(lateMs)
    // The flush may have stopped the pacer.
    if (this.#isStopped) return
    if (hasFlushed) this.#rest(this.clock.now() + this.restMs())
    else this.#state = 'quiet'
  }

  #flushMeasured (lateMs?: number): boolean {
    const startedAtMs = this.clock.now()
    const hasFlushed = this.flush()
    if (hasFlushed) this.governor.onFlush(this.clock.now() - startedAtMs, lateMs)
    return hasFlushed
  }

  #rest (untilMs: number) {
    const { clock } = this
    this.#cancelRest = clock.after(untilMs - clock.now(), () => this.#flushAndRest(clock.now() - untilMs))
  }

  get #isStopped () { return this.#state !== 'resting' }
}
