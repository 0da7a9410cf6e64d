import { BrokerUnavailableError, type Claim, type Owner, type RoomListener, type Signal } from '../broker/broker.js'
import { compareEventIds, type EventId } from '../rooms/event-id.js'
import type { ViewerCounts } from '../broker/viewer-board.js'
import type { GapReason } from '../rooms/frame.js'
import type { Entry, History } from '../rooms/history.js'
import { Claimant, type ClaimAnswer } from './claimant.js'
import type { HeardQueue } from './heard-queue.js'
import type { LogEntry } from './log-entry.js'
import { LogReader } from './log-reader.js'
import { LogView } from './log-view.js'
import type { OwnerWatcher } from './membership.js'
import { OwnerProbe } from './owner-probe.js'
import { RateBound } from './rate-bound.js'
import { ASKING, changeOfRole, type Role } from './role.js'
import type { SequencerContext } from './sequencer-context.js'
import { Tenure } from './tenure.js'

/** Pause before something the broker could not do is tried again. */
const RETRY_MS = 1000
/** So often in RETRY_MS a room may ask who owns it; past it the next time is when they are over. What makes it ask may come from anybody. */
const MAX_ASKS = 10
/** Who has not heard everything lets others be first for so long. */
const COURTESY_MS = 1000

/** Who hears what the room says, in order, and what else concerns it. */
export interface Outlet extends Pick<RoomListener, 'onSubscribed' | 'onInterrupted' | 'onViewers'> {
  /** The history is complete up to now. Called once, before anything is said. */
  onOpen (): void
  /**
   * More may follow at once.
   *
   * @param heardAtMs when the oldest message of the entry was heard here; undefined when it has none, or they were not
   */
  onSaid (entry: Entry, heardAtMs?: number): void
  /** Nothing more follows at once. */
  flush (): void
  /** Whether what was said is still being written. `Sequencer.onWritten` is called when that is done. */
  readonly isWriting: boolean
  /** The room has ended; nothing follows. */
  onEnded (): void
}

/**
 * Gives the messages of one room their order, together with its like on other instances. One of them owns the room: it
 * numbers what it hears, says it to its viewers at once and appends it to the log. The others follow the log.
 *
 * What must hold, always, besides what LogView and Tenure keep:
 *
 * 1. What an owner said and could not log counts as heard only, and whoever owns the room next logs it, or says a gap. So
 *    there is one history.
 * 2. A new owner reads the log after it has fenced the old one, and appends only then.
 * 3. A follower hears what is logged before it reads what was.
 * 4. Whatever is awaited, another may have happened meanwhile: `#attempt` changes when what was begun is void.
 */
export class Sequencer implements RoomListener, OwnerWatcher {
  readonly #view: LogView
  readonly #heard: HeardQueue
  readonly #reader: LogReader
  readonly #claimant: Claimant
  readonly #probe: OwnerProbe
  #role: Role = ASKING
  #attempt = 0
  #isSubscribed = false
  #isFollowing = false
  #isOpen = false
  /** The end was heard; nothing counts that is heard after it. */
  #hasHeardEnd = false
  #cancelRetry: (() => void) | undefined
  readonly #asks: RateBound
  /** When messages were heard that are not said yet: the oldest, and the newest. */
  #oldestHeardAtMs: number | undefined
  #newestHeardAtMs: number | undefined

  constructor (private readonly roomId: string, history: History, private readonly outlet: Outlet, private readonly context: SequencerContext) {
    const { broker, clock, log, membership } = context
    this.#view = new LogView(roomId, history, (entry) => this.#onSaid(entry), log, (reason) => context.counters.gaps.room[reason]++)
    this.#heard = this.#view.heard
    this.#asks = new RateBound(clock, MAX_ASKS, RETRY_MS)
    this.#reader = new LogReader(roomId, this.#view, broker)
    this.#claimant = new Claimant(roomId, this.#view, broker, membership)
    this.#probe = new OwnerProbe(roomId, broker, clock, this.#heard, () => this.onOwnerDead())
  }

  get #isClosed () { return this.#role.type === 'closed' }

  /** What this instance is to the room. */
  get role () { return this.#role.type }

  get isOpen () { return this.#isOpen }

  /** Whether this instance surely numbers the room's messages: nobody has said more than it. */
  get isOwner () { return this.#role.type === 'owner' && this.#role.tenure.holdsRoom }

  /** Whether this instance hears at present of everything that is logged. */
  get isInTouch () { return this.isOwner || (this.#role.type === 'follower' && this.context.membership.holdsLease) }

  /** Starts to listen. */
  start () {
    if (!this.#isClosed) this.context.broker.subscribe(this.roomId, this)
  }

  /** Says what has gathered, now. */
  flush () {
    if (this.#role.type === 'owner') this.#role.tenure.flush()
  }

  /** What was said has been written to all. */
  onWritten (isFlushed: boolean) {
    if (this.#role.type === 'owner') this.#role.tenure.onWritten(isFlushed)
  }

  /** Offers the room to a follower, who takes it at once. @returns whether there is nothing more to wait for */
  handOver (): boolean {
    if (this.#role.type === 'owner' && this.#role.tenure.hasHeir) this.#offer()
    return this.#role.type === 'follower' || this.#isClosed
  }

  async #offer () {
    this.flush()
    this.#become({ type: 'released' })
    const isReleased = await this.#claimant.offer().catch(() => false)
    if (this.#role.type !== 'released') return
    // The heir may have died.
    if (isReleased) this.#retryAfter(COURTESY_MS / 2)
    else this.#ask()
  }

  /**
   * Stops. An owner first hears and logs all that was published while it was subscribed: what is published after
   * that finds nobody subscribed, and can be parked. Resolves when that is done.
   */
  async close () {
    const { broker } = this.context
    if (this.#isClosed) return
    const wasOwner = this.#role.type === 'owner'
    if (!wasOwner) this.#become({ type: 'closed' })
    await broker.unsubscribe(this.roomId)
    this.flush()
    this.#become({ type: 'closed' })
    // It may be the owner still although it was just asking.
    await this.#claimant.giveUp()
  }

  onSubscribed () {
    this.#isSubscribed = true
    this.#ask()
    this.outlet.onSubscribed()
  }

  onInterrupted () {
    this.outlet.onInterrupted()
    this.flush()
    if (this.#isClosed) return
    this.#isSubscribed = false
    this.#isFollowing = false
    this.#become(ASKING)
    if (this.#isOpen) this.#heard.pushHole('broker-reconnect')
    else {
      this.#heard.clear()
      this.#oldestHeardAtMs = undefined
      this.#hasHeardEnd = false
    }
  }

  onMessage (message: string) {
    const { clock, counters } = this.context
    counters.messagesHeard++
    if (this.#hasHeardEnd) {
      counters.dropped['room-ended']++
      return
    }
    this.#newestHeardAtMs = clock.now()
    this.#oldestHeardAtMs ??= this.#newestHeardAtMs
    this.#hear(message)
    if (this.#role.type === 'owner') this.#role.tenure.onHeard()
    else if (this.#role.type === 'follower') this.#probe.start()
  }

  onEnd (payload: string) {
    if (this.#hasHeardEnd) return
    this.#hasHeardEnd = true
    this.#hear({ type: 'end', payload })
    if (this.#role.type === 'follower') this.#probe.start()
    else this.flush()
  }

  onLogged (entry: LogEntry) {
    if (this.#role.type !== 'follower') {
      this.#reader.note(entry)
    } else if (entry.to.term > this.#role.owner.term) {
      // It has another owner, whose claim was not heard, or nobody has who may write it.
      this.#ask()
    } else if (compareEventIds(entry.from, this.#view.place) === 0) {
      if (entry.kind === 'end') return this.#sayEnd(entry.data)
      this.#view.take(entry)
      this.#probe.start()
    } else if (compareEventIds(entry.to, this.#view.place) > 0) {
      // Something before it was not heard: it is read.
      this.#ask()
    }
  }

  onSignal (signal: Signal) {
    const role = this.#role
    switch (signal.type) {
      case 'mark':
        // The marks of others concern the owner, and who may just be becoming it.
        if (role.type === 'follower' && signal.instance !== this.context.broker.instance) break
        this.#hear(signal)
        if (role.type === 'owner') role.tenure.onHeard()
        break
      case 'marked':
        if (role.type === 'owner') break
        this.#probe.onAnswer()
        this.#view.startAfterMark(signal.word, signal.term, signal.n)
        if (role.type === 'follower') this.#view.admitNewNumbers()
        break
      case 'claimed':
        if (signal.instance === this.context.broker.instance) break
        if (role.type === 'follower' && signal.instance === role.owner.instance && signal.term === role.owner.term) break
        if (role.type !== 'owner' || signal.term > role.tenure.term) this.#ask()
        break
      case 'released':
        if (role.type === 'follower' && signal.instance === role.owner.instance) this.#ask()
    }
  }

  onViewers (counts: ViewerCounts) {
    this.outlet.onViewers(counts)
  }

  onOwnerDead () {
    if (this.#view.hasHeardAll) this.#replaceOwner()
    else this.#cancelRetry ??= this.context.clock.after(COURTESY_MS, () => this.#replaceOwner())
  }

  /** An instance that is itself out of touch knows nothing of the owner: it only asks. */
  #replaceOwner () {
    if (this.#role.type === 'follower') this.#ask(this.context.membership.holdsLease ? this.#role.owner : undefined)
  }

  /** Every change of role goes through here, and voids what was begun in the former one. */
  #become (role: Role) {
    const former = this.#role
    this.#role = role
    this.#attempt++
    this.#cancelRetry?.()
    this.#cancelRetry = undefined
    this.#probe.stop()
    if (former.type === 'follower') this.context.membership.unwatch(former.owner.instance, this)
    if (former.type === 'owner') former.tenure.end()
    const { roomId, context: { counters, log } } = this
    if (role.type === 'owner' || role.type === 'follower') counters.became[role.type]++
    const change = changeOfRole(former, role)
    if (change !== undefined) log.debug({ roomId, ...change[0] }, change[1])
    if (role.type === 'follower') {
      this.#claimant.forget()
      this.context.membership.watch(role.owner.instance, this)
    }
  }

  /**
   * Finds out who owns the room, and takes it if nobody does.
   *
   * @param replaced the owner, when it is known to be dead
   */
  async #ask (replaced?: Owner) {
    if (this.#isClosed || this.#hasAskedTooOften()) return
    this.#become(ASKING)
    const isVoid = this.#voidable()
    const { gate } = this.context
    await gate.enter()
    try {
      if (!isVoid()) await this.#claim(replaced)
    } catch (error) {
      if (isVoid()) return
      if (!(error instanceof BrokerUnavailableError)) this.context.log.error({ roomId: this.roomId, err: error }, 'unexpected error, trying again')
      // Without a subscription all begins anew with the next one.
      if (this.#isSubscribed) this.#retryAfter(RETRY_MS)
    } finally {
      gate.leave()
    }
  }

  /** If so, it is asked again later; what is under way goes on until then. */
  #hasAskedTooOften (): boolean {
    const waitMs = this.#asks.waitMs()
    if (waitMs === 0) return false
    if (this.#role.type !== 'asking') this.#become(ASKING)
    if (this.#cancelRetry === undefined) this.#retryAfter(waitMs)
    return true
  }

  async #claim (dead: Owner | undefined) {
    const isVoid = this.#voidable()
    const answer = await this.#claimant.claim(dead, isVoid)
    if (answer === undefined || isVoid()) {
      // Nobody should have to wait for who has closed the room meanwhile.
      if (this.#isClosed) await this.#claimant.giveUp()
      return
    }
    const { outcome } = answer
    switch (outcome.type) {
      case 'claimed':
        return await this.#own(outcome, answer)
      case 'owned':
        if (outcome.owner.instance !== this.context.broker.instance) return await this.#follow()
        this.#ask()
        return
      case 'ended':
        return await this.#conclude(outcome)
      case 'wait':
        this.#retryAfter(COURTESY_MS / 4)
    }
  }

  /** @returns what tells whether what is begun now has become void */
  #voidable () {
    const attempt = this.#attempt
    return () => attempt !== this.#attempt
  }

  #retryAfter (delayMs: number) {
    this.#cancelRetry?.()
    this.#cancelRetry = this.context.clock.after(delayMs, () => {
      this.#cancelRetry = undefined
      this.#ask()
    })
  }

  #reasonOfLoss (replaced: Owner | undefined): GapReason {
    if (replaced === undefined) return this.#isOpen ? 'broker-reconnect' : 'room-idle'
    return replaced.instance === this.context.broker.instance ? 'broker-reconnect' : 'sequencer-lost'
  }

  async #own (claim: Claim, { lapses, replaced }: ClaimAnswer) {
    const isVoid = this.#voidable()
    const { broker } = this.context
    const tenure = new Tenure(this.roomId, this.#view, this.context, {
      onLost: () => this.#ask(),
      onSaid: () => this.outlet.flush(),
      isWriting: () => this.outlet.isWriting,
      onFailed: () => this.#onLogFailed(),
      onFinished: (payload) => this.#sayEnd(payload)
    }, claim, lapses)
    const parked = await tenure.continueLog(this.#reader, this.#reasonOfLoss(replaced), isVoid)
    if (parked === undefined) return
    if (claim.endPayload !== undefined) this.onEnd(claim.endPayload)
    if (!await tenure.sayParked(parked, isVoid)) return
    if (this.#isFollowing) broker.unfollow(this.roomId)
    this.#isFollowing = false
    this.#become({ type: 'owner', tenure })
    this.#open()
    tenure.flush()
  }

  async #follow () {
    const isVoid = this.#voidable()
    const { broker } = this.context
    // In this order: what is logged from here on is heard, and what was logged before is read.
    this.#isFollowing = true
    await broker.follow(this.roomId)
    if (isVoid()) return
    const state = await this.#probe.mark()
    if (isVoid()) return
    if (state.owner === undefined || state.owner.instance === broker.instance) {
      this.#ask()
      return
    }
    if (state.owner.term < this.#view.lastTerm) {
      // Redis has lost its data, and its clock went back: the ids of this owner would be old ones.
      this.#ask(state.owner)
      return
    }
    if (!await this.#reader.catchUp(state.tail, state.owner.term, isVoid)) return
    this.#view.admitNewNumbers()
    this.#become({ type: 'follower', owner: state.owner })
    this.#open()
    const { endPayload } = this.#reader
    if (endPayload !== undefined) this.#sayEnd(endPayload)
    else this.#probe.start()
  }

  /** The room ended while this instance did not listen; its log is complete. */
  async #conclude ({ tail, endPayload }: { tail: EventId | undefined, endPayload: string }) {
    if (!await this.#reader.catchUp(tail, tail?.term ?? 0, this.#voidable())) return
    this.#sayEnd(endPayload)
  }

  #onLogFailed () {
    this.#become(ASKING)
    if (this.#isSubscribed) this.#retryAfter(RETRY_MS)
  }

  /** Nothing follows. */
  #sayEnd (payload: string) {
    this.#become({ type: 'closed' })
    this.#open()
    this.#view.sayEnd(payload)
    this.context.broker.unsubscribe(this.roomId)
    this.outlet.onEnded()
  }

  /** What is left was heard after all that is said: the newest of it is about as old as the oldest. */
  #onSaid (entry: Entry) {
    const heardAtMs = entry.kind === 'batch' ? this.#oldestHeardAtMs : undefined
    this.#oldestHeardAtMs = typeof this.#heard.first === 'string' ? this.#newestHeardAtMs : undefined
    this.outlet.onSaid(entry, heardAtMs)
  }

  #open () {
    if (this.#isOpen) return
    this.#isOpen = true
    this.outlet.onOpen()
  }

  #hear (item: Parameters<HeardQueue['push']>[0]) {
    const { size } = this.#heard
    if (this.#isClosed || this.#heard.push(item)) return
    this.context.counters.dropped.overflow += size + 1
    this.#oldestHeardAtMs = undefined
    this.context.log.warn({ roomId: this.roomId, bound: 'MAX_HEARD_LENGTH' }, 'messages cannot be logged, given up')
  }
}
