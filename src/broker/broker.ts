/** What a room wants to hear from the broker. Called in the order in which Redis sent things. */
export interface RoomListener {
  /**
   * From now on everything is heard, and the room had not ended before. Called after `subscribe`, and again when the
   * subscription is restored after an interruption. Messages may have been heard before it is called.
   */
  onOpen (): void
  /** The subscription is interrupted: messages may be lost between what was heard before and what will be heard next. */
  onInterrupted (): void
  /** @param message one chat message, exactly as published */
  onMessage (message: string): void
  /**
   * The room has ended: now, or before it was subscribed to.
   *
   * @param payload as published with the end
   */
  onEnd (payload: string): void
}

/** What became of a message handed to `publish`. */
export type PublishOutcome = 'published' | 'room-ended'

/**
 * Brings chat messages from publishers to the rooms of this instance. Room ids are lower-case UUIDs.
 *
 * The end of a room is remembered (its tombstone) by every broker that hears it, for ENDED_TTL_MS, so that
 * every instance knows of it afterwards.
 */
export interface Broker {
  /** Whether subscriptions are answered at present. */
  readonly connected: boolean
  /**
   * Starts to listen. Never fails: what cannot be had now is tried until `unsubscribe`.
   * A room has at most one listener; a second call for the same room replaces the first.
   */
  subscribe (roomId: string, listener: RoomListener): void
  /** Stops to listen; nothing is called on the listener any more. Harmless for a room that is not subscribed. */
  unsubscribe (roomId: string): void
  /** @throws BrokerUnavailableError when it is not known whether the message was published */
  publish (roomId: string, message: string): Promise<PublishOutcome>
  /**
   * Ends the room: leaves the tombstone and tells every instance. Ending an ended room changes nothing.
   *
   * @throws BrokerUnavailableError when it is not known whether the room was ended
   */
  end (roomId: string, payload: string): Promise<void>
  /** Lets go of everything it opened. */
  close (): void
}

/** The broker cannot be reached, or did not answer in time. */
export class BrokerUnavailableError extends Error {
  override readonly name = 'BrokerUnavailableError'
}
