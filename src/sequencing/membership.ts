import type { Broker } from '../broker/broker.js'
import type { Clock } from '../clock.js'
import type { Log } from '../log.js'

/** An instance says so often in the time of a lease that it lives. */
const BEATS_PER_LEASE = 4
/** Part of the lease that is not used, for what two clocks may differ in while it runs. */
const MARGIN = 0.25

/** What is told that an instance has died, which is the owner of a room or has something else to do with it. */
export interface OwnerWatcher {
  onOwnerDead (): void
}

/**
 * This instance among the living. One heartbeat serves all rooms that it owns.
 *
 * Invariant: `holdsLease` is true only while no other instance can take this one for dead. The broker counts the lease
 * from when the heartbeat reached it, this instance from when it sent it, which is earlier. After a lapse `lapses` is
 * another number: what was owned before must be asked for again, for another one may own it now.
 */
export class Membership {
  /** How often the lease has run out unnoticed by others or not. */
  lapses = 0
  /** Other instances that live. */
  others: ReadonlySet<string> = new Set()
  readonly #watchers = new Map<string, Set<OwnerWatcher>>()
  #validUntilMs = -Infinity
  #beating: Promise<void> | undefined
  #cancelTimer: (() => void) | undefined
  #hasJoined = false
  #isClosed = false

  constructor (private readonly broker: Broker, private readonly leaseMs: number, private readonly clock: Clock, private readonly log: Log) {}

  get instance () { return this.broker.instance }

  get holdsLease () { return this.clock.now() < this.#validUntilMs }

  /** Starts to beat. */
  start () {
    this.#cancelTimer = this.clock.after(this.leaseMs / BEATS_PER_LEASE, () => this.start())
    // An instance that cannot hear its rooms' messages must not keep the rooms.
    if (this.broker.connected) this.renew().catch(() => {})
  }

  /**
   * Beats now, or awaits the beat that is under way.
   *
   * @throws BrokerUnavailableError
   */
  renew (): Promise<void> {
    this.#beating ??= this.#beat().finally(() => { this.#beating = undefined })
    return this.#beating
  }

  /** Tells `watcher`, again at each beat, while `instance` is dead. */
  watch (instance: string, watcher: OwnerWatcher) {
    const watchers = this.#watchers.get(instance)
    if (watchers) watchers.add(watcher)
    else this.#watchers.set(instance, new Set([watcher]))
  }

  unwatch (instance: string, watcher: OwnerWatcher) {
    const watchers = this.#watchers.get(instance)
    watchers?.delete(watcher)
    if (watchers?.size === 0) this.#watchers.delete(instance)
  }

  /** Stops to beat and says so. Only when nothing is owned any more. */
  async close () {
    this.#isClosed = true
    this.#cancelTimer?.()
    await this.#beating?.catch(() => {})
    this.#validUntilMs = -Infinity
    if (this.broker.connected) await this.broker.beat(0).catch(() => {})
  }

  async #beat () {
    const sentAtMs = this.clock.now()
    const living = new Set(await this.broker.beat(this.leaseMs))
    if (this.#isClosed) return
    if (!this.holdsLease) this.lapses++
    this.#validUntilMs = sentAtMs + this.leaseMs * (1 - MARGIN)
    living.delete(this.instance)
    this.others = living
    if (!this.#hasJoined) this.log.info({ instance: this.instance, others: living.size }, 'joined the cluster')
    this.#hasJoined = true
    for (const [instance, watchers] of [...this.#watchers]) {
      if (!living.has(instance)) for (const watcher of [...watchers]) watcher.onOwnerDead()
    }
  }
}
