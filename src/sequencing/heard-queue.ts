import type { GapReason } from '../rooms/frame.js'

/** What a queue may hold, in UTF-16 code units; past it all of it is given up, which is said as a gap. */
export const MAX_HEARD_LENGTH = 8_388_608
/** Items that are gone are cut off when they are so many, and half of all. */
const MIN_CUT = 1024
/** What an item counts at least: bounds the number of empty messages. */
const ITEM_LENGTH = 16

/** Messages may be missing here. */
export interface Hole { readonly type: 'hole', readonly reason: GapReason }
/** An instance began to follow here, and wants to know the number of the message before. */
export interface Mark { readonly type: 'mark', readonly instance: string, readonly word: string }
/** The room ended here. */
export interface End { readonly type: 'end', readonly payload: string }

export type Item = string | Hole | Mark | End

export function isOfType<T extends Exclude<Item, string>['type']> (item: Item | undefined, type: T): item is Extract<Item, { readonly type: T }> {
  return typeof item === 'object' && item.type === type
}

/**
 * What a room has heard from its publishers and not yet found in its log, in the order of Redis. The sequencer takes
 * from its head; a follower strikes from its head what the log has.
 *
 * Invariant: while `base` is known, the messages before the first hole are those numbered `base + 1`, `base + 2`, …,
 * each once, as the owner numbers them. So a follower that takes over goes on without loss or repetition.
 */
export class HeardQueue {
  #items: Item[] = []
  /** Items before this one are gone: an array gives up its head slowly when it is long. */
  #head = 0
  #length = 0
  #base: number | undefined

  get size () { return this.#items.length - this.#head }

  /** What all items count together, in UTF-16 code units. */
  get length () { return this.#length }

  /** Number of the message before the first one here; undefined when it is not known where the queue begins. */
  get base () { return this.#base }

  get hasHole () { return this.#cut().some((item) => isOfType(item, 'hole')) }

  /** Whether there is a hole behind something else. */
  get hasHoleInside () { return this.#cut().some((item, index) => index > 0 && isOfType(item, 'hole')) }

  get first (): Item | undefined { return this.#items[this.#head] }

  /** @returns false when the bound MAX_HEARD_LENGTH was hit, and all was given up */
  push (item: Item): boolean {
    this.#items.push(item)
    this.#length += lengthOf(item)
    if (this.#length <= MAX_HEARD_LENGTH) return true
    const end = this.#cut().find((item) => isOfType(item, 'end'))
    this.#items = []
    this.#length = 0
    this.push({ type: 'hole', reason: 'overflow' })
    if (end !== undefined) this.push(end)
    return false
  }

  /** Notes that messages may be missing between what was heard and what will be; once is enough. */
  pushHole (reason: GapReason) {
    if (!isOfType(this.#cut().at(-1), 'hole')) this.push({ type: 'hole', reason })
  }

  /** Takes the first item. */
  shift () {
    const item = this.first
    if (item === undefined) return
    this.#head++
    if (this.#head >= MIN_CUT && 2 * this.#head >= this.#items.length) this.#cut()
    this.#length -= lengthOf(item)
    if (typeof item === 'string' && this.#base !== undefined) this.#base++
  }

  /** Takes messages from the head, up to what is no message, or until they have `maxLength`; at least one if there is one. */
  takeMessages (maxLength: number): string[] {
    let count = 0
    let length = 0
    const items = this.#cut()
    for (let item = items[0]; typeof item === 'string' && length < maxLength; item = items[count]) {
      length += lengthOf(item)
      count++
    }
    // Only messages were counted.
    const messages = (count === items.length ? items : items.slice(0, count)) as string[]
    this.#items = items.slice(count)
    this.#length -= length
    if (this.#base !== undefined) this.#base += count
    return messages
  }

  /** Puts items back at the head. */
  putBack (items: readonly Item[]) {
    this.#items = [...items, ...this.#cut()]
    this.#length += items.reduce((sum, item) => sum + lengthOf(item), 0)
    if (this.#base !== undefined) this.#base -= items.filter((item) => typeof item === 'string').length
  }

  /** Says that the first message here is the one after number `base`. */
  startAfter (base: number) {
    this.#base = base
  }

  /** Forgets where the queue begins. */
  loseBase () {
    this.#base = undefined
  }

  /**
   * Learns from the answer to a mark, this instance's own or another's, where the queue begins. If that was known, nothing changes: what
   * stands before the mark may not be in the log yet. Else it is dropped: the owner has numbered it.
   *
   * @param n number of the last message before the mark
   * @returns whether the mark is here
   */
  startAfterMark (word: string, n: number): boolean {
    const index = this.#cut().findIndex((item) => isOfType(item, 'mark') && item.word === word)
    if (index < 0) return false
    const before = this.#items.slice(0, index)
    const messages = before.filter((item) => typeof item === 'string').length
    if (this.#base !== undefined && this.#base + messages === n && !before.some((item) => isOfType(item, 'hole'))) {
      this.#items.splice(index, 1)
      this.#length -= ITEM_LENGTH
      return true
    }
    for (let dropped = 0; dropped <= index; dropped++) this.shift()
    this.#base = n
    // The owner may die before it has said it.
    const end = before.find((item) => isOfType(item, 'end'))
    if (end !== undefined) this.putBack([end])
    return true
  }

  /**
   * Strikes messages that are in the log now, up to number `to`. If they are not all here it is no longer known where the
   * queue begins.
   *
   * @param messages the last of which has number `to`
   * @returns false when others were heard at their place, or none without a hole
   */
  strike (messages: readonly string[], to: number): boolean {
    if (this.#base === undefined) return true
    const unstruck = messages.slice(Math.max(0, messages.length - (to - this.#base)))
    for (const message of unstruck) {
      while (isOfType(this.first, 'mark')) this.shift()
      if (this.first !== message) {
        this.#base = undefined
        return isOfType(this.first, 'hole')
      }
      this.shift()
    }
    return true
  }

  /** Drops messages up to number `n`; if they are not here, it is no longer known where the queue begins. */
  dropUpTo (n: number) {
    while (this.#base !== undefined && this.#base < n) {
      const { first } = this
      if (typeof first === 'string' || isOfType(first, 'mark')) this.shift()
      else this.#base = undefined
    }
  }

  /**
   * Where the queue begins is not known: strikes the longest run of messages at its head that ends as the log does.
   *
   * @param logged the last messages of the log
   */
  strikeOverlap (logged: readonly string[]) {
    const heard: string[] = []
    for (const item of this.#cut()) if (typeof item === 'string') heard.push(item)
    let struckEnd = 0
    let longest = 0
    for (let end = heard.length; end > 0; end--) {
      let count = 0
      while (count < Math.min(end, logged.length) && heard[end - 1 - count] === logged[logged.length - 1 - count]) count++
      if (count <= longest) continue
      longest = count
      struckEnd = end
    }
    for (let struck = 0; struck < struckEnd;) {
      if (typeof this.first === 'string') struck++
      this.shift()
    }
  }

  /** Gives up what was heard before the last hole, but for the end: nothing comes after that. */
  dropBeforeLastHole () {
    const items = this.#cut()
    const last = items.findLastIndex((item) => isOfType(item, 'hole'))
    const end = items.slice(0, Math.max(0, last)).find((item) => isOfType(item, 'end'))
    for (let dropped = 0; dropped < last; dropped++) this.shift()
    if (end !== undefined) this.push(end)
  }

  /** Notes that messages may be missing before the first one here, which gets the number after `base`. */
  beginWithHole (reason: GapReason, base: number) {
    if (!isOfType(this.first, 'hole')) this.putBack([{ type: 'hole', reason }])
    this.#base = base
  }

  clear () {
    this.#items = []
    this.#head = 0
    this.#length = 0
    this.#base = undefined
  }

  /** Cuts off what is gone. @returns the items */
  #cut (): Item[] {
    if (this.#head > 0) this.#items = this.#items.slice(this.#head)
    this.#head = 0
    return this.#items
  }
}

function lengthOf (item: Item): number {
  return ITEM_LENGTH + (typeof item === 'string' ? item.length : item.type === 'end' ? item.payload.length : 0)
}
