import t, { type Test } from 'tap'
import { systemClock, type Clock } from '../../src/clock.js'
import { BillingWorker } from '../../src/metering/billing-worker.js'
import { MemoryLedger } from '../../src/metering/memory-ledger.js'
import { tenantApi } from '../../src/metering/tenant-api.js'
import { eventually } from '../fixtures/eventually.js'
import { ManualClock } from '../fixtures/manual-clock.js'
import { recordLog } from '../fixtures/redis.js'
import { TenantApi } from '../fixtures/tenant-api.js'

async function create (t: Test, clock: Clock, intervalMs: number, timeoutMs = 5000) {
  const tenant = await TenantApi.start(t)
  const { log, lines } = recordLog()
  const ledger = new MemoryLedger(log)
  const worker = new BillingWorker({ ledger, bill: tenantApi({ baseUrl: tenant.url, timeoutMs, clock }), clock, log, intervalMs })
  t.teardown(() => worker.close())
  worker.start()
  return { tenant, ledger, worker, lines, lost: () => lines.filter(({ level }) => level === 50) }
}

t.test('counts in memory are gathered per interval, billed, and retried with the same key', async (t) => {
  const clock = new ManualClock()
  const { tenant, ledger, worker } = await create(t, clock, 1000)
  const passUntil = (what: string, condition: () => boolean) => eventually(what, () => {
    clock.advance(100)
    return condition()
  })
  await eventually('it leads', () => worker.leads)
  const room = crypto.randomUUID()
  tenant.answer = () => ({ status: 500 })
  ledger.count(room, 2)
  ledger.count(room, 3)
  await passUntil('it has failed', () => worker.failingRooms === 1)
  ledger.count(room, 4)
  t.equal(ledger.volatileMessages, 9)
  tenant.answer = () => ({ status: 200 })
  await passUntil('all is billed', () => worker.billedMessages === 9)
  t.same(tenant.requests.map(({ count }) => count), [5, 5, 4])
  t.equal(tenant.requests[0]?.key, tenant.requests[1]?.key)
  t.equal(ledger.volatileMessages, 0)
  t.same(await ledger.outstanding(() => false).next(), { value: undefined, done: true }, 'nothing is left of the room')
})

t.test('what is not billed yet when it is closed goes out at once', async (t) => {
  const { tenant, ledger, worker, lost } = await create(t, systemClock, 1_000_000)
  const rooms = Array.from({ length: 100 }, () => crypto.randomUUID())
  for (const room of rooms) ledger.count(room, 3)
  await worker.close()
  t.equal(tenant.total(), 300)
  t.equal(tenant.requests.length, 100)
  t.same(lost(), [])
})

t.test('what is counted while a request is under way goes out too, though the room failed before', async (t) => {
  const { tenant, ledger, worker, lost } = await create(t, systemClock, 10)
  const room = crypto.randomUUID()
  tenant.answer = () => ({ status: 500 })
  ledger.count(room, 1)
  await eventually('it has failed', () => worker.failingRooms === 1)
  tenant.answer = () => {
    if (tenant.requests.length === 2) ledger.count(room, 5)
    return { status: 200 }
  }
  await worker.close()
  t.same(tenant.requests.map(({ count }) => count), [1, 1, 5])
  t.same(lost(), [])
})

t.test('what an outage has held back goes out when it is closed, whatever it waits for', async (t) => {
  const clock = new ManualClock()
  const { tenant, ledger, worker, lines, lost } = await create(t, clock, 1000)
  await eventually('it leads', () => worker.leads)
  tenant.answer = () => ({ status: 429, headers: { 'Retry-After': '1' } })
  ledger.count(crypto.randomUUID(), 3)
  await eventually('it was asked for in vain', () => {
    clock.advance(100)
    return tenant.requests.length > 3
  })
  await eventually('the answer has come', () => lines.length > 0)
  tenant.answer = () => ({ status: 200 })
  await worker.close()
  t.equal(tenant.total(), 3)
  t.same(lost(), [])
})

t.test('a tenant API that is away or silent does not keep it from closing, and what is lost is said', async (t) => {
  for (const trouble of ['away', 'silent']) {
    const { tenant, ledger, worker, lost } = await create(t, systemClock, 1_000_000)
    for (let n = 0; n < 100; n++) ledger.count(crypto.randomUUID(), 2)
    if (trouble === 'away') await tenant.down()
    else tenant.answer = () => new Promise(() => {})
    const start = performance.now()
    await worker.close()
    t.ok(performance.now() - start < 10_000, trouble)
    t.match(lost(), [{ messages: 200, msg: 'messages were not billed, and their count is gone with this process' }])
  }
})

t.test('a refused record is not tried again, and counts as lost in the end', async (t) => {
  const { tenant, ledger, worker, lines, lost } = await create(t, systemClock, 10)
  const room = crypto.randomUUID()
  tenant.answer = ({ count }) => ({ status: count === 1 ? 400 : 200 })
  ledger.count(room, 1)
  await eventually('it is parked', () => worker.parkedRecords === 1)
  ledger.count(room, 2)
  await eventually('the next is billed', () => worker.billedMessages === 2)
  await worker.close()
  t.equal(tenant.requests.length, 2)
  t.match(lines.filter(({ level }) => level === 40), [{ roomId: room, status: 400, count: 1, key: tenant.requests[0]?.key }])
  t.match(lost(), [{ messages: 1 }])
})

t.test('rooms with counts are bounded, which is said once', (t) => {
  const { log, lines } = recordLog()
  const ledger = new MemoryLedger(log)
  for (let n = 0; n < 100_010; n++) ledger.count(String(n), 1)
  ledger.count('0', 1)
  t.match(lines, [{ level: 50, bound: 'MAX_UNBILLED_ROOMS', roomId: '100000' }])
  t.equal(ledger.volatileMessages, 100_011, 'those that can never be billed count as lost')
  t.end()
})
