import { DISCONNECT_REASONS } from './rooms/disconnect-reason.js'
import { GAP_REASONS } from './rooms/frame.js'

/** Why a message that a room heard reached no viewer. */
export const DROP_REASONS = [
  /** Could not be logged for longer than such messages can be kept; said to viewers as a gap. */
  'overflow',
  /** Came after the end of its room. */
  'room-ended'
] as const

/** One counter for each of a fixed list of names. */
export type CountersBy<Name extends string> = Record<Name, number>

export function countersBy<Name extends string> (names: readonly Name[]): CountersBy<Name> {
  // Every name is there, and nothing else.
  return Object.fromEntries(names.map((name) => [name, 0])) as CountersBy<Name>
}

/** Numbers in buckets of fixed bounds, for a histogram. Cheaper by far than one that also knows labels. */
export class Distribution {
  /** By bucket, the numbers that are at most its bound and more than the one before; the last bucket has the rest. */
  readonly counts: number[]
  sum = 0

  /** @param bounds in rising order */
  constructor (readonly bounds: readonly number[]) {
    this.counts = new Array<number>(bounds.length + 1).fill(0)
  }

  add (value: number) {
    let bucket = 0
    // Past the last bound it is compared with undefined, which ends the loop.
    while (value > (this.bounds[bucket] ?? Infinity)) bucket++
    // The bucket is one of those that the constructor has made.
    this.counts[bucket] = (this.counts[bucket] ?? 0) + 1
    this.sum += value
  }
}

/** What is written in one encoding: events as they are, and the bytes they became. */
export interface WrittenBytes {
  events: number
  written: number
}

/**
 * What the rooms of an instance have done since it started. Plain numbers that nothing here reads: whoever wants to see
 * them looks at them from time to time. Along the way of a message they are added to once a batch, not once a viewer.
 */
export class Counters {
  /** Messages heard of rooms that this instance has open; one that several instances hear counts at each. */
  messagesHeard = 0
  /** Messages that this instance, as the owner, has put into a room's log. */
  messagesLogged = 0
  /** Batches that rooms have said. */
  batches = 0
  /** Frames of batches that were written, each to one viewer; several batches may be one frame. */
  viewerWrites = 0
  /** Messages times the viewers they were written to, replays and catching up included. */
  deliveries = 0
  readonly bytes: { readonly plain: WrittenBytes, readonly gzip: WrittenBytes } = { plain: { events: 0, written: 0 }, gzip: { events: 0, written: 0 } }
  /** From when the oldest message of a flush was heard until it is written to all viewers that keep up, in ms. */
  readonly latencyMs = new Distribution([1, 2.5, 5, 10, 25, 50, 75, 100, 150, 250, 500, 1000, 2500, 5000, 10_000])
  /** Viewers that a write has left behind, times how often. */
  fellBehind = 0
  /** Streams that began with something their viewer had missed or asked for. */
  replays = 0
  readonly disconnects = countersBy(DISCONNECT_REASONS)
  readonly refusals = countersBy(DISCONNECT_REASONS)
  /** Gaps that were said to a whole room, and to a viewer of its own. */
  readonly gaps = { room: countersBy(GAP_REASONS), viewer: countersBy(GAP_REASONS) }
  readonly dropped = countersBy(DROP_REASONS)
  /** How often rooms were taken, and followed. */
  readonly became: CountersBy<'owner' | 'follower'> = { owner: 0, follower: 0 }
  /** Rooms that have told their viewers of their end. */
  roomsEnded = 0
}
