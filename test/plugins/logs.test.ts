import t from 'tap'
import { requestId } from '../../src/request-id.js'
import { build } from '../fixtures/build.js'
import { eventually } from '../fixtures/eventually.js'
import { sendRaw } from '../fixtures/http.js'
import { makeToken } from '../fixtures/tokens.js'

const ID = '0d6b7f0e-6a0c-4a3b-8c77-0b5d3c1f9e21'

t.test("a request has the load balancer's name, if that is well-formed", async (t) => {
  t.equal(requestId({ headers: { 'x-request-id': ID } }), ID)
  for (const id of ['', 'short', 'x'.repeat(65), 'with space', '{"level":60}', 'line\nbreak', undefined]) {
    t.match(requestId({ headers: { 'x-request-id': id } }), /^[0-9a-f-]{36}$/)
  }
})

t.test('one line says who connected, and one why it was disconnected, under the same request', async (t) => {
  const { app, log, watch } = await build(t)
  const room = crypto.randomUUID()
  const stream = await watch(room, '', { 'X-Request-Id': ID })
  await app.broker.end(room, '{}')
  await stream.untilClosed()
  await eventually('it is said', () => log.some(({ msg }) => msg === 'viewer disconnected'))
  t.match(log.filter(({ msg }) => msg === 'viewer connected'), [{ level: 20, reqId: ID, roomId: room, isResumed: false }])
  t.match(log.filter(({ msg }) => msg === 'viewer disconnected'), [{ level: 20, reqId: ID, roomId: room, reason: 'room-ended' }])
})

t.test('a refusal and each change of a room are said', async (t) => {
  const { app, log, watch } = await build(t, { MAX_VIEWERS: '1', ROOM_LINGER_MS: '1' })
  const room = crypto.randomUUID()
  const stream = await watch(room)
  await (await watch(room, '', { 'X-Request-Id': ID })).untilClosed()
  t.match(log.filter(({ msg }) => msg === 'viewer refused'), [{ reqId: ID, roomId: room, reason: 'max-viewers' }])
  stream.close()
  await eventually('the room is closed', () => log.some(({ msg }) => msg === 'room closed'))
  t.same(log.filter(({ msg, roomId }) => msg.startsWith('room ') && roomId === room).map(({ msg }) => msg), ['room opened', 'room is owned here', 'room closed'])
  t.ok(app.rooms.viewers === 0)
})

t.test('neither messages nor keys nor query strings are logged, and nothing above debug for a message', async (t) => {
  const { app, log, url, watch } = await build(t, { PUBLISH_API_KEYS: 'the-right-secret' })
  app.log.level = 'trace'
  const room = crypto.randomUUID()
  const stream = await watch(room, '?token=secret-of-a-viewer&lastEventId=secret-id', { Authorization: 'Bearer secret-of-a-viewer' })
  const lines = log.length
  const post = async (body: string, key: string) => await fetch(`${url}/api/v1/chats/${room}/messages?token=secret`, { method: 'POST', body, headers: { 'Content-Type': 'application/json', Authorization: `Bearer ${key}` } })
  t.equal((await post('{"message":"secret words"}', 'the-right-secret')).status, 202)
  t.equal((await post('{"message":"secret words"}', 'the-wrong-secret')).status, 401)
  t.equal((await post('{"message":secret words', 'the-right-secret')).status, 400)
  await stream.untilMessages(1)
  t.notMatch(JSON.stringify(log), /secret/)
  t.ok(log.slice(lines).every(({ level }) => level <= 20))
})

t.test('whatever is asked for and however it is refused, no log has a token, a key, a cookie, an address of a page or what a body says', async (t) => {
  const { app, log, url, watch } = await build(t, { LOG_LEVEL: 'trace', VIEWER_AUTH: 'jwt', VIEWER_JWT_SECRET: 'secret-'.repeat(5), PUBLISH_API_KEYS: 'secret-key', MAX_VIEWERS: '2', KEY_PUBLISHES_PER_10S: '2', MAX_MESSAGE_BYTES: '100' })
  const [room, other] = [crypto.randomUUID(), crypto.randomUUID()]
  const tokenFor = async (claims: object) => await makeToken({ sub: 'secret-subject', ...claims }, { key: Buffer.from('secret-'.repeat(5)) })
  const [good, late] = [await tokenFor({ rooms: [room] }), await tokenFor({ exp: 1 })]
  const streamPath = `/api/v1/chats/sse-connect/${room}`

  const opened = [await watch(room, `?access_token=${good}`), await watch(room, '', { Cookie: `access_token=${good}` })]
  await (await watch(room, '', { Authorization: `Bearer ${good}` })).untilClosed()
  const statusOf = async (path: string, headers: Record<string, string> = {}) => (await fetch(url + path, { headers })).status
  for (const token of [late, 'secret-nonsense', `${good}x`]) {
    t.same([await statusOf(`${streamPath}?access_token=${token}`), await statusOf(streamPath, { Authorization: `Bearer ${token}` }), await statusOf(streamPath, { Cookie: `access_token=${token}` })], [401, 401, 401])
  }
  t.equal(await statusOf(`/api/v1/chats/sse-connect/${other}?access_token=${good}`), 403)
  for (const path of ['/nowhere', '/%ff', `${streamPath}/%C0`, '/api/v1/chats/sse-connect/secret-room', '/page.js', '/docs/json']) await statusOf(`${path}?access_token=${good}`, { Cookie: 'secret=secret', Referer: 'http://x/?secret' })
  t.equal(await statusOf(`${streamPath}?recent=secret&access_token=${good}`), 400)

  const post = async (route: string, body: string, key = 'secret-key', type = 'application/json') => (await fetch(`${url}/api/v1/chats/${room}/${route}`, { method: 'POST', body, headers: { 'Content-Type': type, Authorization: `Bearer ${key}` } })).status
  t.same([await post('messages', '{"message":"secret"}'), await post('messages', '{"message":"secret"'), await post('messages', '{"message":"secret"}')], [202, 400, 429])
  t.equal(await post('messages', '{"message":"secret"}', 'secret-guess'), 401)
  await app.broker.publish(room, `secret ${'x'.repeat(200)}`)
  for (const bytes of [`GET /?access_token=${good} HTTP/9.9\r\n\r\n`, `secret ${good}\r\n\r\n`, `GET /?${good} HTTP/1.1\r\nAuthorization: Bearer ${good}\r\nX: ${'secret'.repeat(4000)}\r\n\r\n`]) await sendRaw(url, bytes)
  for (const stream of opened) await stream.untilMessages(1)
  await app.broker.end(room, '{"reason":"secret"}')
  for (const stream of opened) await stream.untilClosed()
  await eventually('all of it is said', () => log.filter(({ msg }) => msg === 'viewer disconnected').length === 2)

  t.ok(log.length > 20 && log.some(({ msg }) => msg === 'room ended'))
  const parts = [...good.split('.'), ...late.split('.')]
  t.same(log.filter((line) => /secret|access_token|bearer|cookie/i.test(JSON.stringify(line)) || parts.some((part) => JSON.stringify(line).includes(part))), [])
})
