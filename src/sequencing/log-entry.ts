import { formatEventId, parseEventId, type EventId } from '../rooms/event-id.js'

/**
 * One thing that was said in a room, as it stands in the room's log and goes to the other instances. It is the SSE
 * event: every instance makes the same bytes of it.
 *
 * - `batch`: messages; `to.n - from.n` is their number, `data` the JSON array of them.
 * - `gap`: messages may be lost between `from` and `to`; `data` is the JSON of the event. It begins a new term, and numbers nothing.
 * - `end`: the room is over; `data` is what was published with its end, `to` is `from`. Not in the log but beside it,
 *   as the tombstone.
 *
 * Invariant: an entry's `from` is the `to` of the entry before it. Nothing is lost between two such entries, unless
 * the later one is a gap.
 */
export interface LogEntry {
  readonly kind: 'batch' | 'gap' | 'end'
  readonly from: EventId
  readonly to: EventId
  readonly data: string
}

const ENTRY = /^(batch|gap|end) (\d{1,15}-\d{1,15}) (\d{1,15}-\d{1,15}) /

/** The text in which an entry goes to the other instances: `<kind> <from> <to> <data>`. */
export function formatLogEntry ({ kind, from, to, data }: LogEntry): string {
  return `${kind} ${formatEventId(from)} ${formatEventId(to)} ${data}`
}

/** @returns the entry, or undefined when `text` is not one, or contradicts itself: anybody may write to Redis */
export function parseLogEntry (text: string): LogEntry | undefined {
  const match = ENTRY.exec(text)
  const from = parseEventId(match?.[2] ?? '')
  const to = parseEventId(match?.[3] ?? '')
  if (match === null || from === undefined || to === undefined) return undefined
  // The pattern allows no other kind.
  const entry = { kind: match[1] as LogEntry['kind'], from, to, data: text.slice(match[0].length) }
  return isSound(entry) ? entry : undefined
}

/** The messages of a batch. */
export function messagesOfEntry ({ data }: LogEntry): string[] {
  return JSON.parse(data)
}

function isSound ({ kind, from, to, data }: LogEntry): boolean {
  if (kind === 'end') return from.term === to.term && from.n === to.n
  if (/[\r\n]/.test(data)) return false
  try {
    const value: unknown = JSON.parse(data)
    if (kind === 'gap') return typeof value === 'object' && value !== null && !Array.isArray(value) && to.term > from.term && to.n === from.n
    return Array.isArray(value) && value.length > 0 && value.length === to.n - from.n && to.term >= from.term &&
      value.every((message) => typeof message === 'string')
  } catch {
    return false
  }
}
