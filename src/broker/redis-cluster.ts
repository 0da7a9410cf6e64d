import slotOf from 'cluster-key-slot'
import type { Redis } from 'ioredis'
import type { Clock } from '../clock.js'
import type { Log } from '../log.js'
import { connectRedis } from './redis-connection.js'
import type { RedisNode, RedisNodes } from './redis-nodes.js'
import type { Address, ClusterNodes, RedisLogin } from './redis-settings.js'

const SLOTS = 16_384
/** How often it is asked which server has which slots: while all is well, and while a server is away. */
const REFRESH_MS = 10_000
const TROUBLED_REFRESH_MS = 500
/** What was asked is not asked again within this time, however many commands are refused. */
const MIN_REFRESH_MS = 50

/** Servers say by these that keys are elsewhere, or on their way. */
const MOVED = /^(MOVED|ASK|TRYAGAIN|CLUSTERDOWN) /

interface Member extends RedisNode {
  readonly address: Address
}

const nameOf = ({ host, port }: Address) => `${host}:${port}`

/**
 * The masters of a Redis Cluster, with plain connections to each of them.
 *
 * ioredis' own `Cluster` is not used, for it sends a command on to where its keys have moved, maybe behind later ones: here a
 * command is sent once, to one server, in its order, or it fails. Nor can it subscribe to a plain channel at the server of
 * a slot, on which the order of a room's messages depends (cluster-subscriptions.ts).
 */
export class RedisCluster implements RedisNodes {
  readonly isCluster = true
  readonly #members = new Map<string, Member>()
  readonly #nodeListeners: Array<(node: RedisNode) => void> = []
  readonly #movedListeners: Array<() => void> = []
  #slots: Member[] = []
  /** Whether each slot has a master. */
  #isWhole = false
  /** Who told of the slots last, and is asked first: two servers may disagree for a while. */
  #informant: Member | undefined
  #refreshing: Promise<void> | undefined
  #isWanted = false
  #cancelTimer: (() => void) | undefined
  #isClosed = false

  constructor (private readonly settings: RedisLogin & ClusterNodes, private readonly clock: Clock, private readonly log: Log) {
    for (const address of settings.clusterNodes) this.#join(address)
    this.#refreshAfter(TROUBLED_REFRESH_MS)
  }

  get all (): Iterable<RedisNode> { return this.#members.values() }

  /** Whether it is known where every key is, and each server can be used. */
  get isReady () { return this.#isWhole && !this.#isTroubled }

  get #isTroubled () {
    return [...this.#members.values()].some(({ commands, subscriber }) => commands.status !== 'ready' || subscriber.status !== 'ready')
  }

  nodeOf (key: string): RedisNode {
    const node = this.#slots[slotOf(key)] ?? this.#members.values().next().value
    if (node === undefined) throw new Error('a cluster without nodes')
    return node
  }

  onNode (listener: (node: RedisNode) => void) {
    this.#nodeListeners.push(listener)
    for (const member of this.#members.values()) listener(member)
  }

  onMoved (listener: () => void) {
    this.#movedListeners.push(listener)
  }

  close () {
    this.#isClosed = true
    this.#cancelTimer?.()
    for (const member of this.#members.values()) disconnect(member)
  }

  #join (address: Address) {
    const name = nameOf(address)
    const { username, password, tls, timeoutMs } = this.settings
    const login = { ...address, password, timeoutMs, ...(username !== undefined && { username }), ...(tls && { tls }) }
    const connect = (kind: string): Redis => {
      const connection = connectRedis(`${kind}@${name}`, login, this.log, (message) => {
        if (MOVED.test(message)) this.#refreshSoon(member)
      })
      connection.on('ready', () => this.#refreshSoon())
      connection.on('close', () => this.#refreshSoon())
      // ioredis says so when a server ends a subscription of its own accord, because the slot has left it.
      connection.on('moved', () => this.#refreshSoon(member))
      return connection
    }
    const member: Member = { address, commands: connect('commands'), subscriber: connect('subscriber') }
    this.#members.set(name, member)
    for (const listener of this.#nodeListeners) listener(member)
    return member
  }

  /** @param informant a server that knows more than the others */
  #refreshSoon (informant?: Member) {
    if (informant !== undefined) this.#informant = informant
    if (this.#isWanted) return
    this.#isWanted = true
    if (this.#refreshing === undefined) this.#refreshAfter(MIN_REFRESH_MS)
  }

  #refreshAfter (delayMs: number) {
    if (this.#isClosed) return
    this.#cancelTimer?.()
    this.#cancelTimer = this.clock.after(delayMs, () => {
      this.#isWanted = false
      this.#refreshing = this.#refresh().finally(() => {
        this.#refreshing = undefined
        this.#refreshAfter(this.#isWanted ? MIN_REFRESH_MS : this.isReady ? REFRESH_MS : TROUBLED_REFRESH_MS)
      })
    })
  }

  async #refresh () {
    const members = [...this.#members.values()].sort((one, other) => Number(other === this.#informant) - Number(one === this.#informant))
    for (const member of members) {
      if (member.commands.status !== 'ready') continue
      const ranges = await member.commands.cluster('SLOTS').then((reply) => parseSlots(reply, member.address), () => [])
      if (this.#isClosed) return
      if (ranges.length === 0) continue
      this.#informant = member
      this.#take(ranges)
      return
    }
    // Nobody answers that was known last: the others are found again by those that were known first.
    for (const address of this.settings.clusterNodes) if (!this.#members.has(nameOf(address))) this.#join(address)
  }

  #take (ranges: readonly SlotRange[]) {
    const slots: Member[] = []
    for (const { first, last, master } of ranges) {
      const member = this.#members.get(nameOf(master)) ?? this.#join(master)
      for (let slot = first; slot <= last; slot++) slots[slot] = member
    }
    const used = new Set(slots)
    const unused = [...this.#members.values()].filter((member) => !used.has(member))
    for (const member of unused) this.#members.delete(nameOf(member.address))
    const hasMoved = unused.length > 0 || slots.length !== this.#slots.length || slots.some((member, slot) => member !== this.#slots[slot])
    this.#slots = slots
    this.#isWhole = ranges.reduce((sum, { first, last }) => sum + last - first + 1, 0) === SLOTS
    if (hasMoved) for (const listener of this.#movedListeners) listener()
    for (const member of unused) disconnect(member)
  }
}

function disconnect ({ commands, subscriber }: RedisNode) {
  commands.disconnect()
  subscriber.disconnect()
}

interface SlotRange {
  readonly first: number
  readonly last: number
  readonly master: Address
}

/**
 * @param reply to CLUSTER SLOTS: https://redis.io/docs/latest/commands/cluster-slots/
 * @param asked whose host counts where the reply names none
 * @returns nothing for what is no such reply
 */
function parseSlots (reply: unknown, asked: Address): SlotRange[] {
  if (!Array.isArray(reply)) return []
  return reply.flatMap((range: unknown) => {
    const [first, last, master] = Array.isArray(range) ? range : []
    const [host, port] = Array.isArray(master) ? master : []
    if (!(Number.isInteger(first) && Number.isInteger(last) && first >= 0 && last < SLOTS && Number.isInteger(port)) || host === '?') return []
    return [{ first, last, master: { host: typeof host === 'string' && host !== '' ? host : asked.host, port } }]
  })
}
