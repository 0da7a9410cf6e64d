import type { Broker } from '../broker/broker.js'
import type { Clock } from '../clock.js'
import { isOfType, type HeardQueue } from './heard-queue.js'

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
  /** Makes the words of marks differ. */
  #marks = 0

  /** @param giveUp called when the owner has not answered */
  constructor (private readonly roomId: string, private readonly broker: Broker, private readonly clock: Clock, private readonly heard: HeardQueue, private readonly giveUp: () => void) {}

  /**
   * Asks the owner where `heard` begins.
   *
   * @throws BrokerUnavailableError
   */
  async mark (): ReturnType<Broker['mark']> {
    return await this.broker.mark(this.roomId, `${this.broker.instance}.${++this.#marks}`)
  }

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
      this.#ask()
    }
    this.start()
  }

  #ask () {
    this.mark().catch(() => {})
    // The owner may not have heard of the end.
    const { first } = this.heard
    if (isOfType(first, 'end')) this.broker.end(this.roomId, first.payload).catch(() => {})
  }
}
