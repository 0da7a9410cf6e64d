import { eachMark, MARK_LENGTH } from '../message.js'
import type { Protocol } from '../contenders.js'

const EVENT_END = '\n\n'
const ID_FIELD = 'id:'
/** In the server's event `gap`. */
const GAP = /\bevent:gap\ndata:.*"missed":(\d+)/g

/** Follows one stream in full: what is missing in it, what came twice, how late it was, and where it would resume. */
export class Sequence {
  /** Messages that were taken in. */
  messages = 0
  /** Messages that were left out before a later one. */
  lost = 0
  /** Messages that a gap event said were missed. */
  told = 0
  doubled = 0
  /** The number that comes next when nothing is lost. */
  next = 0
  lastEventId = ''
  #rest = ''

  constructor (private readonly protocol: Protocol, private readonly onMessage?: (publishedUs: number) => void) {}

  accept (bytes: Buffer) {
    const text = this.#rest + bytes.toString('latin1')
    // Of an event that is cut off, EventSource dispatches nothing.
    const end = this.protocol === 'sse' ? text.lastIndexOf(EVENT_END) + 1 : text.length
    const whole = text.slice(0, end)
    const lastMarkEnd = eachMark(whole, (n, publishedUs) => {
      this.messages++
      if (n > this.next) this.lost += n - this.next
      if (n < this.next) this.doubled++
      this.next = Math.max(this.next, n + 1)
      this.onMessage?.(publishedUs)
    })
    if (whole.includes('event:gap')) for (const [, missed] of whole.matchAll(GAP)) this.told += Number(missed)
    if (this.protocol === 'sse') this.#rest = text.slice(end)
    else this.#rest = text.slice(Math.max(lastMarkEnd, text.length - MARK_LENGTH))
    const idAt = whole.lastIndexOf(ID_FIELD)
    if (this.protocol === 'sse' && idAt >= 0) this.lastEventId = whole.slice(idAt + ID_FIELD.length, whole.indexOf('\n', idAt)).trim()
  }

  /** The connection is gone, and with it what was not complete. */
  cut () {
    this.#rest = ''
  }
}

/** @returns how many events, or WebSocket frames, with messages in them a stream is made of */
export function countWrites (stream: Buffer, protocol: Protocol): number {
  const text = stream.toString('latin1')
  if (protocol === 'sse') return text.split('\ndata:').length - 1 + (text.startsWith('data:') ? 1 : 0)
  let frames = 0
  eachMark(text, () => { frames++ })
  return frames
}
