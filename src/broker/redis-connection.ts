import { Redis, SentinelConnector, type RedisOptions, type SentinelConnectionOptions } from 'ioredis'
import type { Log } from '../log.js'
import type { Address, RedisLogin, Sentinels } from './redis-settings.js'

/** Longest pause between two attempts to reconnect. */
const MAX_RETRY_MS = 2000

const retryDelayMs = (attempt: number) => Math.min(50 * 2 ** attempt, MAX_RETRY_MS) * (0.5 + Math.random() / 2)

/**
 * Keeps a second error of a connection from ending the process: ioredis listens for one only. Over TLS there are two where it is
 * closed in its handshake, and the certificate is not trusted: that, and the alert with which the server answers the close.
 */
export function surviveErrors (redis: Redis): Redis {
  return redis.on('error', () => {
    const { stream } = redis
    if (stream?.listenerCount('error') === 0) stream.on('error', () => {})
  })
}

/** Asks sentinels over connections of its own, and closes them when that takes too long: in the midst of a handshake, too. */
class SurvivingSentinelConnector extends SentinelConnector {
  /** @param options those of the connection; ioredis leaves their type open */
  constructor (options: unknown) {
    super(options as SentinelConnectionOptions)
    const connect: (...args: unknown[]) => Redis = Reflect.get(this, 'connectToSentinel')
    Reflect.set(this, 'connectToSentinel', (...args: unknown[]) => surviveErrors(connect.apply(this, args)))
  }
}

/** What ioredis needs to get to a server, or to the master that the sentinels name. */
export function connectionOptions ({ username, password, tls, timeoutMs, ...place }: RedisLogin & (Address | Sentinels)) {
  return {
    ...('sentinels' in place ? sentinelOptions(place, { tls, timeoutMs }) : { host: place.host, port: place.port }),
    connectTimeout: timeoutMs,
    commandTimeout: timeoutMs,
    // Two commands less that the ACL has to allow.
    disableClientInfo: true,
    ...(username && { username }),
    ...(password !== '' && { password }),
    ...(tls && { tls })
  } satisfies RedisOptions
}

function sentinelOptions ({ sentinels, masterName, sentinelUsername, sentinelPassword }: Sentinels, { tls, timeoutMs }: Pick<RedisLogin, 'timeoutMs'> & { tls: RedisLogin['tls'] | undefined }) {
  return {
    Connector: SurvivingSentinelConnector,
    sentinels: [...sentinels],
    name: masterName,
    sentinelCommandTimeout: timeoutMs,
    sentinelRetryStrategy: retryDelayMs,
    ...(sentinelUsername !== '' && { sentinelUsername }),
    ...(sentinelPassword !== '' && { sentinelPassword }),
    ...(tls && { enableTLSForSentinelMode: true, sentinelTLS: tls })
  } satisfies RedisOptions
}

/**
 * Opens a connection that heals by itself and says so in the log, a line per change of state, not per attempt.
 *
 * A command fails at once while the connection is away, and is never sent twice: a publish that may have happened
 * must not happen again. A connection whose peer is silent is found by a ping every `timeoutMs`.
 *
 * @param name of the connection in the log and in CLIENT LIST
 * @param onErrorReply told of each error that Redis answers
 */
export function connectRedis (name: string, settings: RedisLogin & (Address | Sentinels), log: Log, onErrorReply?: (message: string) => void): Redis {
  const redis = new Redis({
    ...connectionOptions(settings),
    connectionName: `chat-sync-server:${name}`,
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    autoResubscribe: false,
    maxRetriesPerRequest: 0,
    retryStrategy: retryDelayMs,
    reconnectOnError ({ message }) {
      onErrorReply?.(message)
      // A master that was replaced is left. Sentinels close its connections too, but not while they cannot reach it.
      return 'sentinels' in settings && /\bREADONLY\b/.test(message)
    }
  })
  surviveErrors(redis)
  logState(redis, name, log)
  watchForSilence(redis, settings.timeoutMs)
  if ('sentinels' in settings) watchForFailover(redis, settings)
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
  // Not 'close', which comes also when it is not wanted any more.
  redis.on('reconnecting', () => down('connection closed', false))
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

/**
 * Leaves a master as soon as any of its sentinels has put another in its place. While it lives it is made a replica, and its
 * connections are closed, only some 10 s later: what it is sent until then is lost.
 */
function watchForFailover (redis: Redis, { sentinels, masterName, sentinelUsername: username, sentinelPassword: password, tls, timeoutMs }: RedisLogin & Sentinels) {
  let isMisled = false
  const watchers = sentinels.map((address) => {
    const login = { ...address, username, password, timeoutMs, ...(tls && { tls }) }
    const watcher = surviveErrors(new Redis({ ...connectionOptions(login), enableReadyCheck: false, autoResubscribe: false, retryStrategy: retryDelayMs }))
    // One that is away is no trouble: its like say the same. If all are, the connection itself says so when it needs them.
    watcher.on('ready', () => { watcher.subscribe('+switch-master').catch(() => {}) })
    watcher.on('message', (_channel, text) => {
      // The name of the master, and its old and new address.
      if (text.split(' ')[0] !== masterName) return
      if (redis.status === 'ready') redis.disconnect(true)
      // It may be on the way to the old one. Not to be stopped now: ioredis would never try again.
      else isMisled = redis.status === 'connecting' || redis.status === 'connect'
    })
    return watcher
  })
  redis.on('ready', () => {
    if (isMisled) redis.disconnect(true)
    isMisled = false
  })
  redis.once('end', () => { for (const watcher of watchers) watcher.disconnect() })
}
