import t, { type Test } from 'tap'
import { build } from '../fixtures/build.js'

const ROOM = crypto.randomUUID()
const behindProxy = { TRUST_PROXY: 'loopback' }
const from = (address: string) => ({ 'X-Forwarded-For': address })

/** Lets the clock that limits go by jump, as of now. */
function passTime (t: Test, ms: number) {
  const { now } = Date
  t.teardown(() => { Date.now = now })
  Date.now = () => now() + ms
}

async function buildWithKeys (t: Test, env: Record<string, string>) {
  const server = await build(t, { ...behindProxy, PUBLISH_API_KEYS: 'a,b', ...env })
  const ask = async (key: string, address: string, { path = '/messages', method = 'POST', headers = {} }: { path?: string, method?: string, headers?: Record<string, string> } = {}) =>
    await fetch(`${server.url}/api/v1/chats/${ROOM}${path}`, { method, ...(method === 'POST' && { body: '{}' }), headers: { 'Content-Type': 'application/json', Authorization: `Bearer ${key}`, ...from(address), ...headers } })
  return { ...server, ask, status: async (...args: Parameters<typeof ask>) => (await ask(...args)).status }
}

t.test('viewers of an address that connects too often are told to come back when they may, and no others', async (t) => {
  const { app, watch } = await build(t, { ...behindProxy, ADDRESS_CONNECTS_PER_10S: '2', RETRY_MS: '10' })
  const taken = [await watch(ROOM, '', from('203.0.113.1')), await watch(ROOM, '', from('203.0.113.1'))]
  const refused = await watch(ROOM, '', from('203.0.113.1'))
  await refused.untilClosed()
  t.equal(refused.status, 200, 'for EventSource takes anything else as final')
  t.same([refused.comments, refused.events], [['too-many-connects'], []])
  t.ok(refused.retryMs > 5 && refused.retryMs <= 10_015, 'when the 10 s are over')
  t.equal(app.rooms.counters.refusals['too-many-connects'], 1)
  const others = [await watch(ROOM, '', from('203.0.113.2')), await watch(ROOM, '', from('2001:db8::1')), await watch(ROOM, '', from('2001:db8::2'))]
  const neighbour = await watch(ROOM, '', from('2001:db8::3'))
  await neighbour.untilClosed()
  t.same(neighbour.comments, ['too-many-connects'], 'an IPv6 customer is a /64')
  t.equal(app.rooms.viewers, 5)
  passTime(t, 10_000)
  const back = await watch(ROOM, '', from('203.0.113.1'))
  await app.broker.publish(ROOM, 'x')
  for (const stream of [...taken, ...others, back]) t.same(await stream.untilMessages(1), ['x'])
})

t.test('without a trusted proxy, the address of a connection is what counts', async (t) => {
  const { watch } = await build(t, { ADDRESS_CONNECTS_PER_10S: '1' })
  await watch(ROOM, '', from('203.0.113.1'))
  const refused = await watch(ROOM, '', from('203.0.113.2'))
  await refused.untilClosed()
  t.same(refused.comments, ['too-many-connects'])
})

t.test('an address that publishes too often is refused for a while, whatever its keys', async (t) => {
  const { ask, status } = await buildWithKeys(t, { ADDRESS_PUBLISHES_PER_10S: '4' })
  t.same([await status('a', '203.0.113.1'), await status('wrong', '203.0.113.1'), await status('guess', '203.0.113.1', { path: '', method: 'GET' }), await status('b', '203.0.113.1', { path: '/end' })], [202, 401, 401, 202])
  const refused = await ask('a', '203.0.113.1')
  t.same([refused.status, await refused.json()], [429, { code: 'TOO_MANY_REQUESTS', message: '요청이 너무 많습니다.' }])
  t.match(refused.headers.get('retry-after'), /^([1-9]|10)$/)
  t.same([refused.headers.get('access-control-allow-origin'), refused.headers.get('access-control-expose-headers')], ['*', 'Retry-After'])
  t.same(await (await ask('wrong', '203.0.113.1', { headers: { 'Accept-Language': 'en' } })).json(), { code: 'TOO_MANY_REQUESTS', message: 'Too many requests.' })
  t.equal(await status('b', '203.0.113.2', { path: '', method: 'GET' }), 200)
  passTime(t, 10_000)
  t.equal(await status('a', '203.0.113.1', { path: '/end' }), 202)
})

t.test('a key that publishes too often is refused for a while, from wherever, and no other one', async (t) => {
  const { ask, status, log } = await buildWithKeys(t, { KEY_PUBLISHES_PER_10S: '2' })
  t.same([await status('wrong', '203.0.113.1'), await status('a', '203.0.113.1'), await status('a', '203.0.113.2')], [401, 202, 202])
  const refused = await ask('a', '203.0.113.3')
  t.same([refused.status, (await refused.json()).code], [429, 'TOO_MANY_REQUESTS'])
  t.match(refused.headers.get('retry-after'), /^([1-9]|10)$/)
  t.equal(await status('a', '203.0.113.3', { path: '', method: 'GET' }), 429)
  t.equal(await status('b', '203.0.113.1'), 202)
  t.match(log.find(({ code }) => code === 'TOO_MANY_REQUESTS'), { level: 20, msg: 'request refused' })
})

t.test('0 is no limit, and on open routes the one of the address holds', async (t) => {
  const unlimited = await buildWithKeys(t, { ADDRESS_PUBLISHES_PER_10S: '0', KEY_PUBLISHES_PER_10S: '0', ADDRESS_CONNECTS_PER_10S: '0' })
  t.same(new Set(await Promise.all(Array.from({ length: 50 }, () => unlimited.status('a', '203.0.113.1')))), new Set([202]))
  t.notOk((await unlimited.watch(ROOM)).closed)
  const { publish } = await build(t, { ADDRESS_PUBLISHES_PER_10S: '1', KEY_PUBLISHES_PER_10S: '1' })
  t.same([(await publish(ROOM, {})).status, (await publish(ROOM, {})).status], [202, 429])
})
