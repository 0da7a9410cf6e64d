import type { Broker } from '../broker/broker.js'
import { compareEventIds, type EventId } from '../rooms/event-id.js'
import type { LogEntry } from './log-entry.js'
import type { LogView } from './log-view.js'

/** Reads a room's log, and notes what is heard of meanwhile. */
export class LogReader {
  #newest: EventId | undefined
  #endPayload: string | undefined

  constructor (private readonly roomId: string, private readonly view: LogView, private readonly broker: Broker) {}

  /** Payload of an end that was heard of while the log was being read. */
  get endPayload () { return this.#endPayload }

  /** Notes an entry that cannot be taken now: the log is read until it has come. */
  note (entry: LogEntry) {
    if (this.#newest === undefined || compareEventIds(entry.to, this.#newest) > 0) this.#newest = entry.to
    if (entry.kind === 'end') this.#endPayload = entry.data
  }

  /**
   * @param term of the owner: what is later was not written by an instance, or the room has another owner by now
   * @returns the entries that are not in the view yet
   */
  async read (term: number): Promise<LogEntry[]> {
    const entries = await this.broker.readLog(this.roomId, this.view.hasBegun ? this.view.place : undefined)
    return entries.filter(({ to }) => to.term <= term)
  }

  /**
   * Reads until nothing newer is heard of.
   *
   * @param tail the last entry, as far as it is known
   * @param term of the owner: where a log that is empty begins, and what is in it ends
   * @param isVoid whether that is not wanted any more
   * @returns false when it became void
   */
  async catchUp (tail: EventId | undefined, term: number, isVoid: () => boolean): Promise<boolean> {
    let place: EventId | undefined
    do {
      const before = place
      this.#newest = undefined
      const entries = await this.read(term)
      if (isVoid()) return false
      place = this.view.catchUp(entries, tail !== undefined && tail.term <= term ? tail : undefined, term)
      // What is newer and not in the log was never logged.
      if (place === before) break
    } while (this.#newest !== undefined && compareEventIds(this.#newest, place) > 0)
    return true
  }
}
