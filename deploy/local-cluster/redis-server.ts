import { rmSync } from 'node:fs'
import { connect } from 'node:net'
import { Redis, type RedisOptions } from 'ioredis'
import { freePort, ManagedProcess, temporaryFolder } from './managed-process.js'

export interface RedisServerOptions {
  readonly port?: number
  readonly password?: string
  /** Further arguments of redis-server. */
  readonly args?: readonly string[]
}

/** A redis-server on the loopback interface that keeps nothing on disk. */
export class RedisServer {
  #process: ManagedProcess | undefined
  readonly #folder = temporaryFolder('chat-redis-')

  private constructor (readonly port: number, readonly password: string, private readonly args: readonly string[]) {}

  static async start ({ port, password = '', args = [] }: RedisServerOptions = {}): Promise<RedisServer> {
    const server = new RedisServer(port ?? await freePort(), password, args)
    await server.restart()
    return server
  }

  /** Environment of an instance that uses this server. */
  get env (): Record<string, string> {
    return { REDIS_IP: '127.0.0.1', REDIS_PORT: String(this.port), REDIS_PASSWORD: this.password }
  }

  /** A connection of the caller's own, who closes it. */
  connect (options: Omit<RedisOptions, 'replyMapping'> = {}): Redis {
    return new Redis({ port: this.port, host: '127.0.0.1', ...(this.password ? { password: this.password } : {}), ...options }).on('error', () => {})
  }

  /** Starts it, empty. */
  async restart () {
    this.#process = await ManagedProcess.start({
      command: 'redis-server',
      args: ['--port', String(this.port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', '--dir', this.#folder,
        ...(this.password ? ['--requirepass', this.password] : []), ...this.args],
      isReady: () => answers(this.port)
    })
  }

  /** Freezes it, or lets it go on: SIGSTOP, SIGCONT. */
  signal (signal: NodeJS.Signals) {
    this.#process?.signal(signal)
  }

  async kill () {
    await this.#process?.stop('SIGKILL')
  }

  async stop () {
    await this.kill()
    rmSync(this.#folder, { recursive: true, force: true })
  }
}

/** Whether a redis-server answers there, be it to ask for a password. */
async function answers (port: number): Promise<boolean> {
  return await new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => socket.write('PING\r\n'))
    socket.once('data', (reply) => {
      socket.destroy()
      resolve(/^(\+PONG|-NOAUTH)/.test(String(reply)))
    })
    socket.once('error', () => resolve(false))
  })
}
