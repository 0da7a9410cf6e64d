import type { Clock } from '../clock.js'
import type { HeardQueue } from './heard-queue.js'

/** A follower looks so often whether the owner does its work. */
const PROBE_MS = 2000

/**
 * Watches, as a follower, whether the owner logs what was heard, and whether it is known where `heard` begins. If not,
 * the owner is asked for an answer; if that does not come either, it is taken for dead although its instance lives.
 * While there is nothing to wait for, no timer runs.
 */
export class OwnerProbe {
  #cancelTimer: (() => void) | undefined
  #isAsked = false

  /**
   * @param ask asks the owner
   * @param giveUp called when it has not answered
   */
  constructor (private readonly clock: Clock, private readonly heard: HeardQueue, private readonly ask: () => void, private readonly giveUp: () => void) {}

  /** Looks again after a while, if there is anything to look at. */
  start () {
    const { base, size } = this.heard
    if (base !== undefined && size === 0) return
    this.#cancelTimer ??= this.clock.after(PROBE_MS, () => {
      this.#cancelTimer = undefined
      this.#look(base)
    })
  }

  /** The owner has answered. */
  onAnswer () {
    this.#isAsked = false
  }

  stop () {
    this.#cancelTimer?.()
    this.#cancelTimer = undefined
    this.#isAsked = false
  }

  #look (formerBase: number | undefined) {
    const { base, size } = this.heard
    if (base !== undefined && (base !== formerBase || size === 0)) {
      this.#isAsked = false
    } else if (this.#isAsked) {
      this.giveUp()
      return
    } else {
      this.#isAsked = true
      this.ask()
    }
    this.start()
  }
}
