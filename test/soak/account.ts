import { compareEventIds, parseEventId, type EventId } from '../../src/rooms/event-id.js'
import { GAP_REASONS, type Gap } from '../../src/rooms/frame.js'
import { count, type Findings, type ViolationKind } from './findings.js'
import type { Room } from './room.js'

/** Gaps that were said since the last message. */
interface PendingGap {
  /** The first message that may come next. */
  floor: number
  /** What they say together; null when one of them does not know. */
  missed: number | null
  readonly said: string[]
  /** What was published when they were said. */
  until: number
}

/** Messages that did not come. */
interface Missing {
  first: number
  last: number
  /** Undefined: nothing was said of them. */
  readonly gap: PendingGap | undefined
  /** It had got none before. It may have begun on an instance that was behind the others: at an id from before it asked. */
  readonly isFirst: boolean
  /** Where and when that was. */
  readonly place: string
}

/**
 * What one viewer is told of a room's messages: each once, in order, but for those that a gap is said for. Costs the same however many
 * messages there are, and a little for each gap.
 */
export class Account {
  /** A new viewer is owed everything behind this one. */
  #start = 0
  #first: number | undefined
  /** The message that comes next; below `#highest` while some come again. */
  #next = 1
  #highest = 0
  #lastId: EventId | undefined
  #lastEventId = ''
  /** The id before that. */
  #former = ''
  #gap: PendingGap | undefined
  /**
   * What was parked, or held up, comes right behind a gap, and may be older than what was lost: so up to `until` the gap is said for what is
   * missing between such messages, too.
   */
  #loose: PendingGap | undefined
  #missing: Missing[] = []
  /** Messages of before it began that came late. */
  #stragglers: Set<number> | undefined
  #hasLeft = false

  constructor (private readonly name: string, private readonly room: Room, private readonly findings: Findings) {}

  get lastEventId () { return this.#lastEventId }

  /** The last message it has got. */
  get highest () { return this.#highest }

  /** Whether there is anything to judge when all is known. */
  get isOpenToDoubt () { return this.#missing.length > 0 }

  /** The head of a stream has come. Who has no id yet begins like somebody new. */
  onHead () {
    if (this.#lastEventId !== '') return
    this.#start = this.room.count
    this.#gap = undefined
  }

  onId (text: string, mayGoBack = false) {
    if (text === this.#lastEventId) return
    const id = parseEventId(text)
    if (id === undefined) return this.#violate('malformed', `id ${text}`)
    if (!mayGoBack && this.#lastId !== undefined && compareEventIds(id, this.#lastId) < 0) this.#violate('backwards', `${this.#lastEventId} is followed by ${text}`)
    this.#lastId = id
    this.#lastEventId = text
  }

  /** @param data of a batch */
  onBatch (id: string, data: string) {
    if (id === this.#lastEventId) this.#violate('doubled', `another event under ${id}`)
    this.#former = this.#lastEventId
    this.onId(id)
    const numbers = this.room.numbersIn(data)
    this.findings.deliveries += numbers.length
    for (const n of numbers) this.#onMessage(n)
    const last = numbers.at(-1)
    if (last === undefined) this.#violate('malformed', `no messages in ${data}`)
    else if (!this.room.agreesOn(id, last)) this.#violate('disagreement', `the last message is ${last}, others were told another`)
  }

  onGap (id: string, data: string) {
    const gap = JSON.parse(data) as Gap
    if (!GAP_REASONS.includes(gap.reason) || gap.to !== id) this.#violate('malformed', `gap ${data} under ${id}`)
    count(this.findings.gaps, gap.reason)
    this.onId(id, gap.reason === 'unknown-id')
    const pending = this.#gap ??= { floor: Infinity, missed: 0, said: [], until: 0 }
    pending.until = this.room.count
    pending.floor = Math.min(pending.floor, this.room.firstAfter(gap))
    pending.missed = pending.missed === null || gap.missed === null ? null : pending.missed + gap.missed
    pending.said.push(data)
  }

  /** The room is over: nothing follows. */
  onEnd () {
    if (!this.room.isEnding) this.#violate('sent-away', 'the room has not ended')
    this.finish()
  }

  /** Nothing more comes: what has not come by now is missing. */
  finish () {
    // Who has no id was promised nothing.
    if (this.#lastEventId !== '') this.#skip(this.room.count)
  }

  /** It goes for good: what is on its way does not reach it. */
  leave () {
    this.#hasLeft = true
  }

  /** Judges what is missing. Once, when it is known what was published. */
  close () {
    for (const missing of this.#missing) this.#judge(missing)
    this.#missing = []
  }

  #onMessage (n: number) {
    // Numbers that are none are not smaller, either.
    if (!(n <= this.room.count)) return this.#violate('foreign', `message ${n}`)
    if (this.#first !== undefined && n < this.#next) {
      const isBehindGap = this.#gap !== undefined && n >= this.#gap.floor
      if ((!isBehindGap || this.room.mayBeLate) && this.#isLate(n)) return
      if (!isBehindGap) return this.#violate('doubled', `${n} comes again, or too late: ${this.room.fates[n]}; the first was ${this.#first}, the last ${this.#next - 1}`)
    }
    this.#skip(n - 1)
    if (n <= this.#highest) this.findings.repeated++
    this.#first ??= n
    this.#next = n + 1
    this.#highest = Math.max(this.#highest, n)
  }

  /** All that has not come up to number `last` will not come any more, or late. */
  #skip (last: number) {
    const gap = this.#gap
    this.#gap = undefined
    if (gap !== undefined && this.room.mayBeLate) this.#loose = gap
    const isFirst = this.#first === undefined
    const isNext = last + 1 >= this.#next
    const first = Math.max(isFirst ? this.#start + 1 : 0, this.#next, this.#highest + 1)
    this.#next = Math.max(this.#next, last + 1)
    if (first <= last) this.#miss(first, last, gap, isFirst)
    else if (gap?.missed && !isFirst && isNext && !this.room.mayBeLate) this.#violate('miscounted', `nothing is missing where ${gap.said} was said`)
  }

  #miss (first: number, last: number, gap: PendingGap | undefined, isFirst: boolean) {
    const place = `between ${this.#former} and ${this.#lastEventId} ${this.findings.moment()}`
    const loose = gap === undefined ? this.#loose : undefined
    const until = Math.min(last, loose?.until ?? 0)
    if (first <= until) this.#missing.push({ first, last: until, gap: loose, isFirst, place })
    if (until < last) this.#missing.push({ first: Math.max(first, until + 1), last, gap, isFirst, place })
  }

  /** Takes what was given up. @returns whether it was */
  #isLate (n: number): boolean {
    const index = this.#missing.findIndex(({ first, last }) => first <= n && n <= last)
    const missing = this.#missing[index]
    if (missing !== undefined) {
      const parts = [{ ...missing, last: n - 1 }, { ...missing, first: n + 1 }]
      this.#missing.splice(index, 1, ...parts.filter(({ first, last }) => first <= last))
      if (!this.room.mayBeLate) this.#violate('reordered', `${n} comes after ${this.#next - 1}`)
    } else {
      if (!this.room.mayBeLate || this.#first === undefined || n >= this.#first || this.#stragglers?.has(n)) return false
      this.#stragglers ??= new Set()
      this.#stragglers.add(n)
    }
    this.findings.late++
    this.room.late.add(n)
    return true
  }

  #judge ({ first, last, gap, isFirst, place }: Missing) {
    const { unsure, late, mayBeLate } = this.room
    const total = last - first + 1
    const owed: number[] = []
    // If the first that came had been held up, there were others before it began.
    for (let n = mayBeLate ? Math.max(first, this.#start + 1) : first; n <= last; n++) if (!unsure.has(n) && !(this.#hasLeft && late.has(n))) owed.push(n)
    if (gap === undefined) {
      if (owed.length > 0) this.#violate('lost', `${owed.length} of ${first}..${last}, ${place}: ${owed.slice(0, 5).map((n) => this.room.fates[n] ?? n).join(', ')}`)
      return
    }
    this.findings.missed += owed.length
    if (gap.missed === null || mayBeLate) return
    if (gap.missed > (isFirst ? last : total) || gap.missed < owed.length) this.#violate('miscounted', `${owed.length} to ${total} are missing (${first}..${last}) where ${gap.said} was said, ${place}`)
  }

  #violate (kind: ViolationKind, detail: string) {
    this.findings.violate(kind, `${this.name} in room ${this.room.index} (${this.room.path}, ${this.room.id}) at ${this.#lastEventId || 'its beginning'}: ${detail}`)
  }
}
