/**
 * The id of an event is `<term>-<n>`: n numbers the room's messages, and a term is a span of time in which one
 * instance numbered them. Ids are ordered by term, then by n. A new term goes on with the numbers of the one before it,
 * unless a gap stands between the two. Both parts are decimals: the form of a Redis stream id.
 */
export interface EventId {
  /** Milliseconds since 1970, or a little later than that. */
  readonly term: number
  readonly n: number
}

/** Both numbers stay exact in a double. */
const EVENT_ID = /^(\d{1,15})-(\d{1,15})$/

/** @returns the id, or undefined when `text` is not one */
export function parseEventId (text: string): EventId | undefined {
  const match = EVENT_ID.exec(text)
  return match === null ? undefined : { term: Number(match[1]), n: Number(match[2]) }
}

export function formatEventId ({ term, n }: EventId): string {
  return `${term}-${n}`
}

/** @returns less than, equal to or greater than 0, as `a` stands before, at or after `b` */
export function compareEventIds (a: EventId, b: EventId): number {
  return a.term - b.term || a.n - b.n
}
