import type { Broker } from '../broker/broker.js'
import type { Counters } from '../counters.js'
import type { LogEntry } from './log-entry.js'
import type { LogView } from './log-view.js'

/**
 * Says and logs the entries of a room that this instance owns, under one term.
 *
 * Invariant: what was said and is not known to be logged is in `#unacknowledged`, in its order. Answers come in the order
 * of the appends, so the first of them is always the next to be answered.
 */
export class LogWriter {
  #unacknowledged: LogEntry[] = []

  /**
   * @param onFailed called when an entry was refused, or when it is not known whether it was logged: nothing must be
   *   written until it is known who owns the room
   * @param onAllLogged called when nothing is on its way any more
   */
  constructor (
    private readonly roomId: string,
    private readonly term: number,
    private readonly view: LogView,
    private readonly broker: Broker,
    private readonly onFailed: (isRefused: boolean) => void,
    private readonly onAllLogged: () => void,
    private readonly counters: Counters
  ) {}

  /** Whether everything that was written is logged. */
  get isDone () { return this.#unacknowledged.length === 0 }

  /** Says an entry at once; it is logged meanwhile. */
  write (entry: LogEntry) {
    this.#unacknowledged.push(entry)
    this.view.say(entry)
    this.#append(entry, 0).then((isLogged) => this.#onAnswered(entry, isLogged), () => this.#onAnswered(entry, undefined))
  }

  /**
   * Logs an entry, and says it only when that is done.
   *
   * @param parked so many of the parked messages are in it
   * @param isVoid whether that is not wanted any more
   * @returns false when it was refused or became void
   * @throws BrokerUnavailableError
   */
  async logAndSay (entry: LogEntry, parked: number, isVoid: () => boolean): Promise<boolean> {
    const isLogged = await this.#append(entry, parked)
    if (isVoid()) return false
    if (isLogged) this.view.say(entry)
    else this.onFailed(true)
    return isLogged
  }

  /** Forgets and returns what may not be logged. Its answers count no more: it is found in the log, or logged again. */
  abandon (): LogEntry[] {
    const abandoned = this.#unacknowledged
    this.#unacknowledged = []
    return abandoned
  }

  async #append (entry: LogEntry, parked: number): Promise<boolean> {
    const isLogged = await this.broker.append(this.roomId, this.term, entry, { oldest: this.view.oldest, parked })
    if (isLogged) this.counters.messagesLogged += entry.to.n - entry.from.n
    return isLogged
  }

  /** @param isLogged undefined when that is not known */
  #onAnswered (entry: LogEntry, isLogged: boolean | undefined) {
    if (this.#unacknowledged[0] !== entry) return
    if (!isLogged) return this.onFailed(isLogged === false)
    this.#unacknowledged.shift()
    if (this.#unacknowledged.length === 0) this.onAllLogged()
  }
}
