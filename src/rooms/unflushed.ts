import { messagesIn, type Entry, type Position } from './history.js'

/** Entries as the bytes of one frame. */
export interface Gathered {
  readonly frame: Buffer
  readonly messages: number
  /** When the oldest message in it was heard, as far as that is known. */
  readonly heardAtMs: number | undefined
}

/** Entries of the history, the last of it, that wait to be written together. */
export class Unflushed {
  #entries: Entry[] = []
  #bytes = 0
  #messages = 0
  #heardAtMs: number | undefined

  get isEmpty () { return this.#entries.length === 0 }

  get bytes () { return this.#bytes }

  /** The place before them; undefined when there are none. */
  get from (): Position | undefined { return this.#entries[0]?.from }

  /** @param heardAtMs when the entry's oldest message was heard; undefined when that is not known, or it has none */
  add (entry: Entry, heardAtMs: number | undefined) {
    this.#heardAtMs ??= heardAtMs
    this.#messages += messagesIn(entry)
    this.#entries.push(entry)
    this.#bytes += entry.frame.length
  }

  /** Takes all of them. @returns undefined when there are none */
  take (): Gathered | undefined {
    const [first, second] = this.#entries
    if (first === undefined) return undefined
    const frame = second === undefined ? first.frame : Buffer.concat(this.#entries.map((entry) => entry.frame))
    const gathered = { frame, messages: this.#messages, heardAtMs: this.#heardAtMs }
    this.#entries = []
    this.#bytes = 0
    this.#messages = 0
    this.#heardAtMs = undefined
    return gathered
  }
}
