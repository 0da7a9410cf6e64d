import t from 'tap'
import { systemClock } from '../../src/clock.js'
import { tenantApi } from '../../src/metering/tenant-api.js'
import { ManualClock } from '../fixtures/manual-clock.js'
import { TenantApi } from '../fixtures/tenant-api.js'

const record = () => ({ roomId: crypto.randomUUID(), key: crypto.randomUUID(), count: 7 })
const connect = (baseUrl: string, timeoutMs = 5000) => tenantApi({ baseUrl, timeoutMs, clock: systemClock })

t.test('a record is posted as JSON with its key, to a path below the base URL', async (t) => {
  const tenant = await TenantApi.start(t)
  for (const [suffix, path] of [['', ''], ['/', ''], ['/tenants/a', '/tenants/a'], ['/tenants/a//', '/tenants/a']]) {
    const sent = record()
    t.same(await connect(`${tenant.url}${suffix}`)(sent), { result: 'billed' })
    t.match(tenant.requests.at(-1), {
      path: `POST ${path}/api/v1/billings`,
      headers: { 'content-type': 'application/json', 'idempotency-key': sent.key, authorization: undefined },
      sessionId: sent.roomId,
      count: 7
    })
  }
})

t.test('a user and password in the base URL are sent as Basic authorization', async (t) => {
  const tenant = await TenantApi.start(t)
  t.same(await connect(tenant.url.replace('//', '//user:p%40ss@'))(record()), { result: 'billed' })
  t.equal(tenant.requests[0]?.headers.authorization, `Basic ${Buffer.from('user:p@ss').toString('base64')}`)
})

t.test('neither an error nor a reason tells the password of the base URL', async (t) => {
  for (const url of ['http://user:secret@:x', 'http://user:secret%zz@127.0.0.1']) {
    t.throws(() => connect(url), { message: 'TENANT_BASE_URL is not a URL', cause: undefined })
  }
  const outcome = await connect('http://user:secret@127.0.0.1:1')(record())
  t.equal(outcome.result, 'failed')
  t.notMatch(JSON.stringify(outcome), /secret/)
})

t.test('every success bills, what passes is tried again, every other refusal is for good', async (t) => {
  const tenant = await TenantApi.start(t)
  const bill = connect(tenant.url)
  for (const [result, statuses] of Object.entries({
    billed: [200, 201, 202, 204],
    failed: [301, 302, 307, 308, 408, 409, 425, 429, 500, 502, 503, 504],
    refused: [400, 401, 403, 404, 410, 413, 422]
  })) {
    for (const status of statuses) {
      tenant.answer = () => ({ status, headers: { Location: '/elsewhere' } })
      t.equal((await bill(record())).result, result, String(status))
    }
  }
  t.ok(tenant.requests.every(({ path }) => path === 'POST /api/v1/billings'), 'no redirection is followed')
})

t.test('no answer in time, no connection and a broken connection fail with a reason', async (t) => {
  const tenant = await TenantApi.start(t)
  tenant.answer = () => 'nothing'
  t.same(await connect(tenant.url, 100)(record()), { result: 'failed', reason: 'TimeoutError' })
  tenant.answer = async () => {
    await tenant.down()
    return { status: 500 }
  }
  t.same(await connect(tenant.url)(record()), { result: 'failed', reason: 'UND_ERR_SOCKET' })
  t.same(await connect(tenant.url)(record()), { result: 'failed', reason: 'ECONNREFUSED' })
})

t.test('an answer of any length is not kept, and the status counts even when the body stays away or breaks off', async (t) => {
  const tenant = await TenantApi.start(t)
  const bill = connect(tenant.url, 2000)
  tenant.answer = () => ({ status: 200, body: 'x'.repeat(10_000_000) })
  t.same(await bill(record()), { result: 'billed' })
  const broken = { 'Content-Length': '10' }
  for (const headers of [broken, { ...broken, Connection: 'close' }]) {
    tenant.answer = () => ({ status: 200, headers, body: 'x' })
    t.same(await bill(record()), { result: 'billed' })
  }
})

t.test('Retry-After is honoured in seconds and as a date, with 429 and 503, up to an hour', async (t) => {
  const tenant = await TenantApi.start(t)
  const clock = new ManualClock(Date.UTC(2026, 0, 1))
  const bill = tenantApi({ baseUrl: tenant.url, timeoutMs: 5000, clock })
  for (const [status, value, retryAfterMs] of [
    [429, '120', 120_000],
    [503, '1', 1000],
    [429, '0', 0],
    [429, '86400', 3_600_000],
    [429, 'Thu, 01 Jan 2026 00:00:30 GMT', 30_000],
    [429, 'Wed, 31 Dec 2025 23:59:30 GMT', 0],
    [429, 'soon', undefined],
    [500, '120', undefined]
  ] as const) {
    tenant.answer = () => ({ status, headers: { 'Retry-After': value } })
    t.same(await bill(record()), { result: 'failed', reason: `HTTP ${status}`, ...(retryAfterMs === undefined ? {} : { retryAfterMs }) }, `${status} ${value}`)
  }
})
