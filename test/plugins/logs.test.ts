import t from 'tap'
import { requestId } from '../../src/request-id.js'
import { build } from '../fixtures/build.js'
import { eventually } from '../fixtures/eventually.js'

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
