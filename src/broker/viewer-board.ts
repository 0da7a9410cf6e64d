import type { EventId } from '../rooms/event-id.js'

/** By instance, how many viewers of a room it has, by its last word; who has none is left out. */
export type ViewerCounts = ReadonlyMap<string, number>

/** What an instance says of one room. */
export interface ViewerReport {
  readonly roomId: string
  /** How many viewers it has. */
  readonly viewers: number
  /** Instances that are dead: what they have said is struck. */
  readonly dead: readonly string[]
}

/** What is known of a room, whether anybody has it open or not. */
export interface RoomState {
  /** On all instances that live. */
  readonly viewers: number
  /** The last event that is logged. */
  readonly tail: EventId | undefined
  /** Who numbers the messages, if it lives. */
  readonly owner: string | undefined
  readonly hasEnded: boolean
}

/** Where instances say how many viewers their rooms have. They say how many there are, never how many more, so nothing adds up to a drift. */
export interface ViewerBoard {
  /**
   * Says it to all that listen to the rooms, and so also to the own listeners: what each is told of a room is always all
   * that is on the board, in the order in which it got there.
   *
   * @param reports of different rooms
   * @throws BrokerUnavailableError when it is not known of all of them whether they got there
   */
  post (reports: readonly ViewerReport[]): Promise<void>
  /** @throws BrokerUnavailableError */
  look (roomId: string): Promise<RoomState>
}
