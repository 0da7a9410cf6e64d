import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { freePort } from '../../deploy/local-cluster/managed-process.js'
import { connectRedis } from '../../src/broker/redis-connection.js'
import { oneServer } from '../../src/broker/redis-nodes.js'
import { systemClock } from '../../src/clock.js'
import { BillingWorker } from '../../src/metering/billing-worker.js'
import { RedisLedger } from '../../src/metering/redis-ledger.js'
import { tenantApi } from '../../src/metering/tenant-api.js'
import { eventually } from '../fixtures/eventually.js'
import { connectTenant, recordLog, startRedis } from '../fixtures/redis.js'
import { countMessages, TenantApi } from '../fixtures/tenant-api.js'

const COMMAND = fileURLToPath(new URL('../../dist/src/metering/resend-parked.js', import.meta.url))

/** Runs the command in a folder of its own, with the variables of that folder's .env. */
async function run (t: Test, args: string[], env: Record<string, string>, dotenv = '') {
  const folder = mkdtempSync(join(tmpdir(), 'chat-resend-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  writeFileSync(join(folder, '.env'), dotenv)
  return await new Promise<{ code: number | string, lines: string[], stderr: string }>((resolve) => {
    execFile(process.execPath, [COMMAND, ...args], { cwd: folder, env: { PATH: process.env.PATH, ...env } }, (error, stdout, stderr) => {
      resolve({ code: error?.code ?? 0, lines: stdout.split('\n').filter(Boolean), stderr })
    })
  })
}

t.test('refused records are shown, sent again with their keys, and billed', async (t) => {
  const redis = await startRedis(t, { password: 'secret' })
  const commands = connectTenant(t, redis)
  const tenant = await TenantApi.start(t)
  const { log } = recordLog()
  const connection = connectRedis('commands', { host: '127.0.0.1', port: redis.port, password: 'secret', timeoutMs: 1000 }, log)
  const worker = new BillingWorker({
    ledger: new RedisLedger(oneServer(connection, connection), log),
    bill: tenantApi({ baseUrl: tenant.url, timeoutMs: 1000, clock: systemClock }),
    clock: systemClock,
    log,
    intervalMs: 10
  })
  t.teardown(async () => {
    await worker.close()
    connection.disconnect()
  })
  await eventually('redis is connected', () => connection.status === 'ready')
  worker.start()
  tenant.answer = () => ({ status: 422 })
  const [one, other] = [crypto.randomUUID(), crypto.randomUUID()]
  for (const [n, room] of [one, one, other].entries()) {
    await countMessages(commands, room, n + 1)
    await eventually('it is parked', () => worker.parkedRecords === n + 1)
  }
  const lines = tenant.requests.map(({ sessionId, count, key }) => `${sessionId} ${count} ${key}`)
  const { env } = redis

  const listed = await run(t, ['--list'], env)
  t.match(listed, { code: 0, stderr: '' })
  t.same(listed.lines.sort(), [...lines].sort())
  t.match(await run(t, ['--list', other.toUpperCase()], env), { code: 0, lines: [lines[2]] })
  t.equal(tenant.requests.length, 3, 'listing sends nothing')

  tenant.answer = () => ({ status: 200 })
  await commands.del('chat:billing:rooms')
  t.match(await run(t, [one], {}, Object.entries(env).map(([name, value]) => `${name}=${value}\n`).join('')), { code: 0, lines: lines.slice(0, 2) })
  await eventually('they are billed', () => tenant.total(one) === 3)
  t.same(tenant.requests.slice(3).map(({ key }) => key), tenant.requests.slice(0, 2).map(({ key }) => key))
  t.same(await commands.smembers('chat:billing:parked'), [other])

  t.match(await run(t, [], env), { code: 0, lines: [lines[2]] })
  await eventually('all are billed', () => tenant.total() === 6)
  t.match(await run(t, [], env), { code: 0, lines: [], stderr: '' })
  await eventually('nothing is left', async () => (await commands.keys('chat:*')).sort().join() === 'chat:billing:rooms,chat:billing:worker')
})

t.test('it says what is wrong, in one line and an exit code', async (t) => {
  const redis = await startRedis(t, { password: 'right-secret' })
  const port = await freePort()
  t.match(await run(t, [], { REDIS_IP: '127.0.0.1', REDIS_PORT: String(port) }), { code: 1, lines: [], stderr: `redis is not available at 127.0.0.1:${port}: connect ECONNREFUSED 127.0.0.1:${port}\n` })
  const refused = await run(t, [], { ...redis.env, REDIS_PASSWORD: 'wrong-secret' })
  t.match(refused, { code: 1, lines: [], stderr: /^redis is not available at .*WRONGPASS.*\n$/ })
  t.notMatch(refused.stderr, /secret/)
  t.match(await run(t, [], {}), { code: 1, stderr: /^REDIS_IP is not set/ })
  t.match(await run(t, [], { REDIS_PORT: 'x' }), { code: 1, stderr: /^REDIS_PORT must be integer/ })
  t.match(await run(t, ['--lost'], {}), { code: 2, stderr: /Unknown option '--lost'[\s\S]*usage: node dist/ })
  t.match(await run(t, ['x'], {}), { code: 2, stderr: /^'x' is not a room id\n\nusage: / })
})
