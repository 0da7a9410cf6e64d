import t from 'tap'
import { build } from '../fixtures/build.js'
import { eventually } from '../fixtures/eventually.js'
import { sendRaw } from '../fixtures/http.js'
import { connectTenant, startRedis } from '../fixtures/redis.js'

t.test('the stream is, byte for byte, what existing clients know', async (t) => {
  const { app, watch } = await build(t)
  const room = crypto.randomUUID()
  const stream = await watch(room)
  t.equal(stream.status, 200)
  t.equal(stream.headers.get('content-type'), 'text/event-stream;charset=UTF-8')
  t.equal(stream.headers.get('cache-control'), 'no-cache, no-transform')
  t.equal(stream.headers.get('x-accel-buffering'), 'no')
  t.equal(stream.headers.get('access-control-allow-origin'), '*')
  await app.broker.publish(room, '{"id":"u1","message":"안녕"}')
  await app.broker.publish(room, 'not JSON')
  await stream.untilMessages(2)
  const data = 'data:["{\\"id\\":\\"u1\\",\\"message\\":\\"안녕\\"}","not JSON"]'
  t.match(stream.body, /^retry:\d+\nid:\d+-0\n\nid:\d+-2\ndata:.*\n\n$/)
  t.equal(stream.body.split('\n')[4], data)
})

t.test('a room id is the same in any letter case', async (t) => {
  const { app, watch } = await build(t)
  const room = crypto.randomUUID()
  const stream = await watch(room.toUpperCase())
  await app.broker.publish(room, 'x')
  t.same(await stream.untilMessages(1), ['x'])
})

t.test('what is not a room id is answered with 400, in Korean, or English where that is preferred', async (t) => {
  const { url } = await build(t)
  const korean = '{"code":"BAD_REQUEST","message":"잘못된 요청입니다."}'
  const english = '{"code":"BAD_REQUEST","message":"Bad request."}'
  const ids = ['x', '', '5f0c3a52-6c1d-4a3f-9d3e-0f6f1f0c9a1', '5f0c3a526c1d4a3f9d3e0f6f1f0c9a11', '%00', '%F0%9F%91%8F', '../../../etc/passwd', 'g0000000-0000-0000-0000-000000000000', 'x'.repeat(10_000),
    '00000000-0000-0000-0000-000000000000%0a', ' 00000000-0000-0000-0000-000000000000']
  for (const id of ids) {
    const response = await fetch(`${url}/api/v1/chats/sse-connect/${encodeURIComponent(decodeURIComponent(id))}`)
    t.same([response.status, await response.text()], [400, korean], id)
  }
  for (const [language, body] of [['en', english], ['en-US,en;q=0.9,ko;q=0.8', english], ['ko-KR,ko;q=0.9,en;q=0.8', korean], ['fr', korean], ['*', korean], [';;;', korean]] as const) {
    const response = await fetch(`${url}/api/v1/chats/sse-connect/x`, { headers: { 'Accept-Language': language } })
    t.equal(await response.text(), body, language)
  }
})

t.test('a viewer that comes back goes on exactly where it was', async (t) => {
  const { app, watch } = await build(t)
  const room = crypto.randomUUID()
  const first = await watch(room)
  await app.broker.publish(room, '1')
  await app.broker.publish(room, '2')
  await first.untilMessages(2)
  first.close()
  await app.broker.publish(room, '3')
  await app.broker.publish(room, '4')
  for (const [query, headers] of [[`?lastEventId=${first.lastEventId}`, {}], ['', { 'Last-Event-ID': first.lastEventId }], ['?lastEventId=0-0&recent=4', { 'Last-Event-ID': first.lastEventId }]] as const) {
    const again = await watch(room, query, headers)
    await again.untilMessages(2)
    await app.broker.publish(room, 'live')
    await again.until(() => again.messages.at(-1) === 'live', 'the live message')
    t.same(again.messages.slice(0, 2), ['3', '4'], query)
    t.equal(again.named('gap').length, 0)
    again.close()
  }
})

t.test('a viewer whose stream broke before the first message misses none either', async (t) => {
  const { app, watch } = await build(t)
  const room = crypto.randomUUID()
  const first = await watch(room)
  await first.until(() => first.lastEventId !== '', 'the first id')
  first.close()
  await app.broker.publish(room, 'meanwhile')
  const again = await watch(room, '', { 'Last-Event-ID': first.lastEventId })
  t.same(await again.untilMessages(1), ['meanwhile'])
  t.equal(again.named('gap').length, 0)
})

t.test('a viewer with an id from elsewhere is told of a gap and goes on live', async (t) => {
  const { app, watch } = await build(t)
  const room = crypto.randomUUID()
  const witness = await watch(room)
  await app.broker.publish(room, 'before')
  await witness.untilMessages(1)
  for (const id of ['1790000000000123456-7', 'nonsense', '-1', '9'.repeat(5000), `${witness.lastEventId}0000`]) {
    const stream = await watch(room, '?recent=5', { 'Last-Event-ID': id })
    await stream.until(() => stream.named('gap').length === 1, 'the gap')
    const gap = JSON.parse(stream.named('gap')[0]?.data ?? '')
    t.match(gap, { reason: 'unknown-id', to: witness.lastEventId, missed: null })
    await app.broker.publish(room, 'live')
    t.same(await stream.untilMessages(1), ['live'])
    await witness.until(() => witness.lastEventId === stream.lastEventId, 'the same event')
    stream.close()
  }
})

t.test('a new viewer gets the last messages it asks for, and none by default', async (t) => {
  const { app, watch } = await build(t)
  const room = crypto.randomUUID()
  const witness = await watch(room)
  for (const message of ['1', '2', '3', '4', '5']) await app.broker.publish(room, message)
  await witness.untilMessages(5)
  const expected: Record<string, string[]> = { '': [], '?recent=0': [], '?recent=2': ['4', '5'], '?recent=5': ['1', '2', '3', '4', '5'], '?recent=999999999': ['1', '2', '3', '4', '5'] }
  const streams = await Promise.all(Object.keys(expected).map(async (query) => ({ query, stream: await watch(room, query) })))
  await app.broker.publish(room, 'live')
  for (const { query, stream } of streams) {
    await stream.until(() => stream.messages.at(-1) === 'live', 'the live message')
    t.same(stream.messages, [...expected[query] ?? [], 'live'], query)
    t.equal(stream.named('gap').length, 0)
  }
})

t.test('a bad query is answered with 400', async (t) => {
  const { url } = await build(t)
  for (const query of ['recent=-1', 'recent=x', 'recent=1.5', 'recent=1&recent=2', 'lastEventId=a&lastEventId=b']) {
    const response = await fetch(`${url}/api/v1/chats/sse-connect/${crypto.randomUUID()}?${query}`)
    t.equal(response.status, 400, query)
    await response.body?.cancel()
  }
})

t.test('a silent stream gets a comment, a stream with messages does not need one', async (t) => {
  const { app, watch } = await build(t, { HEARTBEAT_MS: '1500' })
  const [quiet, busy] = [crypto.randomUUID(), crypto.randomUUID()]
  const quietStream = await watch(quiet)
  const busyStream = await watch(busy)
  const chat = setInterval(() => { app.broker.publish(busy, 'x') }, 10)
  t.teardown(() => clearInterval(chat))
  await quietStream.until(() => quietStream.comments.length >= 3, 'three heartbeats')
  t.same(quietStream.events, [])
  t.match(quietStream.body, /\n\n:\n\n:\n\n:\n\n/)
  t.same(busyStream.comments, [])
})

t.test('the end of a room closes every stream and makes EventSource stop', async (t) => {
  const { app, url, watch } = await build(t)
  const room = crypto.randomUUID()
  const streams = await Promise.all([watch(room), watch(room), watch(room)])
  await app.broker.publish(room, 'last words')
  await app.broker.end(room, '{"reason":"over"}')
  for (const stream of streams) {
    await stream.untilClosed()
    t.same(stream.messages, ['last words'])
    t.same(stream.named('end').map(({ data }) => data), ['{"reason":"over"}'])
    t.ok(stream.body.endsWith('event:end\ndata:{"reason":"over"}\n\n'))
  }
  const again = await fetch(`${url}/api/v1/chats/sse-connect/${room}`)
  t.same([again.status, await again.text()], [204, ''])
  await eventually('no place is taken any more', () => app.rooms.viewers === 0)
})

t.test('an instance that is full tells viewers to come back, and has room again when one leaves', async (t) => {
  const { app, watch } = await build(t, { MAX_VIEWERS: '2' })
  const first = await watch(crypto.randomUUID())
  await watch(crypto.randomUUID())
  const refused = await watch(crypto.randomUUID())
  await refused.untilClosed()
  t.equal(refused.status, 200)
  t.same(refused.comments, ['max-viewers'])
  t.ok(refused.retryMs >= 1000 && refused.retryMs <= 3000)
  first.close()
  await eventually('a place is free', () => app.rooms.viewers === 1)
  const next = await watch(crypto.randomUUID())
  t.notOk(next.closed)
  t.same(next.comments, [])
})

t.test('when there are too many rooms, the one that has been empty longest goes first', async (t) => {
  const { app, watch } = await build(t, { MAX_ROOMS: '2' })
  const rooms = [crypto.randomUUID(), crypto.randomUUID(), crypto.randomUUID(), crypto.randomUUID()] as const
  const [one, two] = [await watch(rooms[0]), await watch(rooms[1])]
  const refused = await watch(rooms[2])
  await refused.untilClosed()
  t.same(refused.comments, ['max-rooms'])
  one.close()
  await eventually('the first has left', () => app.rooms.viewers === 1)
  const third = await watch(rooms[2])
  t.same(third.comments, [])
  await app.broker.publish(rooms[1], 'x')
  t.same(await two.untilMessages(1), ['x'], 'a room with viewers stays')
})

t.test('a room without viewers keeps its history for a while, and then is dropped, but not its log', async (t) => {
  const { app, watch, log } = await build(t, { ROOM_LINGER_MS: '1000', LOG_TTL_MS: '5000' })
  const room = crypto.randomUUID()
  const dropped = () => log.filter(({ msg, roomId }) => msg === 'room closed' && roomId === room).length
  const first = await watch(room)
  await app.broker.publish(room, '1')
  await first.untilMessages(1)
  first.close()
  await eventually('the viewer has left', () => app.rooms.viewers === 0)
  await app.broker.publish(room, '2')
  const soon = await watch(room, '', { 'Last-Event-ID': first.lastEventId })
  t.same(await soon.untilMessages(1), ['2'])
  t.same(soon.named('gap'), [])
  soon.close()
  await eventually('the room is dropped', () => dropped() === 1)
  const late = await watch(room, '', { 'Last-Event-ID': first.lastEventId })
  await app.broker.publish(room, '3')
  t.same(await late.untilMessages(2), ['2', '3'], 'it goes on where it was')
  t.same(late.named('gap').map(({ data }) => JSON.parse(data).reason).filter((reason) => reason !== 'room-idle'), [])
  const { lastEventId } = late
  late.close()
  await eventually('the log is forgotten', async () => dropped() === 2 && (await app.broker.readLog(room, undefined)).length === 0)
  const tooLate = await watch(room, '', { 'Last-Event-ID': lastEventId })
  await tooLate.until(() => tooLate.named('gap').length === 1, 'the gap')
  t.match(JSON.parse(tooLate.named('gap')[0]?.data ?? ''), { reason: 'history-exceeded', from: lastEventId, missed: null })
})

t.test('a viewer that leaves while its stream is being opened leaves nothing behind', async (t) => {
  const { app, url } = await build(t)
  await Promise.all(Array.from({ length: 200 }, async (_, index) => {
    const request = `GET /api/v1/chats/sse-connect/${crypto.randomUUID()} HTTP/1.1\r\nHost: x\r\n\r\n`
    await sendRaw(url, request.slice(0, index === 0 ? undefined : request.length - index % 3), 5)
  }))
  await eventually('no place is taken', () => app.rooms.viewers === 0)
})

t.test('a stream may follow other requests on its connection, also before they are answered', async (t) => {
  const { app, url } = await build(t)
  const room = crypto.randomUUID()
  const [file, stream] = ['GET /page.js HTTP/1.1\r\nHost: x\r\n\r\n', `GET /api/v1/chats/sse-connect/${room} HTTP/1.1\r\nHost: x\r\n\r\n`]
  const answers = sendRaw(url, `${file}${file}${stream}`, 3000)
  await eventually('it watches', () => app.rooms.viewers === 1)
  await app.broker.publish(room, 'x')
  await app.broker.end(room, '{}')
  t.match(await answers, /^HTTP\/1.1 200 OK[^]*HTTP\/1.1 200 OK[^]*HTTP\/1.1 200 OK[^]*\r\n\r\nretry:\d+\nid:\d+-0\n\nid:\d+-1\ndata:\["x"\]\n\nevent:end\ndata:{}\n\n$/)
})

t.test('requests behind a stream on its connection do not disturb it', async (t) => {
  const { app, watch } = await build(t)
  const room = crypto.randomUUID()
  const stream = await watch(room)
  stream.socket.write('GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n')
  stream.socket.write(`GET /api/v1/chats/sse-connect/${room} HTTP/1.1\r\nHost: x\r\n\r\n`.repeat(1000))
  await app.broker.publish(room, 'x')
  await stream.untilMessages(1)
  t.equal(app.rooms.viewers, 1)
  t.notMatch(stream.body, /HTTP/)
  stream.socket.write('\0 this is not HTTP \r\n\r\n')
  await stream.untilClosed()
  t.notMatch(stream.body, /HTTP|BAD_REQUEST/)
  await eventually('no place is taken', () => app.rooms.viewers === 0)
})

t.test('a HEAD request opens no stream', async (t) => {
  const { app, url } = await build(t)
  const response = await fetch(`${url}/api/v1/chats/sse-connect/${crypto.randomUUID()}`, { method: 'HEAD' })
  t.equal(response.status, 404)
  t.equal(app.rooms.viewers, 0)
})

t.test('a message that is too large is dropped, counted and said in the log, and nothing else suffers', async (t) => {
  const redis = await startRedis(t)
  const tenant = connectTenant(t, redis)
  const { watch, log } = await build(t, { ...redis.env, MAX_MESSAGE_BYTES: '10' })
  const room = crypto.randomUUID()
  const stream = await watch(room)
  for (const message of ['0123456789', '0123456789x', '가나다라', '가나다', '0123456789y']) await tenant.publish(room, message)
  t.same(await stream.untilMessages(2), ['0123456789', '가나다'])
  const lines = log.filter(({ bound }) => bound === 'MAX_MESSAGE_BYTES')
  t.equal(lines.length, 1, 'one line for a flood')
  t.match(lines[0], { roomId: room, bytes: 11, dropped: 1, level: 40 })
})

t.test('a viewer that comes back to a room that has ended gets what it missed, then the end, then 204', async (t) => {
  const { app, url, watch } = await build(t)
  const room = crypto.randomUUID()
  const first = await watch(room)
  await app.broker.publish(room, '1')
  await first.untilMessages(1)
  first.close()
  const witness = await watch(room)
  for (const message of ['2', '3']) await app.broker.publish(room, message)
  await app.broker.end(room, '{"reason":"over"}')
  await witness.untilClosed()
  const again = await watch(room, '', { 'Last-Event-ID': first.lastEventId })
  await again.untilClosed()
  t.same(again.messages, ['2', '3'])
  t.same(again.events.filter(({ event }) => event !== '').map(({ event, data }) => [event, data]), [['end', '{"reason":"over"}']])
  const { status } = await fetch(`${url}/api/v1/chats/sse-connect/${room}`, { headers: { 'Last-Event-ID': again.lastEventId } })
  t.equal(status, 204)
  await eventually('no place is taken any more', () => app.rooms.viewers === 0)
})
