import type { ViewerCounts, ViewerReport } from '../broker/viewer-board.js'
import { viewersFrame } from '../rooms/frame.js'
import type { Audience } from '../rooms/audience.js'
import type { Census } from './census.js'

const NOBODY: ViewerCounts = new Map()
const NONE: ReadonlySet<string> = new Set()

/**
 * How many viewers one room has on all instances: this one's, and what the others have said.
 *
 * Invariant: `#others` is what the board last said, all of it, while the room is subscribed to. What it says of this instance shows
 * whether this one has to say anything: so whatever was lost on the way, or by Redis, is said again.
 */
export class Headcount {
  #isListening = false
  #isClosed = false
  /** What the board says of this instance; undefined: nothing was heard yet. */
  #heard: number | undefined
  #others = NOBODY
  /** Those of the others that were found dead. They stay so until they are struck, for one that lives after all says its number again then. */
  #dead = NONE
  /** The board may have a number of viewers of this instance. */
  #mayBePosted = false
  /** What the viewers were told last. */
  #told: number | undefined

  constructor (private readonly roomId: string, private readonly audience: Pick<Audience, 'size' | 'show'>, private readonly census: Census) {}

  /** Viewers on this instance. */
  get own () { return this.#isClosed ? 0 : this.audience.size }

  /** Whether the board does not have what it should. */
  get mustReport (): boolean {
    if (this.#isClosed) return this.#mayBePosted
    if (!this.#isListening) return false
    if (this.#heard === undefined) return this.own > 0 || this.#mayBePosted
    return this.#heard !== this.own || this.#dead.size > 0
  }

  /** Whether there is something new to tell the viewers. */
  get mustTell (): boolean {
    return this.own > 0 && this.#heard !== undefined && this.#total !== this.#told
  }

  /** Before a viewer joins. The first one is told at once what is known; the others, what all were told last. */
  onJoining () {
    if (this.own > 0) return
    this.#told = this.#heard !== undefined && this.census.isCurrent ? this.#total + 1 : undefined
    this.audience.show(this.#told === undefined ? undefined : viewersFrame(this.#told))
  }

  /** After viewers have joined or left. */
  onChanged () {
    this.#check()
  }

  onSubscribed () {
    this.#isListening = true
    this.#check()
  }

  onInterrupted () {
    this.#isListening = false
    this.#heard = undefined
    this.#setOthers(NOBODY)
  }

  onViewers (counts: ViewerCounts) {
    if (this.#isClosed || !this.#isListening) return
    const { instance } = this.census
    this.#heard = counts.get(instance) ?? 0
    const hasOthers = counts.size > (counts.has(instance) ? 1 : 0)
    this.#setOthers(hasOthers ? new Map([...counts].filter(([other]) => other !== instance)) : NOBODY)
    this.#check()
  }

  onDeath (instance: string) {
    this.#dead = new Set([...this.#dead, instance])
    this.#check()
  }

  /** The board is about to forget the room, unless it is told anew. */
  onFading () {
    this.#heard = undefined
    this.#check()
  }

  /** What is to be posted now. */
  report (): ViewerReport {
    const { own: viewers } = this
    if (viewers > 0) this.#mayBePosted = true
    return { roomId: this.roomId, viewers, dead: [...this.#dead] }
  }

  /** @param viewers as it was posted for sure */
  onReported (viewers: number) {
    if (viewers === 0 && this.own === 0) this.#mayBePosted = false
  }

  tell () {
    this.#told = this.#total
    this.audience.show(viewersFrame(this.#told))
  }

  /** The room is given up. What the board has of it is taken back, sooner or later. */
  close () {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#setOthers(NOBODY)
    this.census.onClosed(this)
  }

  get #total (): number {
    let total = this.own
    for (const [instance, viewers] of this.#others) if (!this.#dead.has(instance)) total += viewers
    return total
  }

  #check () {
    if (this.mustReport) this.census.requestReport(this)
    if (this.mustTell) this.census.requestTelling(this)
  }

  #setOthers (others: ViewerCounts) {
    for (const instance of this.#others.keys()) if (!others.has(instance)) this.census.unwatch(instance, this)
    for (const instance of others.keys()) if (!this.#others.has(instance)) this.census.watch(instance, this)
    this.#others = others
    const dead = [...others.keys()].filter((instance) => this.census.isDead(instance))
    this.#dead = dead.length > 0 ? new Set(dead) : NONE
  }
}
