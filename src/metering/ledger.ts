/** What a room's id and a record's key look like. */
export const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

/** A part of a room's count on its way to the tenant API: sent as often as it takes, each time with the same key. */
export interface BillingRecord {
  /** A UUID by which the tenant API knows a record that it has billed before. */
  readonly key: string
  readonly count: number
}

/** A record that is to be billed now. */
export interface OutstandingRecord extends BillingRecord {
  readonly roomId: string
}

/** What a ledger holds. */
export interface Backlog {
  /** Messages that are counted, or in a record that was not refused. */
  readonly messages: number
  /** Rooms with records that were refused. */
  readonly parkedRooms: number
}

/**
 * Where the counts of messages are kept until they are billed. Room ids are lower-case UUIDs.
 *
 * Each method fails while what keeps the counts cannot be reached; whatever it has done by then, it can be called again.
 */
export interface Ledger {
  /** Messages that are not billed and would be lost with this process; 0 where they are kept outside of it. */
  readonly volatileMessages: number
  /** Makes this instance the only one that bills, or lets it stay so, for `leaseMs` from now. Returns whether it is. */
  lead (leaseMs: number): Promise<boolean>
  /** Lets another instance lead at once. */
  resign (): Promise<void>
  /**
   * All that is to be billed, at most one record of a room; the same record again until it is settled or parked.
   *
   * @param isWaiting rooms to leave out
   */
  outstanding (isWaiting: (roomId: string) => boolean): AsyncGenerator<OutstandingRecord, void, void>
  /** Forgets a record that was billed. Returns false if it was gone already. */
  settle (record: OutstandingRecord): Promise<boolean>
  /** What is not billed yet, on all instances together; it costs about as much as looking for what is outstanding. */
  backlog (): Promise<Backlog>
  /** Sets a record that was refused aside. Returns false if it was gone already. */
  park (record: OutstandingRecord): Promise<boolean>
}
