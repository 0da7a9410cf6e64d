import { parseArgs } from 'node:util'
import Fastify from 'fastify'
import { Redis, type Result } from 'ioredis'
import env from '../../plugins/env.js'
import { connectionOptions } from '../broker/redis-connection.js'
import { redisSettings } from '../broker/redis-settings.js'
import { luaScript } from '../lua.js'
import { UUID } from './ledger.js'
import { INDEX_KEY, outboxKey, PARKED_ROOMS_KEY, parkedKey, parseRecord } from './redis-ledger.js'

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
  if ('clusterNodes' in settings) throw new Error('TODO')
  const redis = new Redis({ ...connectionOptions(settings), lazyConnect: true, retryStrategy: () => null, sentinelRetryStrategy: () => null })
  let reason: string | undefined
  redis.on('error', (error: Error) => { reason ??= error.message })
  redis.defineCommand('billUnpark', { lua: luaScript('bill-unpark'), numberOfKeys: 2 })
  try {
    await redis.connect()
    await redis.ping()
  } catch (error) {
    redis.disconnect()
    throw new Error(`redis is not available${'host' in settings ? ` at ${settings.host}:${settings.port}` : ''}: ${reason ?? messageOf(error)}`)
  }
  return redis
}

async function resend (redis: Redis, roomId: string) {
  // Announced before, as whoever counts does: a room with a record is in the index.
  await redis.zadd(INDEX_KEY, Date.now(), roomId)
  const records = await redis.billUnpark(parkedKey(roomId), outboxKey(roomId))
  await redis.srem(PARKED_ROOMS_KEY, roomId)
  // Another one may have been parked meanwhile.
  if (await redis.exists(parkedKey(roomId)) === 1) await redis.sadd(PARKED_ROOMS_KEY, roomId)
  return records
}

async function main () {
  const { list, roomIds } = parseCommandLine()
  const redis = await connect()
  try {
    for (const roomId of roomIds.length > 0 ? roomIds : await redis.smembers(PARKED_ROOMS_KEY)) {
      const records = list ? await redis.lrange(parkedKey(roomId), 0, -1) : await resend(redis, roomId)
      for (const json of records) {
        const record = parseRecord(json)
        console.log(record ? `${roomId} ${record.count} ${record.key}` : `${roomId} ${json}`)
      }
    }
  } finally {
    redis.disconnect()
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
