import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { freePort, ManagedProcess, temporaryFolder } from '../../deploy/local-cluster/managed-process.js'
import type { RedisServer } from '../../deploy/local-cluster/redis-server.js'
import { writeNchanConfig } from './contenders/nchan-config.js'
import { pinned } from './cores.js'
import { EmitterPublisher, HttpPublisher, RedisPublisher, type Publisher } from './publishers.js'
import { installNchan, installNpmRivals, nginxFiles, RIVALS_RESOLVE_FROM } from './rivals.js'

export type Protocol = 'sse' | 'socket.io'

export interface Contender {
  readonly name: string
  /** What it is, for the report. */
  readonly about: string
  readonly protocol: Protocol
  /** Whether a viewer that comes back gets what it missed. */
  readonly resumes: boolean
  /** Measured only when asked for by name. */
  readonly onRequest?: boolean
  /** @returns why it cannot be had; undefined when it can */
  install? (): string | undefined
  pathOf (room: string): string
  start (redis: RedisServer): Promise<RunningContender>
}

export interface RunningContender {
  readonly port: number
  /** All processes whose cost counts. */
  readonly pids: readonly number[]
  readonly publisher: Publisher
  stop (): Promise<void>
}

export const SUBJECT = 'chat-sync-server'

const file = (path: string) => fileURLToPath(new URL(path, import.meta.url))

async function startProcess (command: string, args: readonly string[], port: number, env: Record<string, string>): Promise<ManagedProcess> {
  return await ManagedProcess.start({
    ...pinned(command, args),
    // Away from a file `.env` in the working directory.
    cwd: temporaryFolder('chat-bench-'),
    env: { HOST: '127.0.0.1', PORT: String(port), ...env },
    isReady: async () => (await fetch(`http://127.0.0.1:${port}/health/ready`)).ok
  })
}

async function startNode (script: string, redis: RedisServer, publisherOf: (redis: RedisServer) => Publisher): Promise<RunningContender> {
  const port = await freePort()
  const server = await startProcess('node', [file(script)], port, {
    ...redis.env,
    RIVALS: RIVALS_RESOLVE_FROM,
    // Nothing but what is asked for is to be written.
    HEARTBEAT_MS: '600000',
    VIEWER_COUNTS: 'off',
    SLOW_VIEWER_TIMEOUT_MS: '600000'
  })
  const publisher = publisherOf(redis)
  return {
    port,
    pids: [server.pid],
    publisher,
    stop: async () => {
      publisher.close()
      await server.stop('SIGKILL')
    }
  }
}

async function startNchan (): Promise<RunningContender> {
  const files = nginxFiles()
  if (files === undefined) throw new Error('nginx is not installed')
  const port = await freePort()
  const folder = temporaryFolder('chat-nchan-')
  const config = writeNchanConfig({ folder, port, module: files.module })
  const master = await startProcess(files.nginx, ['-e', 'stderr', '-p', folder, '-c', config], port, {})
  const workers = readFileSync(`/proc/${master.pid}/task/${master.pid}/children`, 'utf8').trim().split(' ').map(Number)
  // A master that is killed leaves its workers behind.
  const killWorkers = () => {
    for (const pid of workers) process.kill(pid, 'SIGKILL')
  }
  process.once('exit', killWorkers)
  const publisher = await HttpPublisher.connect(port)
  return {
    port,
    pids: [master.pid, ...workers],
    publisher,
    stop: async () => {
      publisher.close()
      process.off('exit', killWorkers)
      await master.stop('SIGTERM')
    }
  }
}

const overRedis = (redis: RedisServer) => new RedisPublisher(redis.connect())
const roomPath = (room: string) => `/rooms/${room}`

export const CONTENDERS: readonly Contender[] = [
  {
    name: SUBJECT,
    about: 'this server, default settings',
    protocol: 'sse',
    resumes: true,
    pathOf: (room) => `/api/v1/chats/sse-connect/${room}`,
    start: async (redis) => await startNode('../../dist/src/server.js', redis, overRedis)
  },
  {
    name: 'floor',
    about: 'the least Node.js can do: the same batches, one shared buffer to each socket, no HTTP parser, no promises',
    protocol: 'sse',
    resumes: false,
    pathOf: roomPath,
    start: async (redis) => await startNode('contenders/floor.js', redis, overRedis)
  },
  {
    name: 'nchan',
    about: 'nginx with one worker and Nchan, store in memory, published to over HTTP; CPU and memory of all its processes',
    protocol: 'sse',
    resumes: true,
    install: installNchan,
    pathOf: roomPath,
    start: startNchan
  },
  {
    name: 'socket.io',
    about: 'Socket.IO with its Redis adapter and emitter, over WebSocket',
    protocol: 'socket.io',
    resumes: false,
    install: installNpmRivals,
    pathOf: (room) => `/socket.io/?EIO=4&transport=websocket&room=${room}`,
    start: async (redis) => await startNode('contenders/socket-io.js', redis, (redis) => new EmitterPublisher(redis.connect(), RIVALS_RESOLVE_FROM))
  },
  {
    name: 'better-sse',
    about: 'better-sse, one channel a room',
    protocol: 'sse',
    resumes: false,
    install: installNpmRivals,
    pathOf: roomPath,
    start: async (redis) => await startNode('contenders/better-sse.js', redis, overRedis)
  },
  {
    name: 'naive',
    about: 'a Fastify route that makes JSON and calls res.write for each viewer and message',
    protocol: 'sse',
    resumes: false,
    pathOf: roomPath,
    start: async (redis) => await startNode('contenders/naive-server.js', redis, overRedis)
  },
  {
    name: 'without-continuity',
    about: 'this server, but batches are neither logged nor told to other instances',
    protocol: 'sse',
    resumes: true,
    onRequest: true,
    pathOf: (room) => `/api/v1/chats/sse-connect/${room}`,
    start: async (redis) => await startNode('contenders/without-continuity.js', redis, overRedis)
  }
]
