import type { Redis } from 'ioredis'
import { unbilledKey } from '../metering/redis-ledger.js'
import { formatEventId, parseEventId, type EventId } from '../rooms/event-id.js'
import { parseLogEntry, type LogEntry } from '../sequencing/log-entry.js'
import { Announcements } from './announcements.js'
import { BrokerUnavailableError, type AppendOptions, type Broker, type ClaimOutcome, type Owner, type PublishOutcome, type RoomListener } from './broker.js'
import { ClusterSubscriptions } from './cluster-subscriptions.js'
import type { RedisNodes } from './redis-nodes.js'
import { RedisSubscriptions, type SubscriptionOptions } from './redis-subscriptions.js'
import { lookAtRoom, postViewers } from './redis-viewer-board.js'
import type { RoomState, ViewerReport } from './viewer-board.js'
import { Retrier } from './retrier.js'
import * as keys from './redis-keys.js'
import { addScripts } from './redis-scripts.js'

/** Who owned a room is remembered for so long after its last message. */
const OWNER_TTL_MS = 86_400_000
/** More messages than publish.lua parks were not parked by it. */
const MAX_PARKED = 1000
/** Refusals come for every room at once: they are said only so often. */
const REFUSAL_LOG_INTERVAL_MS = 10_000

export interface RedisBrokerOptions extends Omit<SubscriptionOptions, 'subscriber' | 'isSharded'> {
  readonly nodes: RedisNodes
  readonly endedTtlMs: number
  /** How long a log is kept after its last entry. */
  readonly logTtlMs: number
  /** Whether messages are counted when they are logged. */
  readonly isMetered: boolean
}

/** The broker over Redis: pub/sub, streams and scripts. The connections belong to the caller, who closes them. */
export class RedisBroker implements Broker {
  readonly instance = crypto.randomUUID()
  readonly #options: RedisBrokerOptions
  readonly #subscriptions: RedisSubscriptions | ClusterSubscriptions
  /** What must be written, but nobody waits for. */
  readonly #retrier: Retrier
  readonly #announcements: Announcements
  #refusalLoggedAtMs = -Infinity
  #oversizedParked = 0

  constructor (options: RedisBrokerOptions) {
    this.#options = options
    const { nodes, clock, log } = options
    nodes.onNode(({ commands }) => addScripts(commands, nodes.isCluster))
    this.#announcements = new Announcements(nodes, clock)
    this.#subscriptions = nodes.isCluster ? new ClusterSubscriptions(nodes, options) : new RedisSubscriptions({ ...options, subscriber: nodes.nodeOf('').subscriber })
    this.#retrier = new Retrier(clock, log)
  }

  get oversized () { return this.#subscriptions.oversized + this.#oversizedParked }

  get connected () { return this.#subscriptions.connected && this.#at(keys.INSTANCES_KEY).status === 'ready' }

  subscribe (roomId: string, listener: RoomListener) {
    this.#subscriptions.add(roomId, listener)
  }

  async unsubscribe (roomId: string) {
    await this.#subscriptions.remove(roomId)
  }

  async follow (roomId: string) {
    await this.#answered(this.#subscriptions.follow(roomId))
  }

  unfollow (roomId: string) {
    this.#subscriptions.unfollow(roomId)
  }

  async claim (roomId: string, replaced: Owner | undefined, knownTerm: number, hasHeardAll: boolean, seen?: EventId): Promise<ClaimOutcome> {
    // Redis may have lost what it was told.
    this.#announcements.forget(roomId)
    const [type, instance, term, tailId, hasEnded, payload] = await this.#answered(this.#at(roomId).claim(
      keys.ownerKey(roomId), keys.logKey(roomId), keys.endedKey(roomId),
      this.instance, replaced ? `${replaced.instance}:${replaced.term}` : '', knownTerm, hasHeardAll ? '1' : '0',
      keys.signalsChannel(roomId), OWNER_TTL_MS, seen ? formatEventId(seen) : ''
    ), roomId)
    const tail = parseEventId(tailId)
    const endPayload = hasEnded === 1 ? payload : undefined
    // What was said with plain PUBLISH while nobody listened left no trace.
    if (type === 'claimed') return { type, term, tail, endPayload, isComplete: false }
    if (type === 'owned') return { type, owner: { instance, term }, endPayload }
    return type === 'ended' ? { type, tail, endPayload: payload } : { type: 'wait' }
  }

  async release (roomId: string, term: number, onlyToHeir: boolean): Promise<boolean> {
    const release = () => this.#at(roomId).release(
      keys.ownerKey(roomId), this.instance, term, onlyToHeir ? '1' : '0', keys.batchesChannel(roomId), keys.signalsChannel(roomId)
    )
    try {
      return await this.#answered(this.#announcements.after(roomId, release), roomId) === 1
    } catch (error) {
      if (!onlyToHeir) this.#retrier.do(release)
      throw error
    } finally {
      this.#announcements.forget(roomId)
    }
  }

  async append (roomId: string, term: number, { kind, from, to, data }: LogEntry, { oldest, parked }: AppendOptions): Promise<boolean> {
    const { isMetered, log, logTtlMs } = this.#options
    if (isMetered && to.n > from.n) this.#announcements.announce(roomId)
    const result = await this.#answered(this.#announcements.after(roomId, (isAnnounced) => {
      if (!isAnnounced) throw new Error('the billing cannot be told')
      const commands = this.#at(roomId)
      gatherWrites(commands)
      return commands.append(
        keys.ownerKey(roomId), keys.logKey(roomId), keys.pendingKey(roomId), unbilledKey(roomId),
        this.instance, term, kind, formatEventId(from), formatEventId(to), data, formatEventId(oldest),
        isMetered ? to.n - from.n : 0, parked, logTtlMs, OWNER_TTL_MS, keys.batchesChannel(roomId)
      )
    }), roomId)
    if (result === 2) log.error({ roomId, key: `${unbilledKey(roomId)}:broken` }, 'what was not billed of a room was no count, it is set aside')
    return result > 0
  }

  finish (roomId: string, term: number, last: EventId, payload: string) {
    const { endedTtlMs, logTtlMs } = this.#options
    this.#announcements.forget(roomId)
    this.#retrier.do(() => this.#announcements.after(roomId, () => this.#at(roomId).finish(
      keys.ownerKey(roomId), keys.logKey(roomId), keys.endedKey(roomId),
      this.instance, term, formatEventId(last), payload, endedTtlMs, logTtlMs, keys.batchesChannel(roomId)
    )))
  }

  async readLog (roomId: string, after: EventId | undefined): Promise<LogEntry[]> {
    const start = after ? `(${formatEventId(after)}` : '-'
    const rows = await this.#answered(this.#at(roomId).xrange(keys.logKey(roomId), start, '+'), roomId)
    // What is no entry is left out: its place shows as a gap.
    return rows.flatMap(([id, fields]) => {
      const { kind, from, data } = Object.fromEntries(pairsOf(fields))
      return parseLogEntry(`${kind} ${from} ${id} ${data}`) ?? []
    })
  }

  async readParked (roomId: string): Promise<string[]> {
    const { maxMessageBytes, log } = this.#options
    const commands = this.#at(roomId)
    const parked = await this.#answered(commands.lrange(keys.pendingKey(roomId), 0, MAX_PARKED), roomId)
    if (parked.length > MAX_PARKED) {
      parked.length = MAX_PARKED
      log.warn({ roomId, bound: 'MAX_PARKED', maximum: MAX_PARKED }, 'more messages are parked than may be, the later ones are dropped')
      await this.#answered(commands.ltrim(keys.pendingKey(roomId), 0, MAX_PARKED - 1), roomId)
    }
    const tooLarge = parked.filter((message) => Buffer.byteLength(message) > maxMessageBytes)
    if (tooLarge.length === 0) return parked
    this.#oversizedParked += tooLarge.length
    log.warn({ roomId, dropped: tooLarge.length, bound: 'MAX_MESSAGE_BYTES', maxMessageBytes }, 'parked messages are too large, dropped')
    await this.#answered(Promise.all(tooLarge.map((message) => commands.lrem(keys.pendingKey(roomId), 0, message))))
    return parked.filter((message) => !tooLarge.includes(message))
  }

  async mark (roomId: string, word: string) {
    const [instance, term, tail] = await this.#answered(this.#at(roomId).mark(keys.ownerKey(roomId), this.instance, word, keys.signalsChannel(roomId)), roomId)
    return { owner: instance === '' ? undefined : { instance, term }, tail: parseEventId(tail) }
  }

  answerMark (roomId: string, term: number, word: string, n: number) {
    // Who gets no answer asks again.
    this.#announcements.after(roomId, () => this.#at(roomId).answerMark(keys.ownerKey(roomId), this.instance, term, word, n, keys.batchesChannel(roomId), OWNER_TTL_MS)).catch(() => {})
  }

  async beat (leaseMs: number): Promise<string[]> {
    const [mended, ...living] = await this.#answered(this.#at(keys.INSTANCES_KEY).beat(keys.INSTANCES_KEY, this.instance, leaseMs))
    if (mended === 'mended') this.#options.log.error({ key: keys.INSTANCES_KEY }, 'a key in redis was of another type, it is made anew')
    return living
  }

  async post (reports: readonly ViewerReport[]) {
    const mended = await this.#answered(postViewers(this.#options.nodes, this.instance, reports))
    for (const roomId of mended) this.#options.log.error({ roomId, key: keys.viewersKey(roomId) }, 'a key in redis was of another type, it is made anew')
  }

  async look (roomId: string): Promise<RoomState> {
    return await this.#answered(lookAtRoom(this.#options.nodes, roomId), roomId)
  }

  async publish (roomId: string, message: string): Promise<PublishOutcome> {
    const receivers = await this.#answered(this.#at(roomId).publishOrPark(keys.pendingKey(roomId), keys.endedKey(roomId), keys.messageChannel(roomId), message), roomId)
    if (receivers > 0) return 'published'
    return receivers === 0 ? 'parked' : receivers === -1 ? 'room-ended' : 'parking-full'
  }

  async end (roomId: string, payload: string) {
    await this.#answered(this.#at(roomId).endRoom(keys.endedKey(roomId), payload, this.#options.endedTtlMs, keys.endChannel(roomId)), roomId)
  }

  close () {
    this.#subscriptions.close()
    this.#retrier.close()
    this.#announcements.clear()
  }

  /**
   * @param roomId where the reply concerns one
   * @throws BrokerUnavailableError
   */
  async #answered<T> (reply: Promise<T>, roomId?: string): Promise<T> {
    try {
      return await reply
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error)
      if (error instanceof Error && error.name === 'ReplyError') this.#logRefusal(reason, roomId)
      // The cause is left out on purpose: ioredis keeps the arguments of the command in it.
      throw new BrokerUnavailableError(reason)
    }
  }

  #logRefusal (reason: string, roomId: string | undefined) {
    const { clock, log } = this.#options
    const nowMs = clock.now()
    if (nowMs - this.#refusalLoggedAtMs < REFUSAL_LOG_INTERVAL_MS) return
    this.#refusalLoggedAtMs = nowMs
    log.error({ reason, ...(roomId !== undefined && { roomId }) }, 'redis refuses a command, retrying')
  }

  #at (key: string): Redis {
    return this.#options.nodes.nodeOf(key).commands
  }
}

/** What many rooms log in one go leaves with one system call, which costs more than all else of an append. */
function gatherWrites ({ stream }: Redis) {
  if (stream === undefined || stream.writableCorked > 0) return
  stream.cork()
  process.nextTick(() => stream.uncork())
}

function * pairsOf (fields: readonly string[]): Generator<[string, string]> {
  for (let index = 0; index + 1 < fields.length; index += 2) yield [fields[index] ?? '', fields[index + 1] ?? '']
}
