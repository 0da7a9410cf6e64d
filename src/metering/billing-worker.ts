import type { Clock } from '../clock.js'
import type { Log } from '../log.js'
import type { Ledger, OutstandingRecord } from './ledger.js'
import { Pacing } from './pacing.js'
import type { BillingOutcome } from './tenant-api.js'

/** How long an instance leads after it was last heard of. */
const LEASE_MS = 10_000
/** Clocks do not run equally fast, and a request is not sent in the moment in which it is decided on. */
const LEASE_MARGIN_MS = 1000
const RENEWAL_MS = LEASE_MS / 3
/** Longest wait for the tenant API, and then for the ledger, when the worker is closed. */
const MAX_FLUSH_MS = 3000
const MAX_RESIGN_MS = 1000

export interface BillingWorkerOptions {
  readonly ledger: Ledger
  /** Bills one record; never throws. */
  readonly bill: (record: OutstandingRecord) => Promise<BillingOutcome>
  readonly clock: Clock
  readonly log: Log
  /** How long counts are gathered between two requests for a room. */
  readonly intervalMs: number
}

/**
 * Bills what the ledger holds, while this instance leads: one request per room and interval.
 *
 * A record is forgotten only after it was billed, and keeps its key until then. So whatever dies in between, or whoever
 * else believes to lead, it is sent again with the same key, by which the tenant API knows it.
 */
export class BillingWorker {
  readonly #options: BillingWorkerOptions
  #pacing: Pacing
  /** Rooms with a request under way. */
  readonly #busy = new Set<string>()
  readonly #waiters: Array<() => void> = []
  /** A round that was broken off goes on where it stopped: a rate limit must not starve the rooms at the end. */
  #outstanding: AsyncGenerator<OutstandingRecord, void, void> | undefined
  #round = Promise.resolve()
  #leadsUntilMs = -Infinity
  /** Whether the outage, if there was one, was over when the present round began. */
  #isCatchingUp = false
  #maySend = true
  #isClosed = false
  #isRefusalSaid = false
  /** When the last round began that has asked for all rooms: what was counted before has been sent at least once. */
  #roundCompleteMs = -Infinity
  #roundBegunMs = -Infinity
  #billedMessages = 0
  #parkedRecords = 0
  #cancelRound: (() => void) | undefined
  #cancelElection: (() => void) | undefined

  constructor (options: BillingWorkerOptions) {
    this.#options = options
    this.#pacing = new Pacing(options.clock, options.log)
  }

  /** Messages billed by this instance. */
  get billedMessages () { return this.#billedMessages }

  /** Records that this instance has set aside. */
  get parkedRecords () { return this.#parkedRecords }

  /** Rooms whose last request failed. */
  get failingRooms () { return this.#pacing.failingRooms }

  /** What is to be billed, of all instances; undefined while another one leads. Fails while the ledger cannot be reached. */
  async backlog () {
    return this.leads ? await this.#options.ledger.backlog() : undefined
  }

  /**
   * At the most for how long something has waited to be billed, in ms, as far as this instance knows: since the last round
   * that asked for all rooms, or since a room first failed. Undefined while another one leads.
   */
  get oldestUnbilledMs () {
    if (!this.leads) return undefined
    return this.#options.clock.now() - Math.min(this.#roundCompleteMs, this.#pacing.failingSinceMs ?? Infinity)
  }

  /**
   * Whether no other instance leads, for sure. Counted from when the last renewal was sent, on a clock that goes on while
   * the process is stopped: one that wakes up too late sends nothing.
   */
  get leads () { return this.#options.clock.now() < this.#leadsUntilMs }

  get #sends () { return this.#maySend && this.leads && !this.#pacing.isPaused }

  start () {
    this.#elect()
    this.#scheduleRound()
  }

  /** Lets another instance go on, or, where counts would be lost, bills what it can. Takes a bounded time. */
  async close () {
    this.#cancelElection?.()
    this.#cancelRound?.()
    this.#isClosed = true
    this.#maySend = false
    this.#wake()
    await this.#atMost(MAX_FLUSH_MS, this.#finish())
    this.#maySend = false
    await this.#atMost(MAX_RESIGN_MS, this.#options.ledger.resign().catch((error) => this.#onLedgerError(error)))
    const { ledger: { volatileMessages: messages }, log } = this.#options
    if (messages > 0) log.error({ messages }, 'messages were not billed, and their count is gone with this process')
  }

  async #finish () {
    await this.#round
    if (this.#options.ledger.volatileMessages > 0) {
      this.#maySend = true
      // Twice, because what was under way may fail; and as long as it helps, because more was counted meanwhile.
      for (let pass = 1, before = 0; pass <= 2 || before < this.#billedMessages; pass++) {
        before = this.#billedMessages
        this.#pacing.hurry()
        this.#outstanding = undefined
        await this.#bill()
        await this.#until(() => this.#busy.size === 0)
      }
    }
    await this.#until(() => this.#busy.size === 0)
  }

  async #elect () {
    const { clock, ledger, log } = this.#options
    const sentMs = clock.now()
    try {
      const leads = await ledger.lead(LEASE_MS)
      // Nothing is known of what was before.
      if (leads && sentMs >= this.#leadsUntilMs) this.#roundCompleteMs = sentMs
      // Another instance may have led meanwhile: what was found before is out of date.
      if (sentMs >= this.#leadsUntilMs) this.#outstanding = undefined
      if (!leads) this.#pacing = new Pacing(clock, log)
      this.#leadsUntilMs = leads ? sentMs + LEASE_MS - LEASE_MARGIN_MS : -Infinity
    } catch (error) {
      this.#onLedgerError(error)
    }
    if (!this.#isClosed) this.#cancelElection = clock.after(RENEWAL_MS, () => this.#elect())
  }

  #scheduleRound () {
    const { clock, intervalMs } = this.#options
    this.#cancelRound = clock.after(intervalMs, () => { this.#round = this.#runRound() })
  }

  async #runRound () {
    if (this.#sends) await this.#bill()
    if (!this.#isClosed) this.#scheduleRound()
  }

  /** Starts a request for all that is outstanding, as long as it may. */
  async #bill () {
    try {
      const outstanding = this.#outstanding ??= this.#beginRound()
      while (true) {
        await this.#until(() => this.#busy.size < this.#pacing.concurrency || !this.#sends)
        if (!this.#sends) return
        const { value: record } = await outstanding.next()
        if (!record) break
        if (this.#sends && !this.#busy.has(record.roomId)) this.#send(record)
      }
      this.#outstanding = undefined
      this.#roundCompleteMs = this.#roundBegunMs
      this.#isRefusalSaid = false
      if (!this.#isCatchingUp) return
      await this.#until(() => this.#busy.size === 0 || this.#isClosed)
      this.#pacing.roundEnded()
    } catch (error) {
      this.#outstanding = undefined
      this.#onLedgerError(error)
    }
  }

  #beginRound () {
    this.#isCatchingUp = this.#pacing.isCatchingUp
    this.#roundBegunMs = this.#options.clock.now()
    return this.#options.ledger.outstanding((roomId) => this.#busy.has(roomId) || this.#pacing.isWaiting(roomId))
  }

  async #send (record: OutstandingRecord) {
    this.#busy.add(record.roomId)
    try {
      await this.#conclude(record, await this.#options.bill(record))
    } catch (error) {
      // It is still outstanding. Not at once: it may have been billed already.
      this.#pacing.delay(record.roomId)
      this.#onLedgerError(error)
    }
    this.#busy.delete(record.roomId)
    this.#wake()
  }

  /** Also when this instance has ceased to lead: what another one did with the record meanwhile is told by its key. */
  async #conclude (record: OutstandingRecord, outcome: BillingOutcome) {
    const { ledger, log } = this.#options
    const { roomId, key, count } = record
    if (outcome.result === 'failed') {
      this.#pacing.failed(record, outcome.reason, outcome.retryAfterMs)
      return
    }
    const isBilled = outcome.result === 'billed'
    this.#pacing.answered(roomId, isBilled ? count : 0)
    if (isBilled) {
      if (await ledger.settle(record)) this.#billedMessages += count
    } else if (await ledger.park(record)) {
      this.#parkedRecords++
      log.warn({ roomId, status: outcome.status, count, key }, 'the tenant API refuses a record, it is parked')
    }
  }

  /** That the ledger is away is said by its connection; what it refuses is said once. */
  #onLedgerError (error: unknown) {
    const reason = error instanceof Error ? error.message : String(error)
    const { log } = this.#options
    if (error instanceof Error && error.name === 'ReplyError' && !this.#isRefusalSaid) {
      this.#isRefusalSaid = true
      log.error({ reason }, 'redis refuses what billing needs, retrying')
    } else {
      log.debug({ reason }, 'billing goes on later')
    }
  }

  /** Looks again whenever a request has ended. */
  async #until (isSo: () => boolean) {
    while (!isSo()) await new Promise<void>((resolve) => this.#waiters.push(resolve))
  }

  #wake () {
    for (const wake of this.#waiters.splice(0)) wake()
  }

  async #atMost (ms: number, work: Promise<void>) {
    let cancel: (() => void) | undefined
    await Promise.race([work, new Promise<void>((resolve) => { cancel = this.#options.clock.after(ms, resolve) })])
    cancel?.()
  }
}
