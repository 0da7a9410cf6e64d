import { createRequire } from 'node:module'
import { connect, type Socket } from 'node:net'
import type { Redis } from 'ioredis'

export interface Publisher {
  publish (room: string, message: string): void
  close (): void
}

export class RedisPublisher implements Publisher {
  readonly #redis: Redis

  constructor (redis: Redis) {
    this.#redis = redis
  }

  publish (room: string, message: string) {
    this.#redis.publish(room, message).catch(() => {})
  }

  close () {
    this.#redis.disconnect()
  }
}

/** The part of Socket.IO's emitter that is used; its package is not among ours. */
interface Emitter {
  to (room: string): { emit (event: string, message: string): void }
}

/** As a process that is not the Socket.IO server sends to its rooms: through Redis, in the adapter's own encoding. */
export class EmitterPublisher implements Publisher {
  readonly #redis: Redis
  readonly #emitter: Emitter

  constructor (redis: Redis, resolveFrom: string) {
    this.#redis = redis
    const { Emitter } = createRequire(resolveFrom)('@socket.io/redis-emitter') as { Emitter: new (redis: Redis) => Emitter }
    this.#emitter = new Emitter(redis)
  }

  publish (room: string, message: string) {
    this.#emitter.to(room).emit('message', message)
  }

  close () {
    this.#redis.disconnect()
  }
}

/** Requests follow each other on one kept connection, as from a back end that waits for no answer. */
export class HttpPublisher implements Publisher {
  readonly #socket: Socket

  private constructor (socket: Socket) {
    this.#socket = socket.setNoDelay(true).on('error', () => {}).resume()
  }

  static async connect (port: number): Promise<HttpPublisher> {
    return await new Promise((resolve, reject) => {
      const socket = connect(port, '127.0.0.1', () => resolve(new HttpPublisher(socket))).once('error', reject)
    })
  }

  publish (room: string, message: string) {
    this.#socket.write(`POST /publish/${room} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(message)}\r\n\r\n${message}`)
  }

  close () {
    this.#socket.destroy()
  }
}
