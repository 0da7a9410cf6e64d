import type { Clock } from '../clock.js'
import type { FlushGovernor } from '../flush-governor.js'

/** Part of the interval that is left to others, however long a flush takes. */
const MIN_REST = 0.5

/** What is flushed. */
export interface Flushable {
  /** @returns whether there was anything to flush */
  flush (): boolean
  /** Whether that is still being written: `onWritten` is called when it is done. */
  readonly isWriting: boolean
}

/**
 * Says when to flush. What a quiet room hears goes out at once, with all that came in the same turn of the event loop; a
 * busy room flushes once per interval, and when all of it has been written rests for half of one at least: so a room whose fan-out is
 * expensive flushes less often by itself. A timer runs only while something waits for the end of a rest.
 */
export class FlushPacer {
  #isRequested = false
  #startedAtMs = -Infinity
  #restUntilMs = -Infinity
  #cancelTimer: (() => void) | undefined

  /** @param intervalMs from flush to flush, now; 0: there is no rest */
  constructor (private readonly clock: Clock, private readonly governor: FlushGovernor, private readonly intervalMs: () => number, private readonly room: Flushable) {}

  /** There is something to flush. */
  request () {
    if (this.#isRequested) return
    this.#isRequested = true
    if (!this.room.isWriting) this.#schedule()
  }

  /** Flushes at once, also while it rests. */
  flushNow () {
    this.#isRequested = false
    this.#cancelTimer?.()
    this.#flushMeasured()
  }

  /**
   * All has been written.
   *
   * @param isFlushed whether it was what was flushed, and not something else
   */
  onWritten (isFlushed: boolean) {
    if (isFlushed) this.#rest()
    if (this.#isRequested) this.#schedule()
  }

  /** Flushes nothing any more, until it is requested again. */
  stop () {
    this.#isRequested = false
    this.#restUntilMs = -Infinity
    this.#cancelTimer?.()
  }

  #schedule () {
    const { clock } = this
    this.#cancelTimer?.()
    const leftMs = this.#restUntilMs - clock.now()
    // In the same step of the turn, so that what rooms log whose rests end together leaves together.
    if (leftMs > 0) this.#cancelTimer = clock.after(leftMs, () => clock.soon(() => this.#flushAndRest(clock.now() - this.#restUntilMs)))
    else clock.soon(() => this.#flushAndRest())
  }

  /** @param lateMs how long after the end of the rest; undefined when there was none */
  #flushAndRest (lateMs?: number) {
    // It may have been stopped meanwhile, or somebody else has flushed.
    if (!this.#isRequested || this.room.isWriting) return
    this.#isRequested = false
    if (this.#flushMeasured(lateMs) && !this.room.isWriting) this.#rest()
  }

  #rest () {
    const intervalMs = this.intervalMs()
    this.#restUntilMs = Math.max(this.#startedAtMs + intervalMs, this.clock.now() + MIN_REST * intervalMs)
  }

  #flushMeasured (lateMs?: number): boolean {
    const startedAtMs = this.clock.now()
    const hasFlushed = this.room.flush()
    if (!hasFlushed) return false
    this.#startedAtMs = startedAtMs
    this.governor.onFlush(this.clock.now() - startedAtMs, lateMs)
    return true
  }
}
