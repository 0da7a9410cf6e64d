import t, { type Test } from 'tap'
import { luaScript } from '../../src/lua.js'
import { build } from '../fixtures/build.js'
import { connectTenant, startRedis } from '../fixtures/redis.js'

const redis = await startRedis(t)

function post (url: string, body: string | null, headers: Record<string, string> = {}) {
  return fetch(url, { method: 'POST', body, headers: { ...(body === null ? {} : { 'Content-Type': 'application/json' }), ...headers } })
}

async function buildWithKeys (t: Test, keys: string) {
  const server = await build(t, { ...redis.env, PUBLISH_API_KEYS: keys })
  const room = crypto.randomUUID()
  const stream = await server.watch(room)
  return { ...server, room, stream, messages: `${server.url}/api/v1/chats/${room}/messages`, end: `${server.url}/api/v1/chats/${room}/end` }
}

t.test('a message reaches viewers as the text that was sent, not as something equal', async (t) => {
  const { url, watch } = await build(t)
  const room = crypto.randomUUID()
  const stream = await watch(room)
  const texts = ['{"id":12345678901234567890,"b":1.0,"a":"\\uAC00"}', '{ "spaced" : [ ] }', '{}', '{"__proto__":{"x":1},"constructor":{"prototype":1}}', '{"a":1,"a":2}']
  for (const text of texts) {
    const response = await post(`${url}/api/v1/chats/${room.toUpperCase()}/messages`, `\n ${text} \r\n`)
    t.same([response.status, await response.text()], [202, ''])
  }
  t.same(await stream.untilMessages(texts.length), texts)
})

t.test('a body that is not a JSON object is refused with a clear error', async (t) => {
  const { url, app, watch } = await build(t, { MAX_MESSAGE_BYTES: '1000' })
  const room = crypto.randomUUID()
  const stream = await watch(room)
  const messages = `${url}/api/v1/chats/${room}/messages`
  for (const body of ['', '{', '[]', '"text"', '1', 'null', '{"a":}', '{"a":1}x', '\0']) {
    t.equal((await post(messages, body)).status, 400, JSON.stringify(body))
  }
  t.equal((await post(messages, null)).status, 400)
  const notUtf8 = await fetch(messages, { method: 'POST', body: Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]), headers: { 'Content-Type': 'application/json' } })
  t.equal(notUtf8.status, 400, 'not UTF-8')
  t.same(await (await post(messages, '{')).json(), { code: 'BAD_REQUEST', message: '잘못된 요청입니다.' })
  const large = await post(messages, JSON.stringify({ text: 'x'.repeat(1000) }))
  t.same([large.status, (await large.json()).code], [413, 'PAYLOAD_TOO_LARGE'])
  for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'application/xml']) {
    const response = await post(messages, '{}', { 'Content-Type': type })
    t.same([response.status, (await response.json()).code], [415, 'UNSUPPORTED_MEDIA_TYPE'], type)
  }
  t.equal((await post(`${url}/api/v1/chats/x/messages`, '{}')).status, 400)
  await app.broker.publish(room, 'only this')
  t.same(await stream.untilMessages(1), ['only this'])
})

t.test('a room is ended with any JSON, or without a body', async (t) => {
  const { url, watch } = await build(t)
  for (const [body, payload] of [['{"reason":"over"}', '{"reason":"over"}'], ['[1]', '[1]'], [null, '{}'], ['', '{}']] as const) {
    const room = crypto.randomUUID()
    const stream = await watch(room)
    t.equal((await post(`${url}/api/v1/chats/${room}/end`, body)).status, 202)
    await stream.untilClosed()
    t.equal(stream.named('end')[0]?.data, payload)
    t.equal((await post(`${url}/api/v1/chats/${room}/end`, '{"again":true}')).status, 202, 'ending it again changes nothing')
    const late = await post(`${url}/api/v1/chats/${room}/messages`, '{}')
    t.same([late.status, (await late.json()).code], [410, 'GONE'])
  }
})

t.test('with Redis and without keys the routes do not exist', async (t) => {
  const { url } = await build(t, redis.env)
  for (const route of ['messages', 'end']) {
    const response = await post(`${url}/api/v1/chats/${crypto.randomUUID()}/${route}`, '{}')
    t.same([response.status, (await response.json()).code], [404, 'NOT_FOUND'])
  }
})

t.test('the embedded broker is open only on the loopback interface', async (t) => {
  const { url } = await build(t, { HOST: '0.0.0.0' })
  t.equal((await post(`${url}/api/v1/chats/${crypto.randomUUID()}/messages`, '{}')).status, 404)
  const { url: keyed } = await build(t, { PUBLISH_API_KEYS: 'key' })
  t.equal((await post(`${keyed}/api/v1/chats/${crypto.randomUUID()}/messages`, '{}')).status, 401)
})

t.test('without a key, pages of this machine may publish, and those that CORS_ORIGIN names, but no other site that its user visits', async (t) => {
  const { url, watch } = await build(t)
  const room = crypto.randomUUID()
  const stream = await watch(room)
  const own = ['http://127.0.0.1:3000', 'http://localhost', 'https://localhost:8443', 'http://shop.localhost:5173', 'http://[::1]:3000', 'http://127.9.9.9']
  const others = ['https://evil.example', 'http://evil.example:3000', 'null', 'http://localhost.evil.example', 'http://evil-localhost', 'http://127.0.0.1.evil.example', 'http://127.0.0.1@evil.example', 'file://', 'chrome-extension://localhost', '']
  const statuses = async (route: string, origin: string) => [(await post(route + '/messages', '{"n":1}', { Origin: origin })).status, (await post(route + '/end', null, { Origin: origin })).status, (await fetch(route, { headers: { Origin: origin } })).status]
  for (const origin of others) t.same(await statuses(`${url}/api/v1/chats/${room}`, origin), [403, 403, 403], origin)
  t.same(await (await post(`${url}/api/v1/chats/${room}/end`, null, { Origin: 'https://evil.example' })).json(), { code: 'FORBIDDEN', message: '접근 권한이 없습니다.' })
  for (const origin of own) t.same(await statuses(`${url}/api/v1/chats/${crypto.randomUUID()}`, origin), [202, 202, 200], origin)
  t.equal((await post(`${url}/api/v1/chats/${room}/messages`, '{"n":2}')).status, 202, 'and whatever is no page')
  t.same(await stream.untilMessages(1), ['{"n":2}'])

  const { url: named } = await build(t, { CORS_ORIGIN: 'https://front.example, https://other.example' })
  t.same([await statuses(`${named}/api/v1/chats/${room}`, 'https://other.example'), await statuses(`${named}/api/v1/chats/${crypto.randomUUID()}`, 'https://evil.example')], [[202, 202, 200], [403, 403, 403]])
  const { url: keyed } = await build(t, { PUBLISH_API_KEYS: 'key' })
  t.equal((await post(`${keyed}/api/v1/chats/${room}/messages`, '{}', { Origin: 'https://evil.example', Authorization: 'Bearer key' })).status, 202, 'a key is for any page that has it')
})

t.test('with keys, each of them opens the routes, and nothing else does', async (t) => {
  const { messages, end, stream, log } = await buildWithKeys(t, 'first-key, second-key,')
  const refused = ['', 'Bearer', 'Bearer ', 'Bearer wrong', 'bearer first-key', 'Basic first-key', 'first-key', 'Bearer first-key,second-key', 'Bearer first-ke', 'Bearer first-key2']
  for (const authorization of refused) {
    for (const route of [messages, end]) {
      const response = await post(route, '{}', { Authorization: authorization })
      t.same([response.status, await response.json()], [401, { code: 'UNAUTHORIZED', message: '인증이 필요합니다.' }], authorization)
    }
  }
  t.equal((await post(messages, '{"n":1}', { Authorization: 'Bearer first-key' })).status, 202)
  t.equal((await post(messages, '{"n":2}', { Authorization: 'Bearer second-key' })).status, 202)
  t.same(await stream.untilMessages(2), ['{"n":1}', '{"n":2}'])
  t.equal((await post(end, '{}', { Authorization: 'Bearer first-key' })).status, 202)
  await stream.untilClosed()
  t.notMatch(JSON.stringify(log), /first-key|second-key/, 'no key is logged')
})

t.test('an unauthorized request is refused before its body is looked at', async (t) => {
  const { messages } = await buildWithKeys(t, 'key')
  t.equal((await post(messages, '{')).status, 401)
  t.equal((await post(messages, 'x'.repeat(200_000))).status, 401)
})

t.test('messages for a room that nobody has open are kept, and come first when somebody does', async (t) => {
  for (const env of [{}, { ...redis.env, PUBLISH_API_KEYS: 'key' }]) {
    const { url, watch } = await build(t, env)
    const room = crypto.randomUUID()
    const publish = async (n: number) => (await post(`${url}/api/v1/chats/${room}/messages`, `{"n":${n}}`, { Authorization: 'Bearer key' })).status
    t.same([await publish(1), await publish(2)], [202, 202])
    const stream = await watch(room, '?recent=10')
    t.equal(await publish(3), 202)
    t.same(await stream.untilMessages(3), ['{"n":1}', '{"n":2}', '{"n":3}'])
    t.same(stream.named('gap'), [])
    stream.close()
    const again = await watch(room, '?recent=10')
    t.same(await again.untilMessages(3), stream.messages, 'once')
  }
})

t.test('a message that was kept is not larger than one that is published may be', async (t) => {
  const { url, watch } = await build(t, { ...redis.env, PUBLISH_API_KEYS: 'key', MAX_MESSAGE_BYTES: '10' })
  const tenant = connectTenant(t, redis)
  const room = crypto.randomUUID()
  for (const message of ['{"n":1}', 'x'.repeat(11)]) {
    await tenant.eval(luaScript('publish'), 2, `chat:{${room}}:pending`, `chat:{${room}}:ended`, room, message)
  }
  t.equal((await post(`${url}/api/v1/chats/${room}/messages`, '{"n":2}', { Authorization: 'Bearer key' })).status, 202)
  const stream = await watch(room, '?recent=10')
  await tenant.publish(room, 'last')
  await stream.until(() => stream.messages.at(-1) === 'last', 'the last message')
  t.same(stream.messages, ['{"n":1}', '{"n":2}', 'last'])
})

t.test('when too many messages are kept already, publishing is answered with 503', async (t) => {
  const { app, url } = await build(t)
  const room = crypto.randomUUID()
  for (let n = 0; n < 1000; n++) await app.broker.publish(room, '{}')
  const response = await post(`${url}/api/v1/chats/${room}/messages`, '{}')
  t.same([response.status, (await response.json()).code], [503, 'SERVICE_UNAVAILABLE'])
})

t.test('while Redis is away, publishing is answered with 503 at once', async (t) => {
  const redis = await startRedis(t)
  const { url } = await build(t, { ...redis.env, PUBLISH_API_KEYS: 'key' })
  await redis.kill()
  const response = await post(`${url}/api/v1/chats/${crypto.randomUUID()}/messages`, '{}', { Authorization: 'Bearer key' })
  t.same([response.status, (await response.json()).code], [503, 'SERVICE_UNAVAILABLE'])
})
