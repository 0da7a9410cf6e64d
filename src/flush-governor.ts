import type { Clock } from './clock.js'
import type { Log } from './log.js'

/** Widths of the interval, in multiples of the narrowest. */
const STEPS = [1, 2, 3, 5, 7, 10, 14, 20, 30, 50, 70, 100]
/** Time over which flushes are weighed; the width changes by one step in that time at the most. */
const WINDOW_MS = 500
/** Share of the time that flushing may take before the interval widens. */
const MAX_SHARE = 0.8
/** Share that it may take after the interval has narrowed: less than MAX_SHARE, so that it does not widen again at once. */
const SHARE_TO_NARROW = 0.65
/** Timers may be late by so much at any time. */
const USUAL_LATENESS_MS = 10

export interface FlushGovernorOptions {
  readonly minIntervalMs: number
  readonly maxIntervalMs: number
  readonly clock: Clock
  readonly log: Log
}

/**
 * Says how often a busy room flushes. All rooms of an instance share one interval, for they share the event loop: when
 * flushing takes most of the time, or the loop runs late, all of them flush less often, gather more, and write fewer, larger
 * frames. When the load is over the interval narrows again.
 *
 * While nothing is flushed it does nothing.
 */
export class FlushGovernor {
  /** How often the interval has widened and narrowed. */
  widened = 0
  narrowed = 0
  /** Flushes, and what they took, in ms. */
  flushes = 0
  flushMs = 0
  readonly #options: FlushGovernorOptions
  readonly #intervalsMs: readonly number[]
  #step = 0
  #window = { startMs: -Infinity, flushMs: 0, rests: 0, lateMs: 0 }

  constructor (options: FlushGovernorOptions) {
    const { minIntervalMs, maxIntervalMs } = options
    this.#options = options
    const between = STEPS.map((multiple) => multiple * minIntervalMs).filter((intervalMs) => intervalMs < maxIntervalMs)
    this.#intervalsMs = [...between, Math.max(minIntervalMs, maxIntervalMs)]
  }

  /** From one flush of a room to the next, now. */
  get intervalMs () { return this.#intervalAt(this.#step) }

  /** Whether the interval has widened. */
  get isUnderLoad () { return this.#step > 0 }

  /**
   * Learns of a flush.
   *
   * @param durationMs what it took
   * @param lateMs how long after the time for it, when it had to wait for that
   */
  onFlush (durationMs: number, lateMs: number | undefined) {
    const nowMs = this.#options.clock.now()
    this.flushes++
    this.flushMs += durationMs
    this.#window.flushMs += durationMs
    if (lateMs !== undefined) {
      this.#window.rests++
      this.#window.lateMs += lateMs
    }
    const elapsedMs = nowMs - this.#window.startMs
    if (elapsedMs < WINDOW_MS) return
    this.#weigh(elapsedMs)
    this.#window = { startMs: nowMs, flushMs: 0, rests: 0, lateMs: 0 }
  }

  /** Learns of what a flush goes on to take, after it has begun. */
  onWritten (durationMs: number) {
    this.flushMs += durationMs
    this.#window.flushMs += durationMs
  }

  #weigh (elapsedMs: number) {
    const { flushMs, lateMs, rests } = this.#window
    const share = flushMs / elapsedMs
    const meanLateMs = rests === 0 ? 0 : lateMs / rests
    if (share > MAX_SHARE || meanLateMs > Math.max(2 * USUAL_LATENESS_MS, this.intervalMs / 2)) {
      if (this.#step < this.#intervalsMs.length - 1) this.#change(1, share, meanLateMs)
      return
    }
    // What was flushed after a long silence tells of all of it.
    for (let windows = Math.floor(elapsedMs / WINDOW_MS); windows > 0 && this.#mayNarrow(share, meanLateMs); windows--) this.#change(-1, share, meanLateMs)
  }

  #mayNarrow (share: number, meanLateMs: number) {
    const narrowerMs = this.#intervalAt(this.#step - 1)
    // A flush takes as long as before, and comes more often.
    return this.#step > 0 && share * this.intervalMs / narrowerMs < SHARE_TO_NARROW && meanLateMs < Math.max(USUAL_LATENESS_MS, narrowerMs / 4)
  }

  #change (by: 1 | -1, share: number, meanLateMs: number) {
    this.#step += by
    if (by > 0) this.widened++
    else this.narrowed++
    const { intervalMs } = this
    this.#options.log.info({ intervalMs, flushShare: Number(share.toFixed(2)), meanLateMs: Math.round(meanLateMs) }, `the flush interval has ${by > 0 ? 'widened' : 'narrowed'}`)
  }

  #intervalAt (step: number): number {
    return this.#intervalsMs[Math.max(0, step)] ?? this.#options.minIntervalMs
  }
}
