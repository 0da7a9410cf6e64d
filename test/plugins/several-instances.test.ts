import t, { type Test } from 'tap'
import { build } from '../fixtures/build.js'
import { eventually } from '../fixtures/eventually.js'
import { connectTenant, startRedis } from '../fixtures/redis.js'

const redis = await startRedis(t)
const tenant = connectTenant(t, redis)

/** Two instances, and a room that is open on the first. */
async function start (t: Test) {
  const [one, other] = [await build(t, redis.env), await build(t, redis.env)]
  const room = crypto.randomUUID()
  const first = await one.watch(room)
  const say = async (...messages: string[]) => {
    for (const message of messages) await tenant.publish(room, message)
  }
  return { one, other, room, first, say }
}

t.test('a viewer goes on at another instance exactly where it was at the first, from any event', async (t) => {
  const { other, room, first, say } = await start(t)
  await first.until(() => first.lastEventId !== '', 'the first id')
  const ids = [first.lastEventId]
  for (let n = 1; n <= 5; n++) {
    await say(`${n}`)
    await first.untilMessages(n)
    ids.push(first.lastEventId)
  }
  const streams = await Promise.all(ids.map((id) => other.watch(room, '', { 'Last-Event-ID': id })))
  await say('live')
  for (const [index, stream] of streams.entries()) {
    await stream.until(() => stream.messages.at(-1) === 'live', 'the live message')
    t.same(stream.messages, ['1', '2', '3', '4', '5', 'live'].slice(index))
    t.same(stream.named('gap'), [])
  }
  await first.untilMessages(6)
  t.same(streams[0]?.events, first.events, 'the same events under the same ids')
})

t.test('a new viewer at another instance gets the last messages it asks for', async (t) => {
  const { other, room, first, say } = await start(t)
  await say('1', '2', '3')
  await first.untilMessages(3)
  const expected: Record<string, string[]> = { '': [], '?recent=0': [], '?recent=2': ['2', '3'], '?recent=3': ['1', '2', '3'], '?recent=99': ['1', '2', '3'] }
  const streams = await Promise.all(Object.keys(expected).map(async (query) => ({ query, stream: await other.watch(room, query) })))
  await say('live')
  for (const { query, stream } of streams) {
    await stream.until(() => stream.messages.at(-1) === 'live', 'the live message')
    t.same(stream.messages, [...expected[query] ?? [], 'live'], query)
    t.same(stream.named('gap'), [])
  }
})

t.test('a viewer that comes back, anywhere, to a room that has ended gets what it missed, then the end, then 204', async (t) => {
  const { one, other, room, first, say } = await start(t)
  const third = await build(t, redis.env)
  const follower = await other.watch(room)
  await say('1')
  await first.untilMessages(1)
  const id = first.lastEventId
  await say('2', '3')
  await tenant.publish(`${room}_END`, '{"reason":"over"}')
  await first.untilClosed()
  await follower.untilClosed()
  await eventually('the end is written', async () => await tenant.exists(`chat:{${room}}:ended`) === 1)
  for (const { url, watch } of [one, other, third]) {
    const stream = await watch(room, '', { 'Last-Event-ID': id })
    await stream.untilClosed()
    t.equal(stream.status, 200)
    t.same(stream.messages, ['2', '3'])
    t.same(stream.events.filter(({ event }) => event !== '').map(({ event, data }) => [event, data]), [['end', '{"reason":"over"}']])
    t.equal((await fetch(`${url}/api/v1/chats/sse-connect/${room}`, { headers: { 'Last-Event-ID': stream.lastEventId } })).status, 204)
    t.equal((await fetch(`${url}/api/v1/chats/sse-connect/${room}`)).status, 204, 'a new viewer has nothing to see')
  }
})

t.test('rooms in which nothing happens cost Redis nothing: an instance beats once for all of them', async (t) => {
  const quiet = await startRedis(t)
  const { app } = await build(t, { ...quiet.env, LEASE_MS: '1000' })
  const operator = connectTenant(t, quiet)
  const rooms = Array.from({ length: 2000 }, () => app.rooms.enter(crypto.randomUUID()))
  for (const room of rooms) typeof room === 'string' ? t.fail(room) : await room.opened
  t.equal((await operator.pubsub('CHANNELS') as string[]).length, 3 * rooms.length)
  await operator.config('RESETSTAT')
  const calls = async () => Object.fromEntries([...(await operator.info('commandstats')).matchAll(/^cmdstat_(\S+):calls=(\d+),/gm)].map(([, name = '', count]) => [name, Number(count)]))
  await eventually('the instance has beaten four times', async () => ((await calls())['evalsha'] ?? 0) >= 4)
  const { evalsha = 0, zadd, info, ping, 'config|resetstat': resetstat, ...others } = await calls()
  t.equal(evalsha, zadd, 'each script was a heartbeat')
  t.same(Object.keys(others).sort(), ['pexpire', 'time', 'type', 'zrange', 'zremrangebyscore'], 'and did nothing else')
  for (const room of rooms) if (typeof room !== 'string') app.rooms.leave(room)
})
