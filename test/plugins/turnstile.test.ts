import { readdirSync, readlinkSync } from 'node:fs'
import { connect } from 'node:net'
import type { FastifyInstance } from 'fastify'
import t from 'tap'
import { build } from '../fixtures/build.js'
import { eventually } from '../fixtures/eventually.js'

const CONNECTIONS = 10
/** One that is answered, and as many as may wait for it. */
const PIPELINED = 17

/** Makes every request find a crowd before it. */
function crowd ({ server, turnstile }: FastifyInstance) {
  server.prependListener('request', () => {
    while (turnstile.waiting === 0) turnstile.pass(() => {})
  })
}

const streamRequest = (room: string) => `GET /api/v1/chats/sse-connect/${room} HTTP/1.1\r\nHost: x\r\n\r\n`

t.test('a crowd that comes at once is let in, all of it', async (t) => {
  const { app, watch } = await build(t)
  const room = crypto.randomUUID()
  const streams = await Promise.all(Array.from({ length: 300 }, async () => await watch(room)))
  await eventually('all watch', () => app.rooms.viewers === streams.length)
  await app.broker.publish(room, 'x')
  for (const stream of streams) t.same(await stream.untilMessages(1), ['x'])
})

t.test('of a connection one request waits at the most, whatever is pipelined on it', async (t) => {
  const { app, url, watch } = await build(t)
  const witness = await watch(crypto.randomUUID())
  crowd(app)
  let mostWaiting = 0
  app.server.on('request', () => { mostWaiting = Math.max(mostWaiting, app.turnstile.waiting) })
  const requests = streamRequest('x').repeat(PIPELINED)
  const sockets = Array.from({ length: CONNECTIONS }, () => connect(Number(new URL(url).port), '127.0.0.1').on('error', () => {}))
  t.teardown(() => { for (const socket of sockets) socket.destroy() })
  let answered = 0
  for (const socket of sockets) {
    let answer = ''
    socket.setEncoding('utf8').on('data', (text: string) => {
      answer += text
      if (answer.split('HTTP/1.1 400').length === PIPELINED + 1) answered++
    })
    socket.write(requests)
  }
  await eventually('all are answered', () => answered === CONNECTIONS)
  t.ok(mostWaiting > 0 && mostWaiting <= CONNECTIONS + 1, `${mostWaiting}`)
  t.notOk(witness.closed)
})

t.test('who has gone while it waited takes no place', async (t) => {
  const { app, url, watch } = await build(t)
  const room = crypto.randomUUID()
  const witness = await watch(room)
  crowd(app)
  let entered = 0
  const { enter } = app.rooms
  app.rooms.enter = (...args) => {
    entered++
    return enter.apply(app.rooms, args)
  }
  let come = 0
  app.server.on('request', ({ socket }) => { if (++come % 2 === 0) socket.destroy() })
  for (let n = 0; n < CONNECTIONS; n++) {
    const socket = connect(Number(new URL(url).port), '127.0.0.1', () => socket.write(streamRequest(room))).on('error', () => {})
    t.teardown(() => socket.destroy())
  }
  await eventually('the others watch', () => come === CONNECTIONS && app.turnstile.waiting === 0 && app.rooms.viewers === CONNECTIONS / 2 + 1)
  t.equal(entered, CONNECTIONS / 2)
  await app.broker.publish(room, 'x')
  t.same(await witness.untilMessages(1), ['x'])
})

const FILE = 'swagger-ui-bundle.js'
const fileRequest = `GET /docs/static/${FILE} HTTP/1.1\r\nHost: x\r\n\r\n`

/** How often this process has the file open. */
function timesOpen () {
  return readdirSync('/proc/self/fd').filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`).endsWith(FILE)
    } catch {
      return false // that of the folder itself, closed meanwhile
    }
  }).length
}

t.test('a pipelined request costs nothing before its turn, and leaves nothing behind when it does not come', async (t) => {
  const { url } = await build(t)
  const sockets = Array.from({ length: CONNECTIONS }, () => {
    const socket = connect(Number(new URL(url).port), '127.0.0.1').on('error', () => {}).pause()
    socket.write(fileRequest.repeat(PIPELINED))
    t.teardown(() => socket.destroy())
    return socket
  })
  await eventually('the first of each is being answered', () => timesOpen() >= CONNECTIONS)
  t.equal(timesOpen(), CONNECTIONS)
  for (const socket of sockets) socket.resetAndDestroy()
  await eventually('all is closed', () => timesOpen() === 0)
})

t.test('what sends more requests than may wait is cut, at once and alone', async (t) => {
  const { app, url, watch } = await build(t)
  const room = crypto.randomUUID()
  const witness = await watch(room)
  const socket = connect(Number(new URL(url).port), '127.0.0.1').on('error', () => {}).resume()
  t.teardown(() => socket.destroy())
  socket.write(fileRequest.repeat(1000))
  await eventually('it is cut', () => socket.closed)
  await eventually('nothing is left of it', () => timesOpen() === 0)
  await app.broker.publish(room, 'x')
  t.same(await witness.untilMessages(1), ['x'])
})
