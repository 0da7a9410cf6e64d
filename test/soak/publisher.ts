import { setTimeout as pause } from 'node:timers/promises'
import type { Redis, Result } from 'ioredis'
import { luaScript } from '../../src/lua.js'
import { endedKey, pendingKey } from '../../src/broker/redis-keys.js'
import { eventually } from '../fixtures/eventually.js'
import type { Findings } from './findings.js'
import type { Room } from './room.js'

declare module 'ioredis' {
  interface RedisCommander<Context> {
    publishOrPark (pendingKey: string, endedKey: string, roomId: string, message: string): Result<number, Context>
  }
}

const TICK_MS = 50
/** A publisher waits no longer for an instance that stands still. */
const HTTP_TIMEOUT_MS = 5000
const END_TIMEOUT_MS = 60_000
const END_RETRY_MS = 500

export interface PublisherOptions {
  /** A connection that neither queues nor repeats what Redis has not answered. */
  readonly redis: Redis
  /** Of the load balancer. */
  readonly url: string
  readonly key: string
  readonly findings: Findings
}

/** A tenant's back end: talks in all rooms, and notes of each message whether Redis has taken it. */
export class Publisher {
  readonly #rooms = new Map<Room, number>()
  #timer: NodeJS.Timeout | undefined

  constructor (private readonly options: PublisherOptions) {
    options.redis.defineCommand('publishOrPark', { lua: luaScript('publish'), numberOfKeys: 2 })
  }

  start () {
    let lastMs = performance.now()
    this.#timer = setInterval(() => {
      const nowMs = performance.now()
      for (const [room, due] of this.#rooms) this.#talk(room, due + (nowMs - lastMs) / 1000 * room.messagesPerSecond)
      lastMs = nowMs
    }, TICK_MS)
  }

  add (room: Room) {
    this.#rooms.set(room, 0)
  }

  /** Says nothing more. Resolves when it is known what has become of everything. */
  async stop () {
    clearInterval(this.#timer)
    await Promise.all([...this.#rooms.keys()].map(settled))
  }

  /** One more message. */
  say (room: Room) {
    const { findings } = this.options
    const text = room.next()
    const n = room.count
    room.underWay++
    const saidAt = findings.seconds.toFixed(2)
    const note = (fate: string) => { room.fates[n] = `${n} said at ${saidAt} s, ${fate} at ${findings.seconds.toFixed(2)} s` }
    this.#publish(room, text).then(
      (receivers) => {
        findings.published++
        note(receivers === undefined ? 'accepted' : `heard by ${receivers}`)
        if (receivers !== 0) return
        findings.unheard++
        if (room.path === 'script') room.parked.add(n)
      },
      ({ message }: Error) => {
        findings.unsure++
        note(message)
        room.unsure.add(n)
      }
    ).finally(() => { room.underWay-- })
  }

  /** Ends a room, behind its last message. Resolves when its end is published. */
  async end (room: Room) {
    this.#rooms.delete(room)
    await settled(room)
    room.isEnding = true
    for (const deadline = performance.now() + END_TIMEOUT_MS; ; await pause(END_RETRY_MS)) {
      const status = await this.#post(room, 'end', '{"reason":"soaked"}').catch(() => undefined)
      if (status === 202) break
      if (performance.now() > deadline) throw new Error(`room ${room.id} cannot be ended: ${status}`)
    }
    this.options.findings.ended++
  }

  #talk (room: Room, due: number) {
    // Over HTTP the next message is sent when the one before it has been answered: else they might overtake each other.
    for (; due >= 1 && !(room.path === 'http' && room.underWay > 0); due--) this.say(room)
    this.#rooms.set(room, Math.min(due, room.messagesPerSecond + 1))
  }

  /** @returns how many instances heard it, as far as that is known */
  async #publish (room: Room, text: string): Promise<number | undefined> {
    const { redis } = this.options
    switch (room.path) {
      case 'publish': return await redis.publish(room.id, text)
      case 'script': {
        const answer = await redis.publishOrPark(pendingKey(room.id), endedKey(room.id), room.id, text)
        if (answer < 0) throw new Error('not taken')
        return answer
      }
      case 'http': {
        const status = await this.#post(room, 'messages', text)
        if (status !== 202) throw new Error(`status ${status}`)
      }
    }
    return undefined
  }

  async #post (room: Room, what: string, body: string): Promise<number> {
    const response = await fetch(`${this.options.url}/api/v1/chats/${room.id}/${what}`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', Authorization: `Bearer ${this.options.key}` },
      body,
      signal: AbortSignal.timeout(HTTP_TIMEOUT_MS)
    })
    await response.arrayBuffer()
    return response.status
  }
}

async function settled (room: Room) {
  await eventually('every message is answered', () => room.underWay === 0)
}
