import { setTimeout as pause } from 'node:timers/promises'
import type { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import { connectRedis } from '../../src/broker/redis-connection.js'
import { oneServer } from '../../src/broker/redis-nodes.js'
import { systemClock, type Clock } from '../../src/clock.js'
import { luaScript } from '../../src/lua.js'
import { BillingWorker } from '../../src/metering/billing-worker.js'
import { RedisLedger } from '../../src/metering/redis-ledger.js'
import { tenantApi } from '../../src/metering/tenant-api.js'
import { eventually } from '../fixtures/eventually.js'
import { ManualClock } from '../fixtures/manual-clock.js'
import { connectTenant, recordLog, startRedis } from '../fixtures/redis.js'
import { countMessages, TenantApi } from '../fixtures/tenant-api.js'

const INTERVAL_MS = 1000

async function startWorker (t: Test, clock: Clock, port: number, tenant: TenantApi, timeoutMs = 5000) {
  const { log, lines } = recordLog()
  const commands = connectRedis('commands', { host: '127.0.0.1', port, password: '', timeoutMs: 1000 }, log)
  await eventually('redis is connected', () => commands.status === 'ready')
  const ledger = new RedisLedger(oneServer(commands, commands), log)
  const bill = tenantApi({ baseUrl: tenant.url, timeoutMs, clock })
  const worker = new BillingWorker({ ledger, bill, clock, log, intervalMs: INTERVAL_MS })
  t.teardown(async () => {
    // Nothing is under way any more when a test ends, or nobody minds.
    worker.close()
    commands.disconnect()
  })
  worker.start()
  return { worker, commands, lines, said: (sentence: string) => lines.filter(({ msg }) => msg === sentence) }
}

/** A Redis, a tenant and a worker whose time passes only by `pass` and `passUntil`. */
async function create (t: Test, timeoutMs?: number) {
  const redis = await startRedis(t)
  const commands = connectTenant(t, redis)
  const tenant = await TenantApi.start(t)
  const clock = new ManualClock(Date.now())
  const { worker, commands: connection, said, lines } = await startWorker(t, clock, redis.port, tenant, timeoutMs)
  await eventually('the worker leads', () => worker.leads)
  return {
    redis,
    commands,
    tenant,
    clock,
    worker,
    said,
    lines,
    count: (roomId: string, messages: number) => countMessages(commands, roomId, messages),
    /** So slowly that what is due happens meanwhile. Redis answers in each step what it was asked before, so time does not run away from it. */
    async pass (ms: number, stepMs = 500) {
      for (let passed = 0; passed < ms; passed += stepMs) {
        clock.advance(stepMs)
        await pause(5)
        await connection.ping()
      }
    },
    passUntil: (what: string, condition: () => boolean | Promise<boolean>) => eventually(what, async () => {
      clock.advance(100)
      await connection.ping()
      return await condition()
    }),
    keys: async (roomId: string) => (await commands.keys(`chat:{${roomId}}:*`)).map((key) => key.split(':')[2]).sort()
  }
}

t.test('what is counted within an interval goes out as one request, and leaves nothing behind', async (t) => {
  const { tenant, clock, count, passUntil, keys, worker } = await create(t)
  const room = crypto.randomUUID()
  for (const messages of [1, 20, 300]) await count(room, messages)
  clock.advance(INTERVAL_MS - 1)
  await pause(50)
  t.equal(tenant.requests.length, 0, 'not before the interval has passed')
  await passUntil('it is billed', () => worker.billedMessages === 321)
  t.equal(tenant.requests.length, 1)
  t.match(tenant.requests[0], { sessionId: room, count: 321 })
  t.same(await keys(room), [])
})

t.test('a room has one request per interval, and sums are exact', async (t) => {
  const { tenant, clock, count, worker } = await create(t)
  const rooms = Array.from({ length: 20 }, () => crypto.randomUUID())
  for (let round = 1; round <= 5; round++) {
    await Promise.all(rooms.flatMap((room, n) => [count(room, n + 1), count(room, round)]))
    clock.advance(INTERVAL_MS)
    const expected = 20 * 21 / 2 * round + 20 * (round * (round + 1) / 2)
    await eventually('all is billed', () => worker.billedMessages === expected)
    t.equal(tenant.requests.length, 20 * round)
    // The next round is scheduled when this one has ended.
    await eventually('the round has ended', () => clock.timers === 2)
  }
  t.equal(new Set(tenant.requests.map(({ key }) => key)).size, 100)
})

for (const [trouble, begin] of Object.entries<(tenant: TenantApi) => unknown>({
  'a 500': (tenant) => { tenant.answer = () => ({ status: 500 }) },
  'no answer in time': (tenant) => { tenant.answer = () => 'nothing' },
  'a refused connection': (tenant) => tenant.down()
})) {
  t.test(`after ${trouble} the same record is sent again with the same key, and what was counted meanwhile in another`, async (t) => {
    const { tenant, count, passUntil, worker } = await create(t, trouble === 'no answer in time' ? 500 : 5000)
    const room = crypto.randomUUID()
    await count(room, 5)
    await begin(tenant)
    await passUntil('it has failed', () => worker.failingRooms === 1)
    await count(room, 7)
    tenant.answer = () => ({ status: 200 })
    await tenant.up()
    await passUntil('all is billed', () => worker.billedMessages === 12)
    t.equal(tenant.total(room), 12)
    t.same([...new Map(tenant.requests.map(({ key, count }) => [key, count])).values()], [5, 7])
  })
}

t.test('a 429 with Retry-After keeps all rooms back for that time', async (t) => {
  const { tenant, count, pass, passUntil, worker } = await create(t)
  await count(crypto.randomUUID(), 1)
  tenant.answer = () => ({ status: 429, headers: { 'Retry-After': '120' } })
  await passUntil('it was told to wait', () => worker.failingRooms === 1)
  tenant.answer = () => ({ status: 200 })
  await count(crypto.randomUUID(), 2)
  await pass(118_000)
  t.equal(tenant.requests.length, 1)
  await passUntil('all is billed', () => worker.billedMessages === 3)
})

t.test('a refused record is parked and said once, its room and others go on', async (t) => {
  const { tenant, commands, count, passUntil, pass, worker, said, keys } = await create(t)
  const [bad, good] = [crypto.randomUUID(), crypto.randomUUID()]
  tenant.answer = ({ sessionId, count }) => ({ status: sessionId === bad && count === 5 ? 400 : 200 })
  await Promise.all([count(bad, 5), count(good, 1)])
  await passUntil('it is parked', () => worker.parkedRecords === 1 && worker.billedMessages === 1)
  await Promise.all([count(bad, 6), count(good, 2)])
  await passUntil('the rest is billed', () => worker.billedMessages === 9)
  await pass(10_000)
  const [refused, ...others] = tenant.requestsOf(bad)
  t.same(others.map(({ count }) => count), [6])
  t.same(await keys(bad), ['parked'])
  t.same(await commands.lrange(`chat:{${bad}}:parked`, 0, -1), [JSON.stringify({ key: refused?.key, count: 5 })])
  t.same(await commands.smembers('chat:billing:parked'), [bad])
  t.same(said('the tenant API refuses a record, it is parked'), [{ level: 40, msg: 'the tenant API refuses a record, it is parked', roomId: bad, status: 400, count: 5, key: refused?.key }])
})

t.test('an hour without the tenant API loses and doubles nothing, costs few requests, and is said in two lines', async (t) => {
  const { tenant, count, pass, passUntil, worker, said, keys } = await create(t)
  const rooms = Array.from({ length: 50 }, () => crypto.randomUUID())
  await Promise.all(rooms.map((room) => count(room, 10)))
  tenant.answer = () => ({ status: 503 })
  await passUntil('it is unavailable', () => said('the tenant API is not available, retrying').length === 1)
  const during = tenant.requests.length
  for (let minute = 0; minute < 60; minute += 6) {
    await Promise.all(rooms.map((room) => count(room, 1)))
    await pass(360_000, 3000)
  }
  t.ok(tenant.requests.length - during <= 70, `${tenant.requests.length - during} requests in an hour`)
  t.ok((await Promise.all(rooms.map(keys))).every((names) => names.length <= 2), 'what waits is one record and one number')
  tenant.answer = () => ({ status: 200 })
  await passUntil('all is billed', () => worker.billedMessages === 50 * 20)
  await passUntil('the end is said', () => said('the tenant API is available again').length === 1)
  t.ok(rooms.every((room) => tenant.total(room) === 20))
  t.match(said('the tenant API is not available, retrying'), [{ level: 40, reason: 'HTTP 503' }])
  t.match(said('the tenant API is available again'), [{ level: 30, billedLate: 50 * 20 }])
})

t.test('while the tenant API is away one request at a time asks for it', async (t) => {
  const { tenant, count, passUntil, said } = await create(t)
  await Promise.all(Array.from({ length: 100 }, () => count(crypto.randomUUID(), 1)))
  tenant.answer = () => ({ status: 500 })
  await passUntil('it is unavailable', () => said('the tenant API is not available, retrying').length === 1)
  t.ok(tenant.requests.length <= 18, 'what was under way, no more')
  tenant.maxConcurrency = 0
  const before = tenant.requests.length
  await passUntil('it was asked for', () => tenant.requests.length >= before + 4)
  t.equal(tenant.maxConcurrency, 1)
})

t.test('a rate limit starves no room', async (t) => {
  const { tenant, count, clock } = await create(t)
  const rooms = Array.from({ length: 60 }, () => crypto.randomUUID())
  let allowed = 20
  tenant.answer = () => allowed-- > 0 ? { status: 200 } : { status: 429, headers: { 'Retry-After': '10' } }
  const refill = setInterval(() => { allowed = 20 }, 100)
  t.teardown(() => clearInterval(refill))
  await eventually('every room was billed', async () => {
    await Promise.all(rooms.map((room) => count(room, 1)))
    clock.advance(200)
    return rooms.every((room) => tenant.total(room) > 0)
  })
})

t.test('2,000 rooms are billed, sixteen at a time', async (t) => {
  const { tenant, commands, clock, worker, keys } = await create(t)
  tenant.answer = async () => {
    await pause(2)
    return { status: 200 }
  }
  const rooms = Array.from({ length: 2000 }, () => crypto.randomUUID())
  await Promise.all(rooms.map((room, n) => countMessages(commands, room, n % 9 + 1)))
  const expected = rooms.reduce((sum, _, n) => sum + n % 9 + 1, 0)
  await commands.config('RESETSTAT')
  clock.advance(INTERVAL_MS)
  await eventually('all is billed', () => worker.billedMessages === expected)
  t.equal(tenant.requests.length, 2000)
  t.equal(tenant.total(), expected)
  t.equal(tenant.maxConcurrency, 16)
  t.match(await commands.info('commandstats'), /cmdstat_zscan:calls=\d\d?,/, 'rooms are looked at by the hundreds')
  t.same(await keys(rooms[0] ?? ''), [])
})

t.test('broken keys are said once per room, left alone, and keep nobody back; what is no room is said and leaves the index', async (t) => {
  const { tenant, commands, count, passUntil, pass, worker, said } = await create(t)
  const rooms = Array.from({ length: 9 }, () => crypto.randomUUID())
  const key = crypto.randomUUID()
  const outboxes = ['not JSON', 'null', '[]', '{"key":"\\n","count":1}', `{"key":"${key}","count":"1"}`, `{"key":"${key}","count":-1}`]
  for (const [n, json] of outboxes.entries()) await commands.rpush(`chat:{${rooms[n]}}:outbox`, json)
  await commands.set(`chat:{${rooms[6]}}:outbox`, 'a string')
  await commands.hset(`chat:{${rooms[7]}}:unbilled`, 'a', 'hash')
  await commands.set(`chat:{${rooms[8]}}:unbilled`, '-1')
  for (const member of [...rooms, 'no room', '']) await commands.zadd('chat:billing:rooms', Date.now(), member)
  await count(crypto.randomUUID(), 3)
  await passUntil('the sound room is billed', () => worker.billedMessages === 3)
  await count(crypto.randomUUID(), 4)
  await passUntil('another sound room is billed', () => worker.billedMessages === 7)
  await pass(5000)
  t.same(said('a room cannot be billed, its keys in redis are broken').map(({ roomId }) => roomId).sort(), [...rooms].sort())
  t.match(said('the index of the billing held what is no room, it is taken out'), [{ members: 2 }])
  t.equal(await commands.zscore('chat:billing:rooms', 'no room'), null)
  t.equal(tenant.requests.length, 2)
  t.equal(await commands.lindex(`chat:{${rooms[0]}}:outbox`, 0), 'not JSON')
})

t.test('an index of another type is made anew from what there is to bill', async (t) => {
  const { tenant, commands, count, passUntil, worker, said } = await create(t)
  const rooms = Array.from({ length: 20 }, () => crypto.randomUUID())
  await commands.set('chat:billing:rooms', 'a string')
  for (const room of rooms.slice(1)) await commands.incrby(`chat:{${room}}:unbilled`, 2)
  await commands.rpush(`chat:{${rooms[0]}}:outbox`, `{"key":"${crypto.randomUUID()}","count":5}`)
  const announced = crypto.randomUUID()
  await commands.hset(`chat:{${announced}}:owner`, 'instance', 'x', 'term', '1')
  await passUntil('all is billed', () => worker.billedMessages === 43)
  t.match(said('a key in redis was of another type, it is made anew'), [{ level: 50, key: 'chat:billing:rooms' }])
  await count(crypto.randomUUID(), 1)
  await passUntil('it goes on', () => worker.billedMessages === 44)
  await commands.incrby(`chat:{${announced}}:unbilled`, 3)
  await passUntil('what a room counts that was announced before is billed', () => worker.billedMessages === 47)
  t.equal(tenant.requests.length, 22)
})

t.test('an index that somebody began to make anew, and could not, is completed', async (t) => {
  const { commands, passUntil, worker, lines } = await create(t)
  const rooms = Array.from({ length: 20 }, () => crypto.randomUUID())
  for (const room of rooms) await commands.incrby(`chat:{${room}}:unbilled`, 2)
  const announced = await commands.time().then(([seconds]) => Number(seconds) * 1000 + 60_000)
  await commands.zadd('chat:billing:rooms', 0, 'incomplete', announced, rooms[0] ?? '')
  await passUntil('all is billed', () => worker.billedMessages === 40)
  t.equal(await commands.zscore('chat:billing:rooms', 'incomplete'), null)
  t.equal(Number(await commands.zscore('chat:billing:rooms', rooms[0] ?? '')), announced, 'what was announced meanwhile stays as it is')
  t.same(lines.filter(({ level }) => Number(level) >= 40), [])
})

t.test('nobody can take the lead who does not bill', async (t) => {
  for (const put of [(commands: Redis) => commands.lpush('chat:billing:worker', 'x'), (commands: Redis) => commands.set('chat:billing:worker', 'x'), (commands: Redis) => commands.set('chat:billing:worker', 'x', 'PX', 3_600_000)]) {
    const redis = await startRedis(t)
    await put(connectTenant(t, redis))
    const { worker } = await startWorker(t, systemClock, redis.port, await TenantApi.start(t))
    await eventually('it leads', () => worker.leads)
  }
})

t.test('a count that is longer than a number can be is left alone', async (t) => {
  const { commands, passUntil, said } = await create(t)
  const room = crypto.randomUUID()
  await commands.set(`chat:{${room}}:unbilled`, '9223372036854775807')
  await commands.zadd('chat:billing:rooms', Date.now(), room)
  await passUntil('it is said', () => said('a room cannot be billed, its keys in redis are broken').length === 1)
  t.equal(await commands.get(`chat:{${room}}:unbilled`), '9223372036854775807')
})

t.test('an idle room leaves the index after two minutes, unless it has counts', async (t) => {
  const { commands, passUntil, worker, tenant } = await create(t)
  const announce = (room: string, minutesAgo: number) => commands.zadd('chat:billing:rooms', Date.now() - minutesAgo * 60_000, room)
  const [idle, fresh, unbilled] = [crypto.randomUUID(), crypto.randomUUID(), crypto.randomUUID()]
  await Promise.all([announce(idle, 6), announce(fresh, 0), announce(unbilled, 6), commands.incrby(`chat:{${unbilled}}:unbilled`, 1)])
  tenant.answer = () => ({ status: 500 })
  await passUntil('the idle room has left', async () => await commands.zscore('chat:billing:rooms', idle) === null)
  t.ok(await commands.zscore('chat:billing:rooms', fresh))
  t.ok(await commands.zscore('chat:billing:rooms', unbilled))

  tenant.answer = () => ({ status: 200 })
  await passUntil('the last count is billed', () => worker.billedMessages === 1)
  await passUntil('its room has left', async () => await commands.zscore('chat:billing:rooms', unbilled) === null)
})

t.test('a room that is announced between the look at its counts and its leave stays in the index', async (t) => {
  const { commands } = await create(t)
  const [idle, announced] = [crypto.randomUUID(), crypto.randomUUID()]
  for (const room of [idle, announced]) await commands.zadd('chat:billing:rooms', 0, room)
  // As if the other instance had done so since the index was read, before the script of the leave runs.
  commands.defineCommand('billForget', { lua: luaScript('bill-forget'), numberOfKeys: 1 })
  await commands.zadd('chat:billing:rooms', Date.now(), announced)
  t.equal(await commands.billForget('chat:billing:rooms', 300_000, idle, announced), 1)
  t.same(await commands.zrange('chat:billing:rooms', '0', '-1'), [announced])
})

t.test('of two workers one bills, and when it is closed the other goes on without waiting for the lease to run out', async (t) => {
  const redis = await startRedis(t)
  const commands = connectTenant(t, redis)
  const tenant = await TenantApi.start(t)
  const workers = [await startWorker(t, systemClock, redis.port, tenant), await startWorker(t, systemClock, redis.port, tenant)]
  const leaders = () => workers.filter(({ worker }) => worker.leads)
  await eventually('one leads', () => leaders().length === 1)
  const room = crypto.randomUUID()
  await countMessages(commands, room, 3)
  await eventually('it is billed', () => tenant.total(room) === 3)
  t.equal(leaders().length, 1)
  const [first] = leaders()
  await first?.worker.close()
  t.equal(await commands.exists('chat:billing:worker'), 0)
  await countMessages(commands, room, 4)
  await eventually('the rest is billed', () => tenant.total(room) === 7, 8000)
  t.same(tenant.requests.map(({ count }) => count), [3, 4])
})

t.test('who has lost the lead sends nothing more, and settles what it had sent', async (t) => {
  const { tenant, commands, count, passUntil, pass, worker } = await create(t)
  const rooms = Array.from({ length: 40 }, () => crypto.randomUUID())
  await Promise.all(rooms.map((room) => count(room, 1)))
  let release: (() => void) | undefined
  const released = new Promise<void>((resolve) => { release = resolve })
  tenant.answer = async () => {
    await released
    return { status: 200 }
  }
  await passUntil('all it may is under way', () => tenant.requests.length === 16)
  await commands.set('chat:billing:worker', 'another instance', 'PX', 10_000)
  await passUntil('it knows', () => !worker.leads)
  release?.()
  await eventually('what was sent is settled', () => worker.billedMessages === 16)
  await pass(20_000)
  t.equal(tenant.requests.length, 16)
  t.equal(await commands.get('chat:billing:worker'), 'another instance')
  await worker.close()
  t.equal(await commands.get('chat:billing:worker'), 'another instance', 'it resigns only for itself')
})

t.test('while Redis is silent the lead is not trusted longer than its lease', async (t) => {
  const { redis, clock, worker } = await create(t)
  redis.signal('SIGSTOP')
  t.teardown(() => redis.signal('SIGCONT'))
  clock.advance(8500)
  t.ok(worker.leads)
  clock.advance(1000)
  t.notOk(worker.leads)
})

t.test('what Redis refuses is said once, and billing goes on when it does no more', async (t) => {
  const { commands, count, passUntil, pass, worker, said } = await create(t)
  await commands.acl('SETUSER', 'default', '-zscan')
  await count(crypto.randomUUID(), 1)
  await passUntil('the refusal is said', () => said('redis refuses what billing needs, retrying').length === 1)
  await pass(5000)
  await commands.acl('SETUSER', 'default', '+zscan')
  await passUntil('it is billed', () => worker.billedMessages === 1)
  t.equal(said('redis refuses what billing needs, retrying').length, 1)
})
