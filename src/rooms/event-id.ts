/**
 * The id of an event is `<term>-<n>`: n numbers the room's messages, and a term is a span of time in which
 * the room surely heard all of them. Ids of one term are comparable, ids of two terms are not.
 * Both parts are unsigned 64-bit decimals, the form of a Redis stream id.
 */
export interface EventId {
  readonly term: string
  readonly n: number
}

const EVENT_ID = /^(\d{1,20})-(\d{1,15})$/

/** @returns the id, or undefined when `text` is not one */
export function parseEventId (text: string): EventId | undefined {
  const match = EVENT_ID.exec(text)
  if (match?.[1] === undefined || match[2] === undefined) return undefined
  return { term: match[1], n: Number(match[2]) }
}

export function formatEventId ({ term, n }: EventId): string {
  return `${term}-${n}`
}

/**
 * A new term. Two instances that open the same room in the same millisecond must not take the same one, or each
 * would resume the other's viewers silently at a wrong place; hence six random digits after the milliseconds.
 *
 * @param epochMs wall-clock time in ms
 */
export function createTerm (epochMs: number): string {
  const random = Math.floor(Math.random() * 1_000_000)
  return `${Math.floor(epochMs)}${String(random).padStart(6, '0')}`
}
