import type { Redis } from 'ioredis'
import { logKey } from '../../src/broker/redis-keys.js'
import { parseEventId } from '../../src/rooms/event-id.js'
import { eventually } from '../fixtures/eventually.js'
import type { TenantApi } from '../fixtures/tenant-api.js'
import type { Findings } from './findings.js'
import type { Room } from './room.js'

const BILLING_TIMEOUT_MS = 60_000

export interface Bill {
  readonly logged: number
  readonly billed: number
  readonly requests: number
}

/** Compares what the logs of all rooms hold, and have held, with what the tenant was billed for. */
export async function checkBilling (redis: Redis, tenant: TenantApi, rooms: readonly Room[], findings: Findings): Promise<Bill> {
  const logged = await Promise.all(rooms.map(async ({ id }) => await loggedIn(redis, id)))
  const total = logged.reduce((sum, count) => sum + count, 0)
  await eventually('all is billed', () => tenant.total() >= total, BILLING_TIMEOUT_MS).catch(() => {})
  for (const [index, room] of rooms.entries()) {
    const billed = tenant.total(room.id)
    if (billed !== logged[index]) findings.violate('billed-wrongly', `${billed} messages of room ${room.index} (${room.id}) are billed, ${logged[index]} logged`)
  }
  return { logged: total, billed: tenant.total(), requests: tenant.requests.length }
}

/** The last entry's id has the number of the last message. */
async function loggedIn (redis: Redis, roomId: string): Promise<number> {
  const [last] = await redis.xrevrange(logKey(roomId), '+', '-', 'COUNT', 1)
  return parseEventId(last?.[0] ?? '')?.n ?? 0
}
