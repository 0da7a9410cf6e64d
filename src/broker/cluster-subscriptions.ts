import type { RoomListener } from './broker.js'
import { messageChannel } from './redis-keys.js'
import type { RedisNode, RedisNodes } from './redis-nodes.js'
import { RedisSubscriptions, type SubscriptionOptions } from './redis-subscriptions.js'

/** Where a room is listened to. */
interface Place {
  readonly listener: RoomListener
  subscriptions: RedisSubscriptions
  isLeaving: boolean
}

/**
 * Who listens to which room of a cluster.
 *
 * Invariant: all channels of a room are subscribed to at the master that has its keys, on one connection, by every instance.
 * A PUBLISH reaches all masters, but each in an order of its own. So all instances hear a room in one order, that of
 * its master, whose scripts log it; and a script there that publishes counts those who listen. When the keys move, the
 * subscription is interrupted and begins anew at their new place.
 */
export class ClusterSubscriptions {
  readonly #places = new Map<string, Place>()
  readonly #byNode = new Map<RedisNode, RedisSubscriptions>()
  #oversizedBefore = 0

  constructor (private readonly nodes: RedisNodes, options: Omit<SubscriptionOptions, 'subscriber' | 'isSharded'>) {
    nodes.onNode((node) => this.#byNode.set(node, new RedisSubscriptions({ ...options, subscriber: node.subscriber, isSharded: true })))
    nodes.onMoved(() => this.#onMoved())
  }

  get oversized () {
    return [...this.#byNode.values()].reduce((sum, { oversized }) => sum + oversized, this.#oversizedBefore)
  }

  /** Whether any server is heard: the loss of one concerns its rooms, which are told. */
  get connected () { return [...this.#byNode.values()].some(({ connected }) => connected) }

  add (roomId: string, listener: RoomListener) {
    const subscriptions = this.#subscriptionsOf(roomId)
    this.#places.set(roomId, { listener, subscriptions, isLeaving: false })
    subscriptions.add(roomId, listener)
  }

  async remove (roomId: string) {
    const place = this.#places.get(roomId)
    if (place === undefined) return
    place.isLeaving = true
    await place.subscriptions.remove(roomId)
    // The room may have been added anew meanwhile.
    if (this.#places.get(roomId) === place) this.#places.delete(roomId)
  }

  async follow (roomId: string) {
    await this.#subscriptionsOf(roomId).follow(roomId)
  }

  unfollow (roomId: string) {
    this.#subscriptionsOf(roomId).unfollow(roomId)
  }

  close () {
    for (const subscriptions of this.#byNode.values()) subscriptions.close()
    this.#places.clear()
  }

  #subscriptionsOf (roomId: string): RedisSubscriptions {
    const subscriptions = this.#byNode.get(this.nodes.nodeOf(messageChannel(roomId)))
    if (subscriptions === undefined) throw new Error('a node that was not told of')
    return subscriptions
  }

  #onMoved () {
    for (const [roomId, place] of [...this.#places]) {
      const subscriptions = this.#subscriptionsOf(roomId)
      if (subscriptions === place.subscriptions) continue
      const wasSubscribed = place.subscriptions.drop(roomId)
      if (place.isLeaving) {
        this.#places.delete(roomId)
        continue
      }
      place.subscriptions = subscriptions
      if (wasSubscribed) place.listener.onInterrupted()
      subscriptions.add(roomId, place.listener)
    }
    const used = new Set(this.nodes.all)
    for (const [node, subscriptions] of this.#byNode) if (!used.has(node)) this.#forget(node, subscriptions)
  }

  #forget (node: RedisNode, subscriptions: RedisSubscriptions) {
    this.#oversizedBefore += subscriptions.oversized
    subscriptions.close()
    this.#byNode.delete(node)
  }
}
