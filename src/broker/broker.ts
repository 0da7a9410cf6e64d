import type { EventId } from '../rooms/event-id.js'
import type { LogEntry } from '../sequencing/log-entry.js'
import type { ViewerBoard, ViewerCounts } from './viewer-board.js'

/** What a room hears from the broker, in the order in which Redis did things, while the subscription is not interrupted. */
export interface RoomListener {
  /** From now on everything is heard. Called after `subscribe`, and again after each interruption. */
  onSubscribed (): void
  /** The subscription is interrupted: things may be lost between what was heard before and what will be heard next. */
  onInterrupted (): void
  /** @param message one chat message, exactly as published */
  onMessage (message: string): void
  /** @param payload as published with the end of the room */
  onEnd (payload: string): void
  /** Something that the owner has logged. Only while the room is followed. */
  onLogged (entry: LogEntry): void
  onSignal (signal: Signal): void
  /** How many viewers each instance has, after each time that one has said so. */
  onViewers (counts: ViewerCounts): void
}

/** What instances that have a room open tell each other. */
export type Signal =
  /** An instance has taken the ownership. */
  | { readonly type: 'claimed', readonly instance: string, readonly term: number }
  /** An instance has given it up. */
  | { readonly type: 'released', readonly instance: string, readonly term: number }
  /** An instance follows from here on, and asks for the number of the message before. */
  | { readonly type: 'mark', readonly instance: string, readonly word: string }
  /** The answer. Only while the room is followed. */
  | { readonly type: 'marked', readonly word: string, readonly term: number, readonly n: number }

export interface Owner {
  readonly instance: string
  readonly term: number
}

/** A room is owned under this term: nobody else can append. */
export interface Claim {
  readonly type: 'claimed'
  readonly term: number
  /** The last entry; undefined for a room that is new. */
  readonly tail: EventId | undefined
  readonly endPayload: string | undefined
  /** Whether everything that was ever published is in the log, parked, or was heard. */
  readonly isComplete: boolean
}

/** What became of the wish to own a room. */
export type ClaimOutcome =
  | Claim
  /** Another one owns it, or this one already. */
  | { readonly type: 'owned', readonly owner: Owner, readonly endPayload: string | undefined }
  /** It was given up a moment ago, and others have heard more. */
  | { readonly type: 'wait' }
  /** The room has ended and its log is complete. */
  | { readonly type: 'ended', readonly tail: EventId | undefined, readonly endPayload: string }

/** What became of a message handed to `publish`. */
export type PublishOutcome = 'published' | 'parked' | 'room-ended' | 'parking-full'

/** What goes with an entry that is appended. */
export interface AppendOptions {
  /** Entries before this one may be forgotten. */
  readonly oldest: EventId
  /** The first so many parked messages are in the entry, and no longer parked. */
  readonly parked: number
}

/**
 * Brings chat messages from publishers to the rooms of the instances, and keeps what the instances share about a room: who
 * owns it, its log, its parked messages, its end. Room ids are lower-case UUIDs.
 *
 * Everything that returns a promise throws BrokerUnavailableError when it is not known whether it was done. What is
 * called in an order is done in that order.
 */
export interface Broker extends ViewerBoard {
  /** Whether subscriptions are answered at present. */
  readonly connected: boolean
  /** Messages that were heard and dropped, for they were larger than MAX_MESSAGE_BYTES. */
  readonly oversized: number
  /** This process among all that ever use the broker. */
  readonly instance: string

  /**
   * Starts to listen. Never fails: what cannot be had now is tried until `unsubscribe`.
   * A room has at most one listener.
   */
  subscribe (roomId: string, listener: RoomListener): void
  /** Stops to listen. Resolves when nothing will be heard any more; until then all is. Never fails. */
  unsubscribe (roomId: string): Promise<void>
  /** Starts to hear what the owner logs. Resolves when all that is logged from then on will be heard. */
  follow (roomId: string): Promise<void>
  /** Stops to hear it. */
  unfollow (roomId: string): void

  /**
   * Takes the ownership if the room has no owner, or the one named.
   *
   * @param replaced an owner that is dead, or this instance itself, which gets a new term
   * @param knownTerm the new term is above it
   * @param hasHeardAll whether this instance has heard all that is not logged yet
   * @param seen the last entry this instance has seen: the log goes on behind it, should it have been lost
   */
  claim (roomId: string, replaced: Owner | undefined, knownTerm: number, hasHeardAll: boolean, seen?: EventId): Promise<ClaimOutcome>
  /**
   * Gives up the ownership. An instance that does not have the room any more must not stay its owner: without
   * `onlyToHeir` it is tried until it is known to be done, also after this has failed.
   *
   * @param onlyToHeir only if somebody follows
   * @returns false when it was not given up for a follower
   */
  release (roomId: string, term: number, onlyToHeir: boolean): Promise<boolean>
  /** @returns false when it was refused, because the instance does not own the room under this term */
  append (roomId: string, term: number, entry: LogEntry, options: AppendOptions): Promise<boolean>
  /** Ends the room after `last`: leaves the tombstone and tells the followers. Tried until it is known to be done. */
  finish (roomId: string, term: number, last: EventId, payload: string): void
  /** @returns the entries after `after`, the oldest first; all that are kept if it is undefined */
  readLog (roomId: string, after: EventId | undefined): Promise<LogEntry[]>
  readParked (roomId: string): Promise<string[]>
  /**
   * Asks the owner, by a mark that everybody hears among the room's messages, for the number of the message before it.
   *
   * @returns the owner, and the room's last entry
   */
  mark (roomId: string, word: string): Promise<{ readonly owner: Owner | undefined, readonly tail: EventId | undefined }>
  /** @param n number of the last message before the mark */
  answerMark (roomId: string, term: number, word: string, n: number): void
  /**
   * Says that this instance lives for the next `leaseMs`; 0: that it leaves.
   *
   * @returns all instances that live
   */
  beat (leaseMs: number): Promise<string[]>

  publish (roomId: string, message: string): Promise<PublishOutcome>
  /** Ends the room: leaves the tombstone and tells every instance. Ending an ended room changes nothing. */
  end (roomId: string, payload: string): Promise<void>
  /** Lets go of everything it opened. */
  close (): void
}

/** The broker cannot be reached, or did not answer in time. */
export class BrokerUnavailableError extends Error {
  override readonly name = 'BrokerUnavailableError'
}
