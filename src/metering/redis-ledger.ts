import type { Redis, Result } from 'ioredis'
import { LRUCache } from 'lru-cache'
import type { RedisNodes } from '../broker/redis-nodes.js'
import type { Log } from '../log.js'
import { luaScript } from '../lua.js'
import { UUID, type Backlog, type BillingRecord, type Ledger, type OutstandingRecord } from './ledger.js'

/** Rooms looked at by one round trip, about. */
const ROOMS_PER_PAGE = 500
/** Keys looked at by one round trip, about, when the index is lost. */
const KEYS_PER_PAGE = 1000
/** A room without counts that was not announced for so long leaves the index. While it is counted it is announced every minute. */
const IDLE_ROOM_MS = 120_000
/** Rooms of which it is remembered that their broken keys were said. */
const MAX_BROKEN_ROOMS = 1000

/** What says that a room's own keys are broken, not that Redis is in trouble. */
const BROKEN = /WRONGTYPE|BADCOUNT/

declare module 'ioredis' {
  interface RedisCommander<Context> {
    billLead (electionKey: string, instance: string, leaseMs: number): Result<number, Context>
    billResign (electionKey: string, instance: string): Result<number, Context>
    billCut (outboxKey: string, unbilledKey: string, newKey: string): Result<string | null, Context>
    /** The number of keys comes first. */
    billTake (keys: 1, outboxKey: string, recordKey: string): Result<number, Context>
    billTake (keys: 2, outboxKey: string, parkedKey: string, recordKey: string): Result<number, Context>
    /** The number of keys comes first: by turns the outboxes and the unbilled counts of rooms. */
    billBacklog (numberOfKeys: number, ...keys: string[]): Result<number, Context>
    billForget (indexKey: string, idleMs: number, ...roomIds: string[]): Result<number, Context>
    billResetIndex (indexKey: string, incomplete: string): Result<number, Context>
  }
}

/** Every room that may have counts, with the time of its last announcement in ms since 1970. */
export const INDEX_KEY = 'chat:billing:rooms'
/** Rooms with parked records. */
export const PARKED_ROOMS_KEY = 'chat:billing:parked'
const ELECTION_KEY = 'chat:billing:worker'
// In braces what Redis Cluster hashes: a room's count and records share a slot with its log.
export const unbilledKey = (roomId: string) => `chat:{${roomId}}:unbilled`
export const outboxKey = (roomId: string) => `chat:{${roomId}}:outbox`
export const parkedKey = (roomId: string) => `chat:{${roomId}}:parked`

/** Stands in an index that is made anew until that is done. Who finds it there does it, for somebody was interrupted. */
const INCOMPLETE = 'incomplete'
/** Of rooms with something to bill, and of all in which something may be counted at any moment. */
const BILLABLE_KEY = /^chat:\{([0-9a-f-]{36})\}:(?:unbilled|outbox|owner)$/

/** @returns undefined for what is no record */
export function parseRecord (json: string): BillingRecord | undefined {
  try {
    const { key, count } = JSON.parse(json)
    if (UUID.test(key) && Number.isSafeInteger(count) && count > 0) return { key, count }
  } catch {
    // Said by who asked.
  }
  return undefined
}

/**
 * The ledger in Redis, common to all instances. Rooms are counted by who appends to their logs, in the same script.
 *
 * Invariant: a room with a count or a record is in the index, or the index says that it is incomplete. Who counts announces it
 * before; it leaves when both are gone, by a script that spares a room that was announced meanwhile.
 */
export class RedisLedger implements Ledger {
  readonly volatileMessages = 0
  readonly #instance = crypto.randomUUID()
  readonly #broken = new LRUCache<string, true>({ max: MAX_BROKEN_ROOMS })

  /** @param nodes belong to the caller */
  constructor (private readonly nodes: RedisNodes, private readonly log: Log) {
    nodes.onNode(({ commands }) => {
      commands.defineCommand('billLead', { lua: luaScript('bill-lead'), numberOfKeys: 1 })
      commands.defineCommand('billResign', { lua: luaScript('bill-resign'), numberOfKeys: 1 })
      commands.defineCommand('billCut', { lua: luaScript('bill-cut'), numberOfKeys: 2 })
      commands.defineCommand('billTake', { lua: luaScript('bill-take') })
      commands.defineCommand('billBacklog', { lua: luaScript('bill-backlog') })
      commands.defineCommand('billForget', { lua: luaScript('bill-forget'), numberOfKeys: 1 })
      commands.defineCommand('billResetIndex', { lua: luaScript('bill-reset-index'), numberOfKeys: 1 })
    })
  }

  async lead (leaseMs: number) {
    return await this.#at(ELECTION_KEY).billLead(ELECTION_KEY, this.#instance, leaseMs) === 1
  }

  async resign () {
    await this.#at(ELECTION_KEY).billResign(ELECTION_KEY, this.#instance)
  }

  async * outstanding (isWaiting: (roomId: string) => boolean) {
    for await (const page of this.#pages()) yield * await this.#cut(page, isWaiting)
  }

  async backlog (): Promise<Backlog> {
    let messages = 0
    for await (const roomIds of this.#pages()) messages += await this.#backlogOf(roomIds)
    return { messages, parkedRooms: await this.#at(PARKED_ROOMS_KEY).scard(PARKED_ROOMS_KEY) }
  }

  async settle ({ roomId, key }: OutstandingRecord) {
    return await this.#at(roomId).billTake(1, outboxKey(roomId), key) === 1
  }

  async park ({ roomId, key }: OutstandingRecord) {
    // Listed before it is parked: no parked record is without a mention.
    await this.#at(PARKED_ROOMS_KEY).sadd(PARKED_ROOMS_KEY, roomId)
    return await this.#at(roomId).billTake(2, outboxKey(roomId), parkedKey(roomId), key) === 1
  }

  #at (key: string): Redis {
    return this.nodes.nodeOf(key).commands
  }

  async #backlogOf (roomIds: readonly string[]): Promise<number> {
    const keys = roomIds.map((roomId) => [outboxKey(roomId), unbilledKey(roomId)])
    // In a cluster a script takes keys of one slot only.
    const lists = this.nodes.isCluster ? keys : keys.length > 0 ? [keys.flat()] : []
    const counts = await Promise.all(lists.map((list) => this.#at(list[0] ?? '').billBacklog(list.length, ...list)))
    return counts.reduce((sum, count) => sum + count, 0)
  }

  /** The rooms of the index, some at a time. What is no room leaves it: nothing can be counted there. */
  async * #pages (): AsyncGenerator<string[], void, void> {
    let cursor = '0'
    do {
      const [next, page] = await this.#scan(cursor)
      cursor = next
      // Members and scores by turns.
      const members = page.filter((_, index) => index % 2 === 0)
      if (members.includes(INCOMPLETE)) await this.#completeIndex()
      const strangers = members.filter((member) => !UUID.test(member) && member !== INCOMPLETE)
      if (strangers.length > 0) {
        await this.#at(INDEX_KEY).zrem(INDEX_KEY, ...strangers)
        this.log.error({ key: INDEX_KEY, members: strangers.length }, 'the index of the billing held what is no room, it is taken out')
      }
      yield members.filter((member) => UUID.test(member))
    } while (cursor !== '0')
  }

  async #scan (cursor: string) {
    const scan = async () => await this.#at(INDEX_KEY).zscan(INDEX_KEY, cursor, 'COUNT', ROOMS_PER_PAGE)
    try {
      return await scan()
    } catch (error) {
      if (!(error instanceof Error && error.message.startsWith('WRONGTYPE'))) throw error
      const isReset = await this.#at(INDEX_KEY).billResetIndex(INDEX_KEY, INCOMPLETE)
      if (isReset === 1) this.log.error({ key: INDEX_KEY }, 'a key in redis was of another type, it is made anew')
      await this.#completeIndex()
      return await scan()
    }
  }

  /**
   * Looks through all keys for rooms to bill. Each that has, or had, an owner is one of them, whatever was counted: it may have been
   * announced just before the index was lost, and not be again for a minute.
   */
  async #completeIndex () {
    const [seconds, microseconds] = await this.#at(INDEX_KEY).time()
    const nowMs = Number(seconds) * 1000 + Math.floor(Number(microseconds) / 1000)
    for (const { commands } of this.nodes.all) {
      let cursor = '0'
      do {
        const [next, page] = await commands.scan(cursor, 'MATCH', 'chat:{*}:*', 'COUNT', KEYS_PER_PAGE)
        cursor = next
        const roomIds = page.flatMap((key) => BILLABLE_KEY.exec(key)?.[1] ?? [])
        if (roomIds.length > 0) await this.#at(INDEX_KEY).zadd(INDEX_KEY, 'NX', ...roomIds.flatMap((roomId) => [nowMs, roomId]))
      } while (cursor !== '0')
    }
    await this.#at(INDEX_KEY).zrem(INDEX_KEY, INCOMPLETE)
  }

  async #cut (roomIds: readonly string[], isWaiting: (roomId: string) => boolean) {
    const records: OutstandingRecord[] = []
    const idle: string[] = []
    await Promise.all(roomIds.map(async (roomId) => {
      if (isWaiting(roomId)) return
      const json = await this.#next(roomId)
      if (json === null) idle.push(roomId)
      if (!json) return
      const record = parseRecord(json)
      if (record) records.push({ roomId, ...record })
      else this.#onBroken(roomId, 'the outbox holds what is no record')
    }))
    if (idle.length > 0) await this.#at(INDEX_KEY).billForget(INDEX_KEY, IDLE_ROOM_MS, ...idle)
    return records
  }

  /** @returns undefined for a room that cannot be billed because its keys are broken */
  async #next (roomId: string) {
    try {
      return await this.#at(roomId).billCut(outboxKey(roomId), unbilledKey(roomId), crypto.randomUUID())
    } catch (error) {
      if (!(error instanceof Error && BROKEN.test(error.message))) throw error
      return this.#onBroken(roomId, error.message)
    }
  }

  /** Left as it is: only an operator can know what it was. */
  #onBroken (roomId: string, reason: string): undefined {
    if (this.#broken.has(roomId)) return
    this.#broken.set(roomId, true)
    this.log.error({ roomId, reason }, 'a room cannot be billed, its keys in redis are broken')
  }
}
