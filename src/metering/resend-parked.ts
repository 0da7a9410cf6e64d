import { setTimeout as pause } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import Fastify from 'fastify'
import { Redis, type Result } from 'ioredis'
import env from '../../plugins/env.js'
import { RedisCluster } from '../broker/redis-cluster.js'
import { connectionOptions, surviveErrors } from '../broker/redis-connection.js'
import { oneServer, type RedisNodes } from '../broker/redis-nodes.js'
import { redisSettings, type Address, type ClusterNodes, type RedisLogin, type Sentinels } from '../broker/redis-settings.js'
import { systemClock } from '../clock.js'
import { luaScript } from '../lua.js'
import { UUID } from './ledger.js'
import { INDEX_KEY, outboxKey, PARKED_ROOMS_KEY, parkedKey, parseRecord } from './redis-ledger.js'

const POLL_MS = 20

const USAGE = `usage: node dist/src/metering/resend-parked.js [--list] [<room id>...]

Lets the billing records that the tenant API refused be sent again, each with the key it had; --list only shows them.
Without room ids it takes those of all rooms. Redis is found by the settings of the server, also from .env.
Prints a line per record: room, count, key.`

declare module 'ioredis' {
  interface RedisCommander<Context> {
    billUnpark (parkedKey: string, outboxKey: string): Result<string[], Context>
  }
}

class UsageError extends Error {}

function parseCommandLine () {
  try {
    const { values, positionals } = parseArgs({ allowPositionals: true, options: { list: { type: 'boolean' } } })
    const roomIds = positionals.map((id) => id.toLowerCase())
    const wrong = roomIds.find((id) => !UUID.test(id))
    if (wrong !== undefined) throw new Error(`'${wrong}' is not a room id`)
    return { list: values.list ?? false, roomIds }
  } catch (error) {
    throw new UsageError(`${messageOf(error)}\n\n${USAGE}`)
  }
}

/** The settings of the server, read in the same way. */
async function connect () {
  const app = Fastify()
  await app.register(env, {})
  const settings = redisSettings(app.config)
  if (settings === undefined) throw new Error('REDIS_IP is not set: without Redis no record is kept')
  const nodes = 'clusterNodes' in settings ? await connectCluster(settings) : await connectServer(settings)
  nodes.onNode(({ commands }) => commands.defineCommand('billUnpark', { lua: luaScript('bill-unpark'), numberOfKeys: 2 }))
  return nodes
}

async function connectServer (settings: RedisLogin & (Address | Sentinels)): Promise<RedisNodes> {
  const redis = surviveErrors(new Redis({ ...connectionOptions(settings), lazyConnect: true, retryStrategy: () => null, sentinelRetryStrategy: () => null }))
  let reason: string | undefined
  redis.on('error', (error: Error) => { reason ??= error.message })
  try {
    await redis.connect()
    await redis.ping()
  } catch (error) {
    redis.disconnect()
    throw new Error(`redis is not available${'host' in settings ? ` at ${settings.host}:${settings.port}` : ''}: ${reason ?? messageOf(error)}`)
  }
  return oneServer(redis, redis)
}

async function connectCluster (settings: RedisLogin & ClusterNodes): Promise<RedisNodes> {
  const ignore = () => {}
  let reason = 'no answer'
  const log = { debug: ignore, info: ignore, warn: ignore, error: (bindings: object) => { if ('reason' in bindings) reason = String(bindings.reason) } }
  const cluster = new RedisCluster(settings, systemClock, log)
  const deadlineMs = systemClock.now() + settings.timeoutMs
  while (!cluster.isReady && systemClock.now() < deadlineMs) await pause(POLL_MS)
  if (cluster.isReady) return cluster
  cluster.close()
  throw new Error(`the redis cluster is not available: ${reason}`)
}

async function resend (at: (key: string) => Redis, roomId: string) {
  // Announced before, as whoever counts does: a room with a record is in the index.
  await at(INDEX_KEY).zadd(INDEX_KEY, Date.now(), roomId)
  const records = await at(roomId).billUnpark(parkedKey(roomId), outboxKey(roomId))
  await at(PARKED_ROOMS_KEY).srem(PARKED_ROOMS_KEY, roomId)
  // Another one may have been parked meanwhile.
  if (await at(roomId).exists(parkedKey(roomId)) === 1) await at(PARKED_ROOMS_KEY).sadd(PARKED_ROOMS_KEY, roomId)
  return records
}

async function main () {
  const { list, roomIds } = parseCommandLine()
  const nodes = await connect()
  const at = (key: string) => nodes.nodeOf(key).commands
  try {
    for (const roomId of roomIds.length > 0 ? roomIds : await at(PARKED_ROOMS_KEY).smembers(PARKED_ROOMS_KEY)) {
      const records = list ? await at(roomId).lrange(parkedKey(roomId), 0, -1) : await resend(at, roomId)
      for (const json of records) {
        const record = parseRecord(json)
        console.log(record ? `${roomId} ${record.count} ${record.key}` : `${roomId} ${json}`)
      }
    }
  } finally {
    nodes.close()
  }
}

function messageOf (error: unknown) {
  return error instanceof Error ? error.message : String(error)
}

try {
  await main()
} catch (error) {
  console.error(messageOf(error))
  process.exitCode = error instanceof UsageError ? 2 : 1
}
