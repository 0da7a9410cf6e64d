import { connect } from 'node:net'
import type { FastifyInstance } from 'fastify'
import t from 'tap'
import { build } from '../fixtures/build.js'
import { eventually } from '../fixtures/eventually.js'

const CONNECTIONS = 10
const PIPELINED = 400

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
