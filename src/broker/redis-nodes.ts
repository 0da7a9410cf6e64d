import type { Redis } from 'ioredis'

/** A server of Redis, by two connections, because a subscribed one takes no other commands. */
export interface RedisNode {
  readonly commands: Redis
  readonly subscriber: Redis
}

/** The servers of Redis that have the keys: one, or the masters of a cluster. */
export interface RedisNodes {
  readonly isCluster: boolean
  /** All there are now. */
  readonly all: Iterable<RedisNode>
  /** The server that has the key. While that is not known some server, which refuses what it is asked. */
  nodeOf (key: string): RedisNode
  /** Calls `listener` for each server that there is, and for each that comes, before anything is sent to it. */
  onNode (listener: (node: RedisNode) => void): void
  /** Calls `listener` when keys are at other servers than before, or servers are gone from `all`, whose connections are closed after that. */
  onMoved (listener: () => void): void
  /** Closes all connections. */
  close (): void
}

/** One server, which has all keys. */
export function oneServer (commands: Redis, subscriber: Redis): RedisNodes {
  const node = { commands, subscriber }
  return {
    isCluster: false,
    all: [node],
    nodeOf: () => node,
    onNode: (listener) => listener(node),
    onMoved () {},
    close () {
      commands.disconnect()
      subscriber.disconnect()
    }
  }
}
