import { setTimeout as pause } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { ManagedProcess } from '../../deploy/local-cluster/managed-process.js'
import type { RedisServer } from '../../deploy/local-cluster/redis-server.js'
import { eventually } from '../fixtures/eventually.js'
import { connectTenant, startRedis } from '../fixtures/redis.js'
import { countMessages, TenantApi } from '../fixtures/tenant-api.js'

const module = (path: string) => JSON.stringify(new URL(`../../src/${path}.ts`, import.meta.url).href)

/** A worker in a process of its own, with nothing around it. */
const WORKER = `
  import { connectRedis } from ${module('broker/redis-connection')}
  import { oneServer } from ${module('broker/redis-nodes')}
  import { systemClock as clock } from ${module('clock')}
  import { BillingWorker } from ${module('metering/billing-worker')}
  import { RedisLedger } from ${module('metering/redis-ledger')}
  import { tenantApi } from ${module('metering/tenant-api')}
  const write = (bindings, msg) => console.log(JSON.stringify({ msg, ...bindings }))
  const log = { debug () {}, info: write, warn: write, error: write }
  const commands = connectRedis('commands', { host: '127.0.0.1', port: Number(process.env.REDIS_PORT), password: '', timeoutMs: 1000 }, log)
  const ledger = new RedisLedger(oneServer(commands, commands), log)
  const bill = tenantApi({ baseUrl: process.env.TENANT_BASE_URL, timeoutMs: 60_000, clock })
  const worker = new BillingWorker({ ledger, bill, clock, log, intervalMs: 100 })
  commands.once('ready', () => worker.start())
  process.once('SIGTERM', async () => {
    await worker.close()
    process.exit(0)
  })
  setInterval(() => {}, 1000)
`

async function startWorker (t: Test, redis: RedisServer, tenant: TenantApi) {
  let isConnected = false
  const worker = await ManagedProcess.start({
    command: process.execPath,
    args: ['--import', 'tsx', '--input-type=module', '--eval', WORKER],
    env: { ...redis.env, TENANT_BASE_URL: tenant.url },
    isReady: async () => isConnected,
    onOutput: (text) => { isConnected ||= text.includes('redis connected') }
  })
  t.teardown(() => worker.stop('SIGKILL'))
  return worker
}

async function create (t: Test) {
  const redis = await startRedis(t, { args: ['--appendonly', 'yes', '--appendfsync', 'always'] })
  return { redis, commands: connectTenant(t, redis), tenant: await TenantApi.start(t) }
}

t.test('when a worker is killed after the tenant has billed a record, another sends it with the same key and count', async (t) => {
  const { redis, commands, tenant } = await create(t)
  const killed = await startWorker(t, redis, tenant)
  await eventually('it leads', async () => await commands.exists('chat:billing:worker') === 1)
  const room = crypto.randomUUID()
  tenant.answer = () => 'nothing'
  await countMessages(commands, room, 5)
  await eventually('the tenant has the record', () => tenant.requests.length === 1)
  const other = await startWorker(t, redis, tenant)
  await countMessages(commands, room, 7)
  await killed.stop('SIGKILL')
  tenant.answer = () => ({ status: 200 })
  await eventually('all is billed', () => tenant.total(room) === 12)
  t.same(tenant.requests.map(({ count }) => count), [5, 5, 7])
  t.equal(tenant.requests[0]?.key, tenant.requests[1]?.key)
  await eventually('nothing is left', async () => await commands.exists(`chat:{${room}}:outbox`, `chat:{${room}}:unbilled`) === 0)
  t.notMatch(other.output, /billing/)
})

t.test('workers that are killed and stopped all the time lose and double nothing', async (t) => {
  const { redis, commands, tenant } = await create(t)
  const rooms = Array.from({ length: 10 }, () => crypto.randomUUID())
  tenant.answer = async () => {
    await pause(Math.random() * 20)
    return { status: Math.random() < 0.1 ? 500 : 200 }
  }
  let messages = 0
  for (const signal of ['SIGKILL', 'SIGTERM', 'SIGKILL', 'SIGTERM'] as const) {
    const worker = await startWorker(t, redis, tenant)
    // The lead of one that was killed need not run out here.
    await commands.del('chat:billing:worker')
    const before = tenant.requests.length
    await eventually('it is in the middle of it', async () => {
      messages++
      await Promise.all(rooms.map((room) => countMessages(commands, room, 1)))
      return tenant.requests.length > before + 30
    })
    await worker.stop(signal)
  }
  await startWorker(t, redis, tenant)
  await eventually('all is billed', () => tenant.total() === messages * rooms.length)
  await eventually('nothing is left', async () => (await commands.keys('chat:{*')).length === 0)
  t.ok(rooms.every((room) => tenant.total(room) === messages))
})

t.test('when Redis is killed and restarted with its data nothing is lost or doubled', async (t) => {
  const { redis, commands, tenant } = await create(t)
  const worker = await startWorker(t, redis, tenant)
  const room = crypto.randomUUID()
  await eventually('it leads', async () => await commands.exists('chat:billing:worker') === 1)
  let release: (() => void) | undefined
  const released = new Promise<void>((resolve) => { release = resolve })
  tenant.answer = async () => {
    await released
    return { status: 200 }
  }
  await countMessages(commands, room, 5)
  await eventually('the tenant has the record', () => tenant.requests.length === 1)
  await countMessages(commands, room, 7)
  await redis.kill()
  release?.()
  await eventually('the tenant has billed it', () => tenant.total(room) === 5)
  await redis.restart()
  await eventually('all is billed', () => tenant.total(room) === 12)
  t.equal(new Set(tenant.requests.map(({ key }) => key)).size, 2)
  await eventually('nothing is left', async () => await commands.exists(`chat:{${room}}:outbox`, `chat:{${room}}:unbilled`) === 0)
  t.equal(worker.output.match(/redis is not available/g)?.length, 1)
  t.notMatch(worker.output, /refuses/)
})
