import type { Broker, ClaimOutcome, Owner } from '../broker/broker.js'
import type { LogView } from './log-view.js'
import type { Membership } from './membership.js'

/** What became of a claim. */
export interface ClaimAnswer {
  readonly outcome: ClaimOutcome
  /** The owner that was replaced, if there was one: a dead one, or this instance itself. */
  readonly replaced: Owner | undefined
  /** Of the lease, when the claim was made: another number means that the claim is not good any more. */
  readonly lapses: number
}

/**
 * Claims the ownership of a room for this instance, and gives it up.
 *
 * Invariant: `#term` is the last term under which the broker may still have this instance as the owner. Whoever else has the
 * room open waits for its owner, so what is not used is given up.
 */
export class Claimant {
  #term: number | undefined

  constructor (private readonly roomId: string, private readonly view: LogView, private readonly broker: Broker, private readonly membership: Membership) {}

  /**
   * Claims the room if nobody owns it, this instance itself does, or its owner is dead.
   *
   * @param dead the owner that is known to be dead
   * @param isVoid whether the claim is not wanted any more
   * @returns undefined when it was void before it was made
   * @throws BrokerUnavailableError
   */
  async claim (dead: Owner | undefined, isVoid: () => boolean): Promise<ClaimAnswer | undefined> {
    const { broker, membership, view } = this
    if (!membership.holdsLease) await membership.renew()
    if (isVoid()) return undefined
    const replaced = dead ?? await this.#formerSelf()
    if (isVoid()) return undefined
    const { lapses } = membership
    const { lastTerm, hasHeardAll, hasBegun, place } = view
    const outcome = await broker.claim(this.roomId, replaced, lastTerm, hasHeardAll, hasBegun ? place : undefined)
    if (outcome.type === 'claimed') this.#term = outcome.term
    // The answer to an earlier claim was lost.
    if (outcome.type === 'owned' && outcome.owner.instance === broker.instance) this.#term = outcome.owner.term
    return { outcome, replaced, lapses }
  }

  /** Notes that another instance owns the room. */
  forget () {
    this.#term = undefined
  }

  /** Gives the room up, if this instance may own it. The broker goes on trying when it fails. */
  async giveUp () {
    if (this.#term !== undefined) await this.broker.release(this.roomId, this.#term, false).catch(() => {})
  }

  /** @returns whether a follower may take the room now */
  async offer (): Promise<boolean> {
    return this.#term !== undefined && await this.broker.release(this.roomId, this.#term, true)
  }

  /**
   * This instance as the owner it was, to be replaced by itself under a new term, for it does not know what happened
   * meanwhile. If it has not heard everything, a follower that has comes first.
   */
  async #formerSelf (): Promise<Owner | undefined> {
    const term = this.#term
    if (term === undefined) return undefined
    const isReleased = !this.view.hasHeardAll && await this.offer()
    return isReleased ? undefined : { instance: this.broker.instance, term }
  }
}
