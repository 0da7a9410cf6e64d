import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { aclOfRunbook, commandsSent, refusals } from '../fixtures/acl.js'
import { build } from '../fixtures/build.js'
import { eventually } from '../fixtures/eventually.js'
import { connectTenant, startRedis } from '../fixtures/redis.js'
import { startCluster } from '../fixtures/redis-cluster.js'
import { TenantApi } from '../fixtures/tenant-api.js'

const RESEND = fileURLToPath(new URL('../../dist/src/metering/resend-parked.js', import.meta.url))
const PUBLISH = readFileSync(new URL('../../src/lua/publish.lua', import.meta.url), 'utf8')

const users = aclOfRunbook()

async function start (t: Test) {
  const redis = await startRedis(t, { password: 'secret' })
  const admin = connectTenant(t, redis)
  await users.create(admin)
  const tenant = redis.connect({ username: 'tenant', password: users.passwordOf('tenant'), enableReadyCheck: false, disableClientInfo: true })
  t.teardown(() => tenant.disconnect())
  await eventually('the tenant is connected', () => tenant.status === 'ready')
  await admin.config('RESETSTAT')
  return { admin, tenant, env: { ...redis.env, REDIS_USERNAME: 'chat', REDIS_PASSWORD: users.passwordOf('chat') } }
}

t.test('a tenant of the runbook may publish, by each way there is, and nothing else', async (t) => {
  const { admin, tenant } = await start(t)
  const room = crypto.randomUUID()
  const [pending, ended] = [`chat:{${room}}:pending`, `chat:{${room}}:ended`]
  t.equal(await tenant.publish(room, 'plain'), 0)
  t.equal(await tenant.publish(`${room}_END`, '{}'), 0)
  t.equal(await tenant.eval(PUBLISH, 2, pending, ended, room, 'parked'), 0)
  t.equal(await tenant.evalsha(String(await tenant.script('LOAD', PUBLISH)), 2, pending, ended, room, 'parked'), 0)
  t.same(await commandsSent(admin), users.allowedTo('tenant'), 'nothing is allowed that is not needed')
  t.same(await refusals(admin), [])
  for (const attempt of [
    () => tenant.publish(`chat:{${room}}:signals`, 'released x 1'),
    () => tenant.publish('news', 'x'),
    () => tenant.get(ended),
    () => tenant.eval("return redis.call('DEL', KEYS[1])", 1, ended),
    () => tenant.eval(PUBLISH, 2, `chat:{${room}}:log`, ended, room, 'x')
  ]) await t.rejects(attempt(), { message: /NOPERM|can't run this command/ })
})

t.test('an instance of the runbook may do all that it does, and nothing else', async (t) => {
  const { admin, tenant, env } = await start(t)
  const api = await TenantApi.start(t)
  const park = (room: string, message: string) => tenant.eval(PUBLISH, 2, `chat:{${room}}:pending`, `chat:{${room}}:ended`, room, message)
  const settings = { ...env, TENANT_BASE_URL: api.url, BILLING_INTERVAL_MS: '100', VIEWER_COUNTS: 'on', MAX_MESSAGE_BYTES: '100', LEASE_MS: '3000', PUBLISH_API_KEYS: 'key', HANDOVER_MS: '5000' }
  const [room, refused] = [crypto.randomUUID(), crypto.randomUUID()]

  t.equal(await park(room, 'parked'), 0)
  await park(room, 'x'.repeat(101))
  const one = await build(t, settings)
  const first = await one.watch(room, '?recent=1')
  await first.untilMessages(1)
  const other = await build(t, settings)
  const second = await other.watch(room, '?recent=1')
  t.equal(await tenant.publish(room, 'plain'), 2)
  t.equal(await park(room, 'by the script'), 2)
  await first.untilMessages(3)
  t.same(await second.untilMessages(3), ['parked', 'plain', 'by the script'])
  await first.until(() => first.named('viewers').some(({ data }) => data === '{"count":2}'), 'the number of viewers')
  const state = await fetch(`${other.url}/api/v1/chats/${room}`, { headers: { Authorization: 'Bearer key' } })
  t.match(await state.json(), { viewers: 2, ended: false })

  t.equal((await fetch(`${one.url}/api/v1/chats/${crypto.randomUUID()}/messages`, { method: 'POST', headers: { Authorization: 'Bearer key', 'Content-Type': 'application/json' }, body: '{}' })).status, 202)
  await one.app.close()
  await tenant.publish(room, 'to the next owner')
  t.same(await second.untilMessages(4), ['parked', 'plain', 'by the script', 'to the next owner'])
  t.same([...first.named('gap'), ...second.named('gap')], [])
  await eventually('all is billed', () => api.total(room) === 4)

  // What others put under the keys of the server is set right.
  await admin.set('chat:billing:rooms', 'no index')
  await eventually('the index is made anew', async () => await admin.type('chat:billing:rooms') !== 'string')
  await admin.set(`chat:{${room}}:unbilled`, 'no count')
  await tenant.publish(room, 'to be counted')
  await second.untilMessages(5)
  await eventually('it is billed', () => api.total(room) === 5)
  api.answer = () => ({ status: 422 })
  const third = await other.watch(refused)
  await tenant.publish(refused, 'refused')
  await third.untilMessages(1)
  await eventually('the record is parked', () => (other.app.billing?.parkedRecords ?? 0) === 1)
  await other.app.billing?.backlog()
  api.answer = () => ({ status: 200 })
  await promisify(execFile)(process.execPath, [RESEND], { env: { PATH: process.env.PATH, ...env } })
  await eventually('it is billed', () => api.total(refused) === 1)

  await tenant.publish(`${room}_END`, '{}')
  await second.untilClosed()
  t.equal(second.named('end').length, 1)
  const end = await fetch(`${other.url}/api/v1/chats/${refused}/end`, { method: 'POST', headers: { Authorization: 'Bearer key', 'Content-Type': 'application/json' }, body: '{}' })
  t.equal(end.status, 202)
  await third.untilClosed()
  t.equal(await park(refused, 'too late'), -1)
  await other.app.close()

  t.same(await refusals(admin), [], 'nothing was refused')
  t.same(await commandsSent(admin), users.allowedTo('chat'), 'nothing is allowed that is not needed')
})

t.test('in a cluster an instance may do all that it does with what the runbook adds, and nothing else', async (t) => {
  const { masters, roomAt, env } = await startCluster(t)
  const users = aclOfRunbook({ inCluster: true })
  for (const { admin } of masters) {
    await users.create(admin)
    await admin.config('RESETSTAT')
  }
  const api = await TenantApi.start(t)
  const settings = { ...env, REDIS_USERNAME: 'chat', REDIS_PASSWORD: users.passwordOf('chat'), TENANT_BASE_URL: api.url, BILLING_INTERVAL_MS: '100', VIEWER_COUNTS: 'on', PUBLISH_API_KEYS: 'key', HANDOVER_MS: '5000' }
  const [one, other] = [await build(t, settings), await build(t, settings)]
  const rooms = masters.map(roomAt)
  api.answer = () => ({ status: 422 })
  for (const room of rooms) {
    const [first, second] = [await one.watch(room), await other.watch(room)]
    await first.until(() => first.named('viewers').some(({ data }) => data === '{"count":2}'), 'the number of viewers')
    const said = await fetch(`${one.url}/api/v1/chats/${room}/messages`, { method: 'POST', headers: { Authorization: 'Bearer key', 'Content-Type': 'application/json' }, body: '{}' })
    t.equal(said.status, 202)
    for (const stream of [first, second]) t.same(await stream.untilMessages(1), ['{}'])
  }
  await eventually('the records are parked', () => [one, other].reduce((sum, { app }) => sum + (app.billing?.parkedRecords ?? 0), 0) === rooms.length)
  await one.app.close()
  api.answer = () => ({ status: 200 })
  await promisify(execFile)(process.execPath, [RESEND], { env: { PATH: process.env.PATH, ...env, REDIS_USERNAME: 'chat', REDIS_PASSWORD: users.passwordOf('chat') } })
  await eventually('they are sent again and billed', () => api.total() === rooms.length)
  await other.app.close()
  const sent = new Set((await Promise.all(masters.map(({ admin }) => commandsSent(admin)))).flat())
  t.same([...sent].filter((command) => !users.allowedTo('chat').includes(command)), [])
  const added = users.allowedTo('chat').filter((command) => !aclOfRunbook().allowedTo('chat').includes(command))
  t.same(added.filter((command) => !sent.has(command)), [], 'nothing is added that is not needed')
  for (const { admin } of masters) t.same(await refusals(admin), [])
})
