import t from 'tap'
import { build } from '../fixtures/build.js'
import { eventually } from '../fixtures/eventually.js'
import { connectTenant, startRedis } from '../fixtures/redis.js'

const KEY = 'a-key'
const NOTHING = { viewers: 0, lastEventId: null, owner: null, ended: false }

const redis = await startRedis(t)
const tenant = connectTenant(t, redis)

async function look (url: string, room: string, headers: Record<string, string> = { Authorization: `Bearer ${KEY}` }) {
  const response = await fetch(`${url}/api/v1/chats/${room}`, { headers })
  return { status: response.status, body: await response.json() as Record<string, unknown>, cacheControl: response.headers.get('Cache-Control') }
}

t.test('any instance tells the state of any room: viewers of all instances, last event, owner, end', async (t) => {
  const [one, other, third] = [await build(t, { ...redis.env, PUBLISH_API_KEYS: KEY }), await build(t, redis.env), await build(t, { ...redis.env, PUBLISH_API_KEYS: KEY })]
  const room = crypto.randomUUID()
  t.same(await look(third.url, room.toUpperCase()), { status: 200, body: { sessionId: room, ...NOTHING }, cacheControl: 'no-store' })
  const first = await one.watch(room)
  await first.until(() => first.lastEventId !== '', 'the stream has begun')
  const streams = [first, await one.watch(room), await other.watch(room)]
  await tenant.publish(room, 'x')
  for (const stream of streams) await stream.untilMessages(1)
  const expected = { sessionId: room, viewers: 3, lastEventId: first.lastEventId, owner: one.app.broker.instance, ended: false }
  await eventually('all are counted', async () => (await look(third.url, room)).body['viewers'] === 3)
  await eventually('the message is logged', async () => (await look(third.url, room)).body['lastEventId'] !== null)
  for (const { url } of [one, third]) t.same((await look(url, room)).body, expected)
  streams[1]?.close()
  await eventually('one has left', async () => (await look(third.url, room)).body['viewers'] === 2)
  await tenant.publish(`${room}_END`, '{}')
  for (const stream of [first, streams[2]]) await stream?.untilClosed()
  const ended = { sessionId: room, viewers: 0, lastEventId: first.lastEventId, owner: null, ended: true }
  await eventually('nobody is left', async () => JSON.stringify((await look(third.url, room)).body) === JSON.stringify(ended))
  t.equal(await tenant.exists(`chat:{${room}}:viewers`), 0)
  t.same(await tenant.pubsub('CHANNELS', `*${room}*`), [], 'looking opens no room')
})

t.test('the embedded broker tells it too', async (t) => {
  const { url, watch, publish } = await build(t)
  const room = crypto.randomUUID()
  t.same((await look(url, room, {})).body, { sessionId: room, ...NOTHING })
  const stream = await watch(room)
  await publish(room, { n: 1 })
  await stream.untilMessages(1)
  await eventually('it is counted', async () => (await look(url, room, {})).body['viewers'] === 1)
  t.same((await look(url, room, {})).body, { sessionId: room, viewers: 1, lastEventId: stream.lastEventId, owner: 'embedded', ended: false })
})

t.test('who has no key, or asks for what is no room, is refused in its language', async (t) => {
  const { url } = await build(t, { ...redis.env, PUBLISH_API_KEYS: KEY })
  const room = crypto.randomUUID()
  for (const headers of [{}, { Authorization: 'Bearer wrong' }]) {
    t.match(await look(url, room, headers), { status: 401, body: { code: 'UNAUTHORIZED', message: '인증이 필요합니다.' } })
  }
  t.match(await look(url, room, { 'Accept-Language': 'en' }), { status: 401, body: { message: 'Authentication is required.' } })
  for (const id of ['x', 'sse-connect', room.slice(1), `${room}0`]) t.match(await look(url, id), { status: 400, body: { code: 'BAD_REQUEST', message: '잘못된 요청입니다.' } })
})

t.test('without keys the route does not exist where others could reach it', async (t) => {
  const { url } = await build(t, redis.env)
  t.match(await look(url, crypto.randomUUID()), { status: 404, body: { code: 'NOT_FOUND' } })
})

t.test('while Redis is away, that is said', async (t) => {
  const redis = await startRedis(t)
  const { url } = await build(t, { ...redis.env, PUBLISH_API_KEYS: KEY })
  await redis.kill()
  t.match(await look(url, crypto.randomUUID()), { status: 503, body: { code: 'SERVICE_UNAVAILABLE' } })
})
