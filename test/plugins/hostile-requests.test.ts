import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import t, { type Test } from 'tap'
import { requestTimeouts } from '../../src/app.js'
import { boundHalfOpen } from '../../src/half-open.js'
import { build, type Server } from '../fixtures/build.js'
import { eventually } from '../fixtures/eventually.js'
import { sendRaw } from '../fixtures/http.js'

const ROOM = crypto.randomUUID()
const POST = `POST /api/v1/chats/${ROOM}/messages HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n`
const SMUGGLED = `POST /api/v1/chats/${ROOM}/messages HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 14\r\n\r\n{"smuggled":1}`

/** A server with a viewer, whom nothing of what a test does may disturb. */
async function buildWatched (t: Test, env: Record<string, string> = {}, timeoutMs = 10_000) {
  const server = await build(t, env, requestTimeouts(timeoutMs))
  const witness = await server.watch(ROOM)
  return {
    ...server,
    /** To be said at the end. */
    async isUndisturbed () {
      t.equal((await server.publish(ROOM, { n: 1 })).status, 202)
      t.same(await witness.untilMessages(1), ['{"n":1}'], 'the viewer has got what was published, and nothing else')
      t.notOk(witness.closed)
      t.same(server.log.filter(({ level }) => level >= 40), [], 'and nothing of it is worth a warning')
    }
  }
}

/** Of an answer that is one error and no more: its status and code. */
function errorOf (answer: string) {
  const [, status, body = ''] = /^HTTP\/1\.1 (\d{3}) (?:(?!HTTP\/1)[^])*?\r\n\r\n([^]*)$/.exec(answer) ?? []
  const { code, message } = body.startsWith('{') ? JSON.parse(body) : {}
  return status !== undefined && typeof message === 'string' ? `${status} ${code}` : `no error: ${answer.slice(0, 300)}`
}

/** Sends `head`, then `drop` again and again. @returns the answer, when the server has closed the connection */
async function dribble (t: Test, { url }: Server, head: string, drop: string) {
  const { hostname, port } = new URL(url)
  const socket = connect(Number(port), hostname).setEncoding('utf8')
  let answer = ''
  socket.on('data', (text: string) => { answer += text }).on('error', () => {})
  socket.write(head)
  const dropping = setInterval(() => socket.write(drop), 20)
  t.teardown(() => clearInterval(dropping))
  t.teardown(() => socket.destroy())
  // What is sent when the server has closed already resets the connection.
  await new Promise((resolve) => socket.once('close', resolve))
  clearInterval(dropping)
  return answer
}

t.test('a head that is too large is answered with 431, whatever makes it so', async (t) => {
  const { url, isUndisturbed } = await buildWatched(t)
  const many = (count: number) => Array.from({ length: count }, () => 'a:b\r\n').join('')
  for (const [what, head] of [
    ['a header', `GET / HTTP/1.1\r\nHost: x\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`],
    ['a name of a header', `GET / HTTP/1.1\r\nHost: x\r\n${'x'.repeat(20_000)}: x\r\n\r\n`],
    ['many headers', `GET / HTTP/1.1\r\nHost: x\r\n${many(10_000)}\r\n`],
    ['the path', `GET /api/v1/chats/sse-connect/${'x'.repeat(20_000)} HTTP/1.1\r\nHost: x\r\n\r\n`],
    ['the query', `GET /api/v1/chats/sse-connect/${ROOM}?lastEventId=${'x'.repeat(20_000)} HTTP/1.1\r\nHost: x\r\n\r\n`]
  ] as const) t.equal(errorOf(await sendRaw(url, head)), '431 REQUEST_HEADER_FIELDS_TOO_LARGE', what)
  t.match(await sendRaw(url, `GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n${many(2500)}\r\n`), /^HTTP\/1.1 200 /, 'up to that, any number of headers will do')
  await isUndisturbed()
})

t.test('a body that is too large is answered with 413, be its length said or not', async (t) => {
  const { url, isUndisturbed } = await buildWatched(t, { MAX_MESSAGE_BYTES: '1000' })
  const body = JSON.stringify({ message: 'x'.repeat(1000) })
  for (const [what, request] of [
    ['said', `${POST}Connection: close\r\nContent-Length: ${body.length}\r\n\r\n${body}`],
    ['said, and never sent', `${POST}Connection: close\r\nContent-Length: 99999999999\r\n\r\n`],
    ['not said', `${POST}Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`],
    ['not said, in many parts', `${POST}Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n${'1\r\nx\r\n'.repeat(1001)}`]
  ] as const) t.equal(errorOf(await sendRaw(url, request)), '413 PAYLOAD_TOO_LARGE', what)
  await isUndisturbed()
})

t.test('who sends a request slowly, or none at all, is cut after a while, however alive the connection is', async (t) => {
  const server = await buildWatched(t, {}, 500)
  const answers = await Promise.all([
    dribble(t, server, 'GET / HTTP/1.1\r\nHost: x\r\n', 'X: x\r\n'),
    dribble(t, server, `${POST}Content-Length: 60000\r\n\r\n{"x":"`, 'x'),
    dribble(t, server, `${POST}Transfer-Encoding: chunked\r\n\r\n`, '1\r\n \r\n'),
    dribble(t, server, POST, ''),
    dribble(t, server, '', '')
  ])
  t.same(answers.map(errorOf), Array.from({ length: answers.length }, () => '408 REQUEST_TIMEOUT'))
  const second = await dribble(t, server, 'GET /health/live HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\n', 'X: x\r\n')
  t.match(second, /^HTTP\/1\.1 200 (?:(?!HTTP)[^])*$/, 'also after an answer, to which nothing is added')
  await server.isUndisturbed()
})

t.test('a request whose end is a matter of opinion is refused, and what may hide in it is not taken for another one', async (t) => {
  const { url, isUndisturbed } = await buildWatched(t)
  for (const headers of [
    'Content-Length: 5\r\nTransfer-Encoding: chunked',
    'Transfer-Encoding: chunked\r\nContent-Length: 5',
    'Content-Length: 2\r\nContent-Length: 300',
    'Content-Length: 2, 300',
    'Content-Length: +2',
    'Content-Length: 0x2',
    'Content-Length : 2',
    'Transfer-Encoding: xchunked',
    'Transfer-Encoding: chunked, identity',
    'Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\nContent-Length: 2',
    'Transfer-Encoding : chunked',
    'Transfer-Encoding:\x0bchunked',
    'X: y\r\n Transfer-Encoding: chunked\r\nTransfer-Encoding\x00: chunked',
    'X: y\rTransfer-Encoding: chunked'
  ]) t.equal(errorOf(await sendRaw(url, `${POST}${headers}\r\n\r\n0\r\n\r\n${SMUGGLED}`)), '400 BAD_REQUEST', JSON.stringify(headers))
  for (const chunk of ['2 \r\n{}', '2\n{}', '-2\r\n{}', '0x2\r\n{}', '2\r\n{}0\r\n', 'fffffffffffffffff\r\n{}', '2;\n\r\n{}']) {
    t.equal(errorOf(await sendRaw(url, `${POST}Transfer-Encoding: chunked\r\n\r\n${chunk}\r\n0\r\n\r\n${SMUGGLED}`)), '400 BAD_REQUEST', JSON.stringify(chunk))
  }
  await isUndisturbed()
})

t.test('rubbish behind a request ends the connection, and costs at most the answer to it', async (t) => {
  const { url, isUndisturbed } = await buildWatched(t)
  for (const rubbish of ['\x00\x01\xff', 'x'.repeat(50_000), 'HTTP/1.1 200 OK\r\n\r\n', 'GET', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', '\x16\x03\x01\x02\x00\x01\x00']) {
    const answer = await sendRaw(url, Buffer.from(`GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n${rubbish}${'\r\n\r\n'}`, 'latin1'))
    t.match(answer, /^(HTTP\/1\.1 (200|400|431) (?:(?!HTTP\/1)[^])*)?$/, JSON.stringify(rubbish.slice(0, 20)))
  }
  await isUndisturbed()
})

t.test('of too many connections without a request the oldest is cut, and no other one', async (t) => {
  const { app, url, watch, isUndisturbed } = await buildWatched(t)
  const { hostname, port } = new URL(url)
  let cut = 0
  const halfOpen = boundHalfOpen(app.server, 3, () => { cut++ })
  const idle = connect(Number(port), hostname, () => idle.write('GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n'))
  t.teardown(() => idle.destroy())
  await once(idle, 'data')
  const stream = await watch(ROOM)
  t.equal(halfOpen(), 0, 'who has asked for something does not count')
  const silent: Socket[] = []
  for (let n = 0; n < 5; n++) {
    const socket = connect(Number(port), hostname).resume().on('error', () => {})
    t.teardown(() => socket.destroy())
    silent.push(socket)
    await eventually('it is accepted', () => halfOpen() + cut === n + 1)
    if (n > 0) socket.write('GET / HTTP/1.1\r\n')
  }
  await eventually('two are cut', () => silent.filter(({ closed }) => closed).length === 2)
  t.same(silent.map(({ closed }) => closed), [true, true, false, false, false])
  t.same([idle.closed, stream.closed, cut], [false, false, 2])
  for (const socket of silent) socket.destroy()
  await eventually('nothing is kept of them', () => halfOpen() === 0)
  await isUndisturbed()
})
