import Fastify from 'fastify'
import t, { type Test } from 'tap'
import env from '../../plugins/env.js'
import metering from '../../plugins/metering.js'
import redisPlugin from '../../plugins/redis.js'
import { MemoryLedger } from '../../src/metering/memory-ledger.js'
import { RedisLedger } from '../../src/metering/redis-ledger.js'
import type { LogLine } from '../fixtures/build.js'
import { eventually } from '../fixtures/eventually.js'
import { connectTenant, startRedis } from '../fixtures/redis.js'
import { countMessages, TenantApi } from '../fixtures/tenant-api.js'

async function load (t: Test, variables: Record<string, string>) {
  const log: LogLine[] = []
  const app = Fastify({ logger: { stream: { write: (line: string) => { log.push(JSON.parse(line)) } } } })
  t.teardown(() => app.close())
  await app.register(env, { env: variables })
  await app.register(redisPlugin)
  await app.register(metering)
  return { app, log }
}

t.test('without TENANT_BASE_URL nothing is billed, which is said once', async (t) => {
  const { app, log } = await load(t, {})
  await app.ready()
  t.equal(app.ledger, undefined)
  t.match(log, [{ level: 30, msg: 'no TENANT_BASE_URL: nothing is billed' }])
})

t.test('without Redis it bills from memory, the last count when it is closed after those who count', async (t) => {
  const tenant = await TenantApi.start(t)
  const { app } = await load(t, { TENANT_BASE_URL: tenant.url, BILLING_INTERVAL_MS: '100' })
  const { ledger } = app
  if (!(ledger instanceof MemoryLedger)) throw new Error('another ledger')
  const room = crypto.randomUUID()
  app.addHook('onClose', async () => ledger.count(room, 4))
  await app.ready()
  ledger.count(room, 3)
  await eventually('it is billed', () => tenant.total(room) === 3)
  await app.close()
  t.equal(tenant.total(room), 7)
})

t.test('with Redis it bills what is counted there, and resigns when it is closed', async (t) => {
  const redis = await startRedis(t)
  const commands = connectTenant(t, redis)
  const tenant = await TenantApi.start(t)
  const { app } = await load(t, { ...redis.env, TENANT_BASE_URL: `${tenant.url}/`, BILLING_INTERVAL_MS: '100' })
  t.ok(app.ledger instanceof RedisLedger)
  await app.ready()
  const room = crypto.randomUUID()
  await countMessages(commands, room, 3)
  await eventually('it is billed', () => tenant.total(room) === 3)
  await app.close()
  t.equal(await commands.exists('chat:billing:worker'), 0)
})

t.test('a base URL that is none stops the start without being told', async (t) => {
  await t.rejects(load(t, { TENANT_BASE_URL: 'http://user:secret@:x' }), { message: 'TENANT_BASE_URL is not a URL' })
})
