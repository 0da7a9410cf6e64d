import { once } from 'node:events'
import type { Socket } from 'node:net'
import t, { type Test } from 'tap'
import { build } from '../fixtures/build.js'
import { eventually } from '../fixtures/eventually.js'
import { sendRaw } from '../fixtures/http.js'

const streamRequest = (room: string, version = '1.1', headers = '') => `GET /api/v1/chats/sse-connect/${room} HTTP/${version}\r\nHost: x\r\n${headers}\r\n`

/** A server with one open stream, and the server's end of its connection. */
async function watchOne (t: Test, env: Record<string, string> = {}) {
  const server = await build(t, env)
  const room = crypto.randomUUID()
  const accepted = once(server.app.server, 'connection') as Promise<[Socket]>
  const stream = await server.watch(room)
  const [socket] = await accepted
  return { ...server, room, stream, socket }
}

t.test('an open stream is no connection of the HTTP server any more', async (t) => {
  const { app, room, stream, socket } = await watchOne(t)
  t.same(['drain', 'timeout', 'pause', 'resume'].filter((event) => socket.listenerCount(event) > 0), [], 'nothing of HTTP listens')
  app.server.closeIdleConnections()
  app.server.closeAllConnections()
  await app.broker.publish(room, 'x')
  t.same(await stream.untilMessages(1), ['x'])
  const plain = new Set(Object.keys(socket).map((key) => typeof Reflect.get(socket, key) === 'object' && Reflect.get(socket, key)?.constructor?.name))
  t.same(['HTTPParser', 'ServerResponse', 'IncomingMessage'].filter((name) => plain.has(name)), [], 'nor is anything of it held')
})

for (const [how, leave] of [
  ['closes its connection', (socket: Socket) => socket.destroy()],
  ['ends its side', (socket: Socket) => socket.end()],
  ['resets its connection', (socket: Socket) => socket.resetAndDestroy()],
  ['ends its side after some words', (socket: Socket) => socket.end('bye')]
] as const) {
  t.test(`a viewer that ${how} has left`, async (t) => {
    const { app, room, stream, socket, log, watch } = await watchOne(t)
    const witness = await watch(room)
    leave(stream.socket)
    await eventually('its place is free', () => app.rooms.viewers === 1)
    await stream.untilClosed()
    t.ok(socket.destroyed)
    await app.broker.publish(room, 'x')
    t.same(await witness.untilMessages(1), ['x'], 'nobody else is concerned')
    t.same(log.filter(({ level }) => level >= 40), [], 'which is no error')
    t.match(log.filter(({ msg }) => msg === 'viewer disconnected'), [{ roomId: room, reason: 'viewer-left' }])
  })
}

t.test('what a viewer sends is read and dropped, however much', async (t) => {
  const { app, room, stream, socket } = await watchOne(t)
  const text = Buffer.alloc(1_000_000, 'x')
  for (let sent = 0; sent < 50; sent++) await new Promise((resolve) => stream.socket.write(text, resolve))
  await eventually('it is read', () => socket.bytesRead > 50 * text.length)
  t.equal(socket.readableLength, 0)
  await app.broker.publish(room, 'x')
  t.same(await stream.untilMessages(1), ['x'])
  t.notMatch(stream.body, /HTTP/)
})

t.test('requests that come together with the one for a stream do not disturb it', async (t) => {
  const { app, url } = await build(t)
  const room = crypto.randomUUID()
  const others = ['GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n', 'GET /page.js HTTP/1.1\r\nHost: x\r\n\r\n', streamRequest(crypto.randomUUID()), 'GET /%ff HTTP/1.1\r\nHost: x\r\n\r\n', 'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n123']
  const answers = Promise.all(others.map((other) => sendRaw(url, streamRequest(room) + other, 30_000)))
  await eventually('they watch', () => app.rooms.viewers === others.length)
  await app.broker.publish(room, 'x')
  await app.broker.end(room, '{}')
  for (const answer of await answers) t.match(answer, /^HTTP\/1.1 200 OK\r\n(?:(?!HTTP)[^])*\r\n\r\nretry:\d+\nid:\d+-0\n\nid:\d+-1\ndata:\["x"\]\n\nevent:end\ndata:{}\n\n$/)
  await eventually('no place is taken', () => app.rooms.viewers === 0)
})

t.test('a stream may be asked for with HTTP/1.0, with a body, and on a connection that was used before', async (t) => {
  const { app, url } = await build(t)
  const room = crypto.randomUUID()
  const asked = [streamRequest(room, '1.0'), streamRequest(room, '1.0', 'Connection: keep-alive\r\n'), streamRequest(room, '1.1', 'Content-Length: 5\r\n') + 'hello', streamRequest(room, '1.1', 'Content-Length: 5\r\n') + 'hel', streamRequest(room, '1.1', 'Transfer-Encoding: chunked\r\n') + '3\r\nabc\r\n0\r\n\r\n', streamRequest(room, '1.1', 'Expect: 100-continue\r\n')]
  const answers = Promise.all(asked.map((bytes) => sendRaw(url, bytes, 30_000)))
  await eventually('they watch', () => app.rooms.viewers === asked.length)
  await app.broker.publish(room, 'x')
  await app.broker.end(room, '{}')
  for (const answer of await answers) t.match(answer, /HTTP\/1.1 200 OK\r\n[^]*\r\n\r\nretry:\d+\nid:\d+-0\n\nid:\d+-1\ndata:\["x"\]\n\nevent:end\ndata:{}\n\n$/)
})

t.test('a server that closes leaves no connection behind, whatever its viewers do', async (t) => {
  const { app, room, stream, watch } = await watchOne(t, { DRAIN_MS: '100', FLUSH_INTERVAL_MS: '1' })
  const [stalled, halfClosed, chatty, reset] = [await watch(room), await watch(room), await watch(room), await watch(room)]
  stalled.socket.pause()
  for (let n = 0; n < 300; n++) {
    await app.broker.publish(room, 'x'.repeat(60_000))
    await stream.untilMessages(n + 1)
  }
  halfClosed.socket.end()
  const chat = setInterval(() => chatty.socket.write('GET / HTTP/1.1\r\n\r\n'), 1)
  t.teardown(() => clearInterval(chat))
  reset.socket.resetAndDestroy()
  const started = performance.now()
  await app.close()
  t.ok(performance.now() - started < 5000, 'it does not wait for them')
  await stream.untilClosed()
  t.same(stream.comments, ['draining'])
  await eventually('no place is taken', () => app.rooms.viewers === 0)
  const connections = await new Promise((resolve) => app.server.getConnections((_, count) => resolve(count)))
  t.equal(connections, 0)
})
