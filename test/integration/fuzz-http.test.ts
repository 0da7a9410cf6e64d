import { connect } from 'node:net'
import t, { type Test } from 'tap'
import { build, type Server } from '../fixtures/build.js'
import { eventually } from '../fixtures/eventually.js'
import { OddRequests, type ApiDocument, type OddRequest } from '../fixtures/odd-requests.js'
import { seededRandom, type Random } from '../fixtures/random.js'
import { SseStream } from '../fixtures/sse-stream.js'
import { makeToken, SECRET } from '../fixtures/tokens.js'

/** FUZZ_SEED makes another run; FUZZ_ROUNDS makes it longer. */
const SEED = Number(process.env['FUZZ_SEED'] ?? 1)
const ROUNDS = Number(process.env['FUZZ_ROUNDS'] ?? 1000)
const AT_ONCE = 8
const ANSWER_TIMEOUT_MS = 10_000
const KEY = 'a-key-of-a-publisher'

/** What any request may be answered with: as the description of the document says. */
const ALWAYS = ['400', '408', '431']
/** Where the document describes no route: what is there are the pages, redirects among them and "not modified", and preflights. */
const ELSEWHERE = [...ALWAYS, '200', '204', '206', '302', '304', '404', '413', '415']

t.comment(`FUZZ_SEED=${SEED}`)

/** Sends bytes and reads until the connection ends; of a stream only its head. With `cutMs` the sender does not wait for an answer. */
async function exchange (url: string, chunks: readonly Buffer[], cutMs?: number): Promise<string> {
  const { hostname, port } = new URL(url)
  return await new Promise((resolve) => {
    let answer = Buffer.alloc(0)
    const socket = connect(Number(port), hostname, () => { for (const chunk of chunks) socket.write(chunk) })
    const timer = setTimeout(() => cutMs === undefined ? socket.destroy(new Error('no answer')) : socket.resetAndDestroy(), cutMs ?? ANSWER_TIMEOUT_MS)
    socket.setNoDelay(true).on('data', (bytes) => {
      answer = Buffer.concat([answer, bytes])
      if (/\r\n\r\nretry:|\ncontent-encoding: gzip\r\n/i.test(answer.toString('latin1'))) socket.destroy()
    })
    socket.on('error', ({ message }) => { if (answer.length === 0) answer = Buffer.from(message) })
    socket.on('close', () => {
      clearTimeout(timer)
      resolve(answer.toString())
    })
  })
}

/** What the document says of a request, if there is a route for it. */
function operationOf (document: ApiDocument, { method, target }: OddRequest) {
  const path = target.split(/[?#]/, 1)[0] ?? ''
  const described = Object.keys(document.paths).find((template) => new RegExp(`^${template.replace(/\{.*?\}/g, '[^/]*')}$`).test(path))
  return document.paths[described ?? '']?.[method === 'HEAD' ? 'get' : method.toLowerCase()]
}

/** @returns what is wrong with an answer */
function faultOf (document: ApiDocument, codes: readonly string[], request: OddRequest, answer: string): string | undefined {
  const [, status = ''] = /^HTTP\/1\.1 (\d{3}) /.exec(answer) ?? []
  if (status === '') return 'no answer'
  const operation = operationOf(document, request)
  const documented = operation === undefined ? ELSEWHERE : [...Object.keys(operation.responses), ...ALWAYS]
  // Not even a HEAD request opens a stream, so there is no route for it.
  if (request.method === 'HEAD') documented.push('404')
  if (!documented.includes(status)) return 'a status that is not documented'
  const isBodyless = request.method === 'HEAD' && !/^HTTP\/1\.1 (400|431) [A-Z_]+\r\n/.test(answer)
  if (Number(status) < 400 || isBodyless) return undefined
  try {
    const { code, message, ...rest } = JSON.parse(answer.slice(answer.indexOf('\r\n\r\n')))
    if (codes.includes(code) && typeof message === 'string' && Object.keys(rest).length === 0) return undefined
  } catch {
    // Said below.
  }
  return 'not the body of an error'
}

/** Somebody who watches a room all the time, and must get each message once. */
async function startWitness (t: Test, { app, url }: Server, headers: Record<string, string>) {
  const room = crypto.randomUUID()
  const stream = await SseStream.open(`${url}/api/v1/chats/sse-connect/${room}`, headers)
  t.teardown(() => stream.close())
  t.equal(stream.status, 200)
  const texts: string[] = []
  return {
    say: async () => {
      texts.push(`message ${texts.length + 1}`)
      await app.broker.publish(room, texts.at(-1) ?? '')
    },
    gotAll: async () => {
      await stream.untilMessages(texts.length)
      t.same(stream.messages, texts, 'the witness got each message once')
      t.same(stream.named('gap'), [])
    }
  }
}

/** The instance is as it was before: it answers, has let go of everybody, and no error of its own was logged. */
async function isUnharmed (t: Test, { app, url, log }: Server) {
  t.same(await (await fetch(`${url}/health/ready`)).json(), { status: 'up' })
  await eventually('all viewers but the witness have left', () => app.rooms.viewers === 1)
  t.same(log.filter(({ level }) => level >= 50), [])
  t.notOk('polluted' in {}, 'no prototype was changed')
}

async function walk (t: Test, env: Record<string, string>, credentials: readonly string[], token?: string) {
  const server = await build(t, { ...env, MAX_MESSAGE_BYTES: '65536' })
  const document: ApiDocument & { info: { description: string } } = await (await fetch(`${server.url}/docs/json`)).json()
  for (const status of ALWAYS) t.ok(document.info.description.includes(status), `${status} is documented`)
  const codes: string[] = Object.values(document.paths).flatMap((operations) => Object.values(operations)).flatMap(({ responses }) => JSON.stringify(responses).match(/"enum":(\[[^\]]*\])/)?.[1] ?? []).flatMap((list) => JSON.parse(list))
  const witness = await startWitness(t, server, token === undefined ? {} : { Authorization: `Bearer ${token}` })
  const odd = new OddRequests(seededRandom(SEED), document, credentials)
  const statuses = new Set<string>()
  for (let round = 0; round < ROUNDS; round += AT_ONCE) {
    await Promise.all(Array.from({ length: AT_ONCE }, async () => {
      const request = odd.next()
      const answer = await exchange(server.url, [request.bytes])
      const fault = faultOf(document, codes, request, answer)
      const operation = operationOf(document, request)
      if (operation !== undefined) statuses.add(`${operation.summary}: ${answer.slice(9, 12)}`)
      if (fault !== undefined) t.fail(fault, { seed: SEED, request: request.bytes.toString('latin1').slice(0, 1000), answer: answer.slice(0, 500) })
    }))
    await witness.say()
  }
  t.ok(statuses.size > 12, `the walk gets to many places: ${[...statuses].sort().join(', ')}`)
  await witness.gotAll()
  await isUnharmed(t, server)
}

t.test('every route answers whatever it is asked as the OpenAPI document says', async (t) => {
  await walk(t, {}, [])
})

t.test('so it does when publishers need keys and viewers tokens', async (t) => {
  const token = await makeToken()
  const expired = await makeToken({ exp: 1 })
  const forRoom = await makeToken({ rooms: [crypto.randomUUID()] })
  const credentials = [`Bearer ${KEY}`, `Bearer ${KEY}`, `Bearer ${token}`, `Bearer ${token}`, `Bearer ${expired}`, `Bearer ${forRoom}`, `bearer  ${token}`, `Bearer ${token}x`]
  await walk(t, { PUBLISH_API_KEYS: KEY, VIEWER_AUTH: 'jwt', VIEWER_JWT_SECRET: SECRET }, credentials, token)
})

/** Bytes that begin well and go wrong, that stop in the middle, or that make no sense. */
function oddBytes (random: Random): Buffer[] {
  const noise = () => Buffer.from(Array.from({ length: random(600) }, () => random(256)))
  const room = crypto.randomUUID()
  const get = Buffer.from(`GET /api/v1/chats/sse-connect/${room} HTTP/1.1\r\nHost: x\r\n\r\n`)
  const live = Buffer.from('GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n')
  const post = Buffer.from(`POST /api/v1/chats/${room}/messages HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 400\r\n\r\n{"message":`)
  const chunked = Buffer.from(`POST /api/v1/chats/${room}/end HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n`)
  const whole = [get, live, post, chunked][random(4)] ?? get
  const mutant = Buffer.from(whole)
  for (let count = 1 + random(5); count > 0; count--) mutant[random(mutant.length)] = random(256)
  const kinds = [
    [noise()],
    [Buffer.from('\r\n\r\n'), noise()],
    [whole.subarray(0, random(whole.length))],
    [mutant],
    [get, noise()],
    [get, get, live, post],
    Array.from({ length: 30 }, () => random(2) === 0 ? live : get),
    [post, noise()],
    [chunked, Buffer.from('7\r\n{"a":1}\r\n'), noise()],
    [chunked, Buffer.from('fffffffffffffffff\r\n')],
    [Buffer.from(`POST /api/v1/chats/${room}/end HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`), live],
    [Buffer.from('CONNECT x:443 HTTP/1.1\r\nHost: x\r\n\r\n'), noise()],
    [Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), noise()],
    [Buffer.from([0x16, 0x03, 0x01, 0x02, 0x00, 0x01]), noise()],
    [Buffer.from(`GET /api/v1/chats/sse-connect/${room} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n`), noise()],
    []
  ]
  return kinds[random(kinds.length)] ?? []
}

t.test('bytes of any kind on the socket, whole, cut off or reset, harm nobody else', async (t) => {
  const server = await build(t)
  const witness = await startWitness(t, server, {})
  const random = seededRandom(SEED)
  for (let round = 0; round < ROUNDS / 2; round += AT_ONCE) {
    await Promise.all(Array.from({ length: AT_ONCE }, () => exchange(server.url, oddBytes(random), random(20))))
    await witness.say()
  }
  await witness.gotAll()
  await isUnharmed(t, server)
})
