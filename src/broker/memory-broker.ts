import { LRUCache } from 'lru-cache'
import type { Broker, PublishOutcome, RoomListener } from './broker.js'

/** What remembered ends may cost; past it the one used longest ago is forgotten. */
const MAX_TOMBSTONE_BYTES = 67_108_864
/** What an end costs besides its payload. */
const TOMBSTONE_OVERHEAD_BYTES = 200

/** The embedded broker: one instance, nothing outside the process. What it knows is gone when the process stops. */
export class MemoryBroker implements Broker {
  readonly connected = true
  readonly #listeners = new Map<string, RoomListener>()
  readonly #tombstones: LRUCache<string, string>

  constructor (endedTtlMs: number) {
    this.#tombstones = new LRUCache({
      ttl: endedTtlMs,
      maxSize: MAX_TOMBSTONE_BYTES,
      sizeCalculation: (payload) => 2 * payload.length + TOMBSTONE_OVERHEAD_BYTES
    })
  }

  subscribe (roomId: string, listener: RoomListener) {
    this.#listeners.set(roomId, listener)
    queueMicrotask(() => {
      if (this.#listeners.get(roomId) !== listener) return
      const payload = this.#tombstones.get(roomId)
      if (payload === undefined) listener.onOpen()
      else listener.onEnd(payload)
    })
  }

  unsubscribe (roomId: string) {
    this.#listeners.delete(roomId)
  }

  async publish (roomId: string, message: string): Promise<PublishOutcome> {
    if (this.#tombstones.has(roomId)) return 'room-ended'
    this.#listeners.get(roomId)?.onMessage(message)
    return 'published'
  }

  async end (roomId: string, payload: string) {
    if (this.#tombstones.has(roomId)) return
    this.#tombstones.set(roomId, payload)
    this.#listeners.get(roomId)?.onEnd(payload)
  }

  close () {
    this.#listeners.clear()
  }
}
