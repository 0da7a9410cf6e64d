import t from 'tap'
import { build } from '../fixtures/build.js'
import { eventually } from '../fixtures/eventually.js'
import { connectTenant, startRedis } from '../fixtures/redis.js'
import type { SseStream } from '../fixtures/sse-stream.js'

const ON = { VIEWER_COUNTS: 'on' }

const redis = await startRedis(t)
const tenant = connectTenant(t, redis)

const counts = (stream: SseStream) => stream.named('viewers').map(({ data }) => (JSON.parse(data) as { count: number }).count)

async function untilTold (count: number, ...streams: SseStream[]) {
  for (const stream of streams) await stream.until(() => counts(stream).at(-1) === count, `count ${count}`)
}

t.test('viewers are told how many they are, plain or gzip, without an id, and who comes later at once', async (t) => {
  const { watch, publish } = await build(t, ON)
  const room = crypto.randomUUID()
  const first = await watch(room)
  await untilTold(1, first)
  t.match(first.body, /^retry:\d+\nid:\d+-0\n\nevent:viewers\ndata:\{"count":1\}\n\n$/)
  await publish(room, { n: 1 })
  await first.untilMessages(1)
  const { lastEventId } = first
  const others = [await watch(room, '', { 'Accept-Encoding': 'gzip' }), await watch(room, '?recent=1')]
  for (const stream of others) await stream.until(() => counts(stream).length > 0, 'a count')
  t.match(others[1]?.body, /^retry:\d+\n\nevent:viewers\ndata:\{"count":[123]\}\n\nid:\S+\ndata:\["\{\\"n\\":1\}"\]\n\n|^retry:\d+\nid:\S+\n\nevent:viewers/)
  await untilTold(3, first, ...others)
  t.equal(first.lastEventId, lastEventId)
  others[0]?.close()
  await untilTold(2, first)
  for (const stream of [first, ...others]) t.notOk(counts(stream).some((count, index) => count === counts(stream)[index - 1]), 'no number twice')
})

t.test('the viewers of all instances count, until an instance drains', async (t) => {
  const [one, other, third] = [await build(t, { ...redis.env, ...ON }), await build(t, { ...redis.env, ...ON }), await build(t, redis.env)]
  const room = crypto.randomUUID()
  const streams = [await one.watch(room), await other.watch(room), await other.watch(room)]
  const silent = await third.watch(room)
  await untilTold(4, ...streams)
  await other.app.close()
  await untilTold(2, streams[0] as SseStream)
  t.same(await tenant.hgetall(`chat:{${room}}:viewers`), { [one.app.broker.instance]: '1', [third.app.broker.instance]: '1' })
  await tenant.publish(room, 'x')
  await silent.untilMessages(1)
  t.same(silent.named('viewers'), [], 'where that is off nobody is told')
})

t.test('after Redis was restarted empty the count is right again', async (t) => {
  const redis = await startRedis(t)
  const [one, other] = [await build(t, { ...redis.env, ...ON }), await build(t, { ...redis.env, ...ON })]
  const room = crypto.randomUUID()
  const streams = [await one.watch(room), await other.watch(room)]
  await untilTold(2, ...streams)
  await redis.kill()
  await eventually('the loss is noticed', () => !one.app.broker.connected && !other.app.broker.connected)
  streams.push(await one.watch(room))
  await redis.restart()
  await untilTold(3, ...streams)
  t.notOk(counts(streams[1] as SseStream).includes(1), 'nobody is told a part of it')
})

t.test('rooms in which nobody comes or goes cost Redis nothing', async (t) => {
  const quiet = await startRedis(t)
  const operator = connectTenant(t, quiet)
  const [one, other] = [await build(t, { ...quiet.env, ...ON, LEASE_MS: '3000' }), await build(t, { ...quiet.env, ...ON, LEASE_MS: '3000' })]
  const rooms = Array.from({ length: 50 }, () => crypto.randomUUID())
  const streams = await Promise.all(rooms.flatMap((room) => [one.watch(room), other.watch(room)]))
  await untilTold(2, ...streams)
  const calls = async () => Object.fromEntries([...(await operator.info('commandstats')).matchAll(/^cmdstat_(\S+):calls=(\d+),/gm)].map(([, name = '', count]) => [name, Number(count)]))
  // The last check whether all was heard.
  await eventually('all is said', async () => {
    await operator.config('RESETSTAT')
    await eventually('the instances have beaten', async () => ((await calls())['evalsha'] ?? 0) >= 4)
    return (await calls())['hset'] === undefined
  })
  await operator.config('RESETSTAT')
  await eventually('the instances have beaten', async () => ((await calls())['evalsha'] ?? 0) >= 8)
  const { evalsha, zadd } = await calls()
  t.equal(evalsha, zadd, 'each script was a heartbeat')
})
