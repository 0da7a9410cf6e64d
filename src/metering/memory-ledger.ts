import type { Log } from '../log.js'
import type { Backlog, BillingRecord, Ledger, OutstandingRecord } from './ledger.js'

/** Rooms with counts that are not billed; past it no further room is counted, said in the log. */
const MAX_UNBILLED_ROOMS = 100_000

interface Account {
  /** Messages counted since the record was cut. */
  count: number
  record?: BillingRecord | undefined
}

/** The ledger of the embedded broker: one instance, which always leads, and whose counts go with it. */
export class MemoryLedger implements Ledger {
  readonly #accounts = new Map<string, Account>()
  #volatileMessages = 0
  #isFull = false

  constructor (private readonly log: Log) {}

  /** Those of refused records among them: nobody can send them again. */
  get volatileMessages () { return this.#volatileMessages }

  /** Counts messages of a room that went out to its viewers. */
  count (roomId: string, messages: number) {
    this.#volatileMessages += messages
    const account = this.#accounts.get(roomId)
    if (account) {
      account.count += messages
    } else if (this.#accounts.size < MAX_UNBILLED_ROOMS) {
      this.#accounts.set(roomId, { count: messages })
    } else if (!this.#isFull) {
      // One line for an outage.
      this.#isFull = true
      this.log.error({ roomId, bound: 'MAX_UNBILLED_ROOMS' }, 'messages of further rooms are not billed')
    }
  }

  async lead () { return true }

  async resign () {}

  async * outstanding (isWaiting: (roomId: string) => boolean) {
    // A copy: a room that is counted again while others are billed has its turn next time.
    for (const [roomId, account] of [...this.#accounts]) {
      if (isWaiting(roomId)) continue
      if (account.record === undefined) {
        account.record = { key: crypto.randomUUID(), count: account.count }
        account.count = 0
      }
      yield { roomId, ...account.record }
    }
  }

  /** Refused records are not kept. */
  async backlog (): Promise<Backlog> {
    let messages = 0
    for (const { count, record } of this.#accounts.values()) messages += count + (record?.count ?? 0)
    return { messages, parkedRooms: 0 }
  }

  async settle (record: OutstandingRecord) {
    const isTaken = this.#take(record)
    if (isTaken) this.#volatileMessages -= record.count
    return isTaken
  }

  async park (record: OutstandingRecord) {
    return this.#take(record)
  }

  #take ({ roomId, key }: OutstandingRecord) {
    const account = this.#accounts.get(roomId)
    if (account?.record?.key !== key) return false
    account.record = undefined
    if (account.count === 0) this.#accounts.delete(roomId)
    if (this.#accounts.size === 0) this.#isFull = false
    return true
  }
}
