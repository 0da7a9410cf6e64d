import t from 'tap'
import type { Redis } from 'ioredis'
import { build } from '../fixtures/build.js'
import { eventually } from '../fixtures/eventually.js'
import { connectTenant, startRedis } from '../fixtures/redis.js'

const redis = await startRedis(t)
const tenant = connectTenant(t, redis)
const servers = [await build(t, redis.env), await build(t, redis.env)]

interface Place {
  readonly room: string
  readonly term: string
  readonly n: number
}

/** By what it is, what somebody does who knows where a room is. */
const FORGERIES: Record<string, (redis: Redis, place: Place) => Promise<unknown>> = {
  'a batch under a term of the far future': (redis, { room, term, n }) => redis.publish(`chat:{${room}}:batches`, `batch ${term}-${n} 999999999999999-${n + 1} ["forged"]`),
  'a gap to a number of the far future': (redis, { room, term, n }) => redis.publish(`chat:{${room}}:batches`, `gap ${term}-${n} ${term}-999999999999999 {}`),
  'a gap to a term of the far future': (redis, { room, term, n }) => redis.publish(`chat:{${room}}:batches`, `gap ${term}-${n} 999999999999999-${n} {}`),
  'a tail that is none': (redis, { room }) => redis.hset(`chat:{${room}}:owner`, 'tail', 'x'),
  'an empty tail': (redis, { room }) => redis.hset(`chat:{${room}}:owner`, 'tail', ''),
  'a tail of the far future': (redis, { room }) => redis.hset(`chat:{${room}}:owner`, 'tail', '999999999999999-999999999999999'),
  'a tail of the future': (redis, { room }) => redis.hset(`chat:{${room}}:owner`, 'tail', '99999999999999-5'),
  'a term that is none': (redis, { room }) => redis.hset(`chat:{${room}}:owner`, 'term', 'x'),
  'a term of the future': (redis, { room }) => redis.hset(`chat:{${room}}:owner`, 'term', '99999999999999'),
  'a log entry of the future': (redis, { room, term, n }) => redis.xadd(`chat:{${room}}:log`, `99999999999999-${n + 1}`, 'kind', 'batch', 'from', `${term}-${n}`, 'data', '["forged"]'),
  'a log entry with a number of the far future': (redis, { room, term }) => redis.xadd(`chat:{${room}}:log`, `${term}-999999999999999`, 'kind', 'batch', 'from', `${term}-999999999999998`, 'data', '["forged"]')
}

/** Opens a room at both instances; each has its first message. */
async function openRoom () {
  const room = crypto.randomUUID()
  const streams = [await servers[0]?.watch(room), await servers[1]?.watch(room)].flatMap((stream) => stream ?? [])
  await tenant.publish(room, 'first')
  for (const stream of streams) await stream.untilMessages(1)
  await eventually('it is logged', async () => await tenant.hexists(`chat:{${room}}:owner`, 'tail') === 1)
  const [term = '', n = ''] = (await tenant.hget(`chat:{${room}}:owner`, 'tail') ?? '').split('-')
  return { streams, place: { room, term, n: Number(n) } }
}

for (const [what, forge] of Object.entries(FORGERIES)) {
  t.test(`${what} silences nobody for good, and makes nobody ask without a pause`, async (t) => {
    const { streams, place } = await openRoom()
    await tenant.config('RESETSTAT')
    const startedAt = performance.now()
    await forge(tenant, place)
    let n = 0
    for (const stream of streams) {
      await stream.until(() => {
        tenant.publish(place.room, `message ${++n}`)
        return stream.messages.at(-1)?.startsWith('message') === true
      }, 'a message after it')
    }
    // Nothing is missing between two messages unless a gap was said there.
    await tenant.publish(place.room, 'last')
    for (const stream of streams) await stream.until(() => stream.messages.at(-1) === 'last', 'the last message')
    const scripts = Number(/cmdstat_evalsha:calls=(\d+)/.exec(await tenant.info('commandstats'))?.[1])
    const seconds = Math.ceil((performance.now() - startedAt) / 1000)
    t.ok(scripts < n + 200 * seconds, `${scripts} scripts for ${n} messages in ${seconds} s`)
    for (const stream of streams) stream.close()
  })
}
