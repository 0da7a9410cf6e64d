import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { freePort, ManagedProcess, temporaryFolder } from '../../deploy/local-cluster/managed-process.js'
import type { RedisServer } from '../../deploy/local-cluster/redis-server.js'
import { writeNchanConfig } from './contenders/nchan-config.js'
import { pinned } from './cores.js'
import { EmitterPublisher, HttpPublisher, RedisPublisher, type Publisher } from './publishers.js'
import { ADDON, buildFanOut } from './native/build.js'
import { installNchan, installNpmRivals, nginxFiles, RIVALS_RESOLVE_FROM } from './rivals.js'

export type Protocol = 'sse' | 'socket.io'

export interface Contender {
  readonly name: string
  /** What it is, for the report. */
  readonly about: string
  readonly protocol: Protocol
  /** Whether a viewer that comes back gets what it missed. */
  readonly resumes: boolean
  /** Whether its viewers do. Only this server compresses. */
  readonly acceptsGzip?: boolean
  /** Measured only when asked for by name. */
  readonly onRequest?: boolean
  /** @returns why it cannot be had; undefined when it can */
  install? (): string | undefined
  pathOf (room: string): string
  /** @param isDefault whether heartbeats and viewer counts go out as they do by default, instead of not at all */
  start (redis: RedisServer, isDefault: boolean): Promise<RunningContender>
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

/** Nothing but what is asked for is to be written. */
const SILENCE = { HEARTBEAT_MS: '600000', VIEWER_COUNTS: 'off', SLOW_VIEWER_TIMEOUT_MS: '600000' }

async function startNode (script: string, redis: RedisServer, publisherOf: (redis: RedisServer) => Publisher, env: Record<string, string> = SILENCE): Promise<RunningContender> {
  const port = await freePort()
  const server = await startProcess('node', [file(script)], port, {
    ...redis.env,
    RIVALS: RIVALS_RESOLVE_FROM,
    ...env
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

const THIS_SERVER = { protocol: 'sse', resumes: true, pathOf: (room: string) => `/api/v1/chats/sse-connect/${room}` } as const
const FLOOR = { protocol: 'sse', resumes: false, pathOf: roomPath } as const

export const CONTENDERS: readonly Contender[] = [
  {
    ...THIS_SERVER,
    name: SUBJECT,
    about: 'this server, default settings',
    start: async (redis, isDefault) => await startNode('../../dist/src/server.js', redis, overRedis, isDefault ? {} : SILENCE)
  },
  {
    ...FLOOR,
    name: 'floor',
    about: 'the least Node.js can do: the same batches, one shared buffer to each socket, no HTTP parser, no promises',
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
    ...THIS_SERVER,
    name: 'gzip',
    about: 'this server, to viewers that accept gzip',
    acceptsGzip: true,
    onRequest: true,
    start: async (redis) => await startNode('../../dist/src/server.js', redis, overRedis)
  },
  {
    ...FLOOR,
    name: 'floor-send',
    about: 'the floor, with the loop over the sockets in C',
    install: buildFanOut,
    onRequest: true,
    start: async (redis) => await startNode('contenders/floor.js', redis, overRedis, { FAN_OUT: 'sendAll', ADDON })
  },
  {
    ...FLOOR,
    name: 'floor-io-uring',
    about: 'the floor, with one system call through io_uring for up to 1,024 sockets',
    install: buildFanOut,
    onRequest: true,
    start: async (redis) => await startNode('contenders/floor.js', redis, overRedis, { FAN_OUT: 'submitAll', ADDON })
  },
  {
    ...THIS_SERVER,
    name: 'without-continuity',
    about: 'this server, but batches are neither logged nor told to other instances',
    onRequest: true,
    start: async (redis) => await startNode('contenders/without-continuity.js', redis, overRedis)
  }
]
