import type { ViewerBoard } from '../broker/viewer-board.js'
import type { Clock } from '../clock.js'
import type { Audience } from '../rooms/audience.js'
import type { Membership, OwnerWatcher } from '../sequencing/membership.js'
import { TimeoutQueue } from '../timeout-queue.js'
import { Headcount } from './headcount.js'
import { Throttle } from './throttle.js'

/** The viewers of a room are told this often at the most. */
const TELL_INTERVAL_MS = 5000
/** Other instances hear of a room more often, for each of them gathers what it hears. */
const REPORT_INTERVAL_MS = 2000
/** Those who come at the same time count as one change. */
const GATHER_MS = 200
/** What does not change is said again after so long, before Redis forgets it. */
const RENEW_MS = 21_600_000

interface Watched extends OwnerWatcher {
  readonly headcounts: Set<Headcount>
  isDead: boolean
}

/**
 * Counts the viewers of all rooms of this instance together with the other instances. Each says how many it has; a room in
 * which nobody comes or goes costs nothing. What a dead instance has said does not count, and is struck by those who share a
 * room with it.
 *
 * While this instance is out of touch with the others, which may be much longer than Redis is away, nothing is said:
 * what is known is not known to be true any more.
 */
export class Census {
  readonly #reports: Throttle<Headcount>
  readonly #tellings: Throttle<Headcount>
  readonly #renewals: TimeoutQueue<Headcount>
  /** The other instances of which anything is heard. */
  readonly #watched = new Map<string, Watched>()
  /** Rooms that are given up, while the board may still have something of them. No more than there were rooms. */
  readonly #closed = new Set<Headcount>()

  /** @param isTold whether viewers are told */
  constructor (private readonly board: ViewerBoard, private readonly membership: Membership, private readonly isTold: boolean, clock: Clock) {
    this.#reports = new Throttle(clock, { gatherMs: GATHER_MS, restMs: REPORT_INTERVAL_MS }, (headcounts) => this.#report(headcounts))
    this.#tellings = new Throttle(clock, { gatherMs: GATHER_MS, restMs: TELL_INTERVAL_MS }, (headcounts) => this.#tell(headcounts))
    this.#renewals = new TimeoutQueue(clock, RENEW_MS, (headcount) => headcount.onFading())
  }

  get instance () { return this.membership.instance }

  /** Whether this instance is in touch with the others. */
  get isCurrent () { return this.isTold && this.membership.holdsLease }

  open (roomId: string, audience: Pick<Audience, 'size' | 'show'>): Headcount {
    return new Headcount(roomId, audience, this)
  }

  /** Whether another one, of which this one has a number, was dead at the last heartbeat. */
  isDead (instance: string): boolean {
    return this.#watched.get(instance)?.isDead === true && !this.membership.others.has(instance)
  }

  watch (instance: string, headcount: Headcount) {
    const watched = this.#watched.get(instance)
    if (watched !== undefined) {
      watched.headcounts.add(headcount)
      return
    }
    const headcounts = new Set([headcount])
    const watcher = {
      headcounts,
      isDead: false,
      onOwnerDead () {
        this.isDead = true
        for (const headcount of headcounts) headcount.onDeath(instance)
      }
    }
    this.#watched.set(instance, watcher)
    this.membership.watch(instance, watcher)
  }

  unwatch (instance: string, headcount: Headcount) {
    const watched = this.#watched.get(instance)
    if (watched === undefined) return
    watched.headcounts.delete(headcount)
    if (watched.headcounts.size > 0) return
    this.#watched.delete(instance)
    this.membership.unwatch(instance, watched)
  }

  requestReport (headcount: Headcount) {
    this.#reports.request(headcount)
  }

  requestTelling (headcount: Headcount) {
    if (this.isTold) this.#tellings.request(headcount)
  }

  onClosed (headcount: Headcount) {
    this.#tellings.delete(headcount)
    this.#renewals.delete(headcount)
    if (!headcount.mustReport) {
      this.#reports.delete(headcount)
      return
    }
    this.#closed.add(headcount)
    this.#reports.request(headcount)
  }

  /** Stops. What the board has of rooms that are given up is taken back, if Redis can be reached: else this instance is dead soon. */
  async close () {
    this.#reports.clear()
    this.#tellings.clear()
    this.#renewals.clear()
    const closed = [...this.#closed]
    if (closed.length > 0) await this.#post(closed)
  }

  #report (headcounts: readonly Headcount[]): readonly Headcount[] {
    const reporting = headcounts.filter(({ mustReport }) => mustReport)
    // Also after a success: what was posted must be heard, too.
    for (const headcount of reporting) this.#reports.request(headcount)
    // Who is taken for dead must not be heard: it would be struck again.
    if (this.membership.holdsLease && reporting.length > 0) this.#post(reporting)
    return reporting
  }

  async #post (headcounts: readonly Headcount[]) {
    const reports = headcounts.map((headcount) => headcount.report())
    for (const headcount of headcounts) {
      if (headcount.own > 0) this.#renewals.touch(headcount)
      else this.#renewals.delete(headcount)
    }
    try {
      await this.board.post(reports)
    } catch {
      // It is said again as long as it is not heard.
      return
    }
    for (const [index, headcount] of headcounts.entries()) {
      headcount.onReported(reports[index]?.viewers ?? 0)
      if (!headcount.mustReport) this.#closed.delete(headcount)
    }
  }

  #tell (headcounts: readonly Headcount[]): readonly Headcount[] {
    const telling = headcounts.filter(({ mustTell }) => mustTell)
    for (const headcount of telling) {
      if (this.membership.holdsLease) headcount.tell()
      else this.#tellings.request(headcount)
    }
    return telling
  }
}
