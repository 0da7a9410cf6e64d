import type { Clock } from '../clock.js'
import { INDEX_KEY } from '../metering/redis-ledger.js'
import type { RedisNodes } from './redis-nodes.js'

/** A room whose messages are counted is announced to the billing this often: more often than an idle one is forgotten there. */
const ANNOUNCE_INTERVAL_MS = 60_000

/** Tells the billing of rooms: it looks only at those it was told of, so it is told before a message is counted. */
export class Announcements {
  /** When a room was last announced. The broker forgets it with the room. */
  readonly #announcedAtMs = new Map<string, number>()
  /** Announcements under way, whether they are heard. */
  readonly #announcing = new Map<string, Promise<boolean>>()

  constructor (private readonly nodes: RedisNodes, private readonly clock: Clock) {
    // A master that has taken over may not have what the billing was told, while the counts are at others.
    nodes.onMoved(() => { for (const roomId of this.#announcedAtMs.keys()) this.#announceNow(roomId) })
  }

  /** Announces a room whose messages are about to be counted, unless it was of late. */
  announce (roomId: string) {
    if (this.clock.now() - (this.#announcedAtMs.get(roomId) ?? -Infinity) >= ANNOUNCE_INTERVAL_MS) this.#announceNow(roomId)
  }

  /** Redis may have lost what it was told, or the room is given up. */
  forget (roomId: string) {
    this.#announcedAtMs.delete(roomId)
  }

  clear () {
    this.#announcedAtMs.clear()
  }

  /**
   * What was sent before on the same connection is done before. In a cluster the announcement goes to another server: what is to be
   * done to the room after it waits, in its order.
   *
   * @param send is told whether the billing knows of the room
   */
  after<T> (roomId: string, send: (isAnnounced: boolean) => Promise<T>): Promise<T> {
    const announcing = this.#announcing.get(roomId)
    return announcing === undefined ? send(true) : announcing.then(send)
  }

  #announceNow (roomId: string) {
    this.#announcedAtMs.set(roomId, this.clock.now())
    const announced = this.nodes.nodeOf(INDEX_KEY).commands.announce(INDEX_KEY, roomId).then(() => true, () => {
      this.#announcedAtMs.delete(roomId)
      return false
    })
    if (!this.nodes.isCluster) return
    this.#announcing.set(roomId, announced)
    // The first thing to happen then, so that what is sent later does not overtake what waits.
    announced.then(() => { if (this.#announcing.get(roomId) === announced) this.#announcing.delete(roomId) })
  }
}
