import { Redis } from 'ioredis'
import type { Log } from '../log.js'

/** Longest pause between two attempts to reconnect. */
const MAX_RETRY_MS = 2000

export interface RedisSettings {
  readonly host: string
  readonly port: number
  readonly password: string
  /** How long Redis may take to answer before the connection counts as lost. */
  readonly timeoutMs: number
}

/**
 * Opens a connection that heals by itself and says so in the log, a line per change of state, not per attempt.
 *
 * A command fails at once while the connection is away, and is never sent twice: a publish that may have happened
 * must not happen again. A connection whose peer is silent is found by a ping every `timeoutMs`.
 *
 * @param name of the connection in the log and in CLIENT LIST
 */
export function connectRedis (name: string, settings: RedisSettings, log: Log): Redis {
  const redis = new Redis({
    host: settings.host,
    port: settings.port,
    connectionName: `chat-sync-server:${name}`,
    connectTimeout: settings.timeoutMs,
    commandTimeout: settings.timeoutMs,
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    autoResubscribe: false,
    maxRetriesPerRequest: 0,
    retryStrategy: (attempt) => Math.min(50 * 2 ** attempt, MAX_RETRY_MS) * (0.5 + Math.random() / 2),
    ...(settings.password === '' ? {} : { password: settings.password })
  })
  logState(redis, name, log)
  watchForSilence(redis, settings.timeoutMs)
  return redis
}

/** Only messages of errors are logged: ioredis keeps a command's arguments, so also the password, in the error. */
function logState (redis: Redis, name: string, log: Log) {
  let up: boolean | undefined
  const refusals = new Set<string>()

  function down (reason: string, isRefusal: boolean) {
    if (up === false && (!isRefusal || refusals.has(reason))) return
    up = false
    if (isRefusal) refusals.add(reason)
    log.error({ connection: name, reason }, 'redis is not available, retrying')
  }

  redis.on('ready', () => {
    up = true
    refusals.clear()
    log.info({ connection: name }, 'redis connected')
  })
  redis.on('error', (error: Error) => down(error.message, error.name === 'ReplyError'))
  redis.on('close', () => down('connection closed', false))
}

function watchForSilence (redis: Redis, timeoutMs: number) {
  let givenUp = false
  const timer = setInterval(() => {
    if (redis.status !== 'ready' || givenUp) return
    redis.ping().catch((error: Error) => {
      // An error reply is an answer too.
      if (error.name === 'ReplyError' || redis.status !== 'ready' || givenUp) return
      givenUp = true
      redis.disconnect(true)
    })
  }, timeoutMs)
  timer.unref()
  redis.on('close', () => { givenUp = false })
  redis.once('end', () => clearInterval(timer))
}
