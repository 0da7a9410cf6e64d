import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect, createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { freePort, ManagedProcess } from '../../deploy/local-cluster/managed-process.js'
import { eventually } from '../fixtures/eventually.js'
import { startRedis } from '../fixtures/redis.js'
import { SseStream } from '../fixtures/sse-stream.js'

const SERVER = fileURLToPath(new URL('../../dist/src/server.js', import.meta.url))

/** Runs the built server in a folder of its own, with the variables of that folder's .env. */
async function start (t: Test, env: Record<string, string>, dotenv = '') {
  const folder = mkdtempSync(join(tmpdir(), 'chat-server-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  writeFileSync(join(folder, '.env'), dotenv)
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const process = await ManagedProcess.start({
    command: 'node',
    args: [SERVER],
    cwd: folder,
    env: { PORT: String(port), ...env },
    isReady: async () => (await fetch(`${url}/health/ready`)).ok
  })
  t.teardown(() => process.stop('SIGKILL'))
  return { process, url }
}

t.test('without any setting it starts on the loopback interface, says so, and prints the address of its page', async (t) => {
  const { process, url } = await start(t, {})
  await eventually('it has printed the address', () => process.output.includes(`try it: ${url}/`))
  t.match(process.output, /no REDIS_IP: using the embedded broker/)
  t.match(await (await fetch(`${url}/`)).text(), /<!doctype html>/i)
  const room = crypto.randomUUID()
  const stream = await SseStream.open(`${url}/api/v1/chats/sse-connect/${room}`)
  t.teardown(() => stream.close())
  await fetch(`${url}/api/v1/chats/${room}/messages`, { method: 'POST', body: '{"n":1}', headers: { 'Content-Type': 'application/json' } })
  t.same(await stream.untilMessages(1), ['{"n":1}'])
})

/** Where `localhost` has two addresses, as on most machines: here not those of IPv4 and IPv6, for IPv6 may be missing. */
const TWO_ADDRESSES = `import dns from 'node:dns'
const { lookup } = dns
dns.lookup = (name, options, callback) => name === 'localhost' && options.all
  ? callback(null, ['127.0.0.1', '127.0.0.2'].map((address) => ({ address, family: 4 })))
  : lookup(name, options, callback)`

t.test('by the name localhost it listens at one address, with the one server that is guarded', async (t) => {
  const { url } = await start(t, { HOST: 'localhost', NODE_OPTIONS: `--import data:text/javascript,${encodeURIComponent(TWO_ADDRESSES)}` })
  t.equal((await fetch(`${url}/health/live`)).status, 200)
  await t.rejects(fetch(`${url.replace('127.0.0.1', '127.0.0.2')}/health/live`), { cause: { code: 'ECONNREFUSED' } })
})

t.test('settings come from .env too, and the environment wins', async (t) => {
  const { url } = await start(t, { MAX_VIEWERS: '1' }, 'MAX_VIEWERS=2\nHEARTBEAT_MS=50\nPORT=\nLOG_LEVEL=\n')
  const watch = () => SseStream.open(`${url}/api/v1/chats/sse-connect/${crypto.randomUUID()}`)
  const [first, second] = [await watch(), await watch()]
  t.teardown(() => first.close())
  await second.untilClosed()
  t.same(second.comments, ['max-viewers'])
  await first.until(() => first.comments.length > 0, 'a heartbeat')
})

t.test('a bad setting stops the start with a message that names it', async (t) => {
  await t.rejects(start(t, { HEARTBEAT_MS: 'often' }), /could not start/)
  await t.rejects(start(t, { HEARTBEAT_MS: 'often' }), /HEARTBEAT_MS must be integer/)
  const { url } = await start(t, {})
  await t.rejects(start(t, { PORT: new URL(url).port }), /EADDRINUSE/)
})

t.test('a password is never printed, whatever happens', async (t) => {
  const redis = await startRedis(t, { password: 'the-right-secret' })
  const { process } = await start(t, { ...redis.env, REDIS_PASSWORD: 'the-wrong-secret', LOG_LEVEL: 'trace' })
  await eventually('the refusal is said', () => process.output.includes('WRONGPASS'))
  await process.stop()
  t.notMatch(process.output, /secret/)
})

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  t.test(`on ${signal} it lets its viewers go and exits by itself with 0`, async (t) => {
    const redis = await startRedis(t)
    const { process, url } = await start(t, { ...redis.env, DRAIN_MS: '300' })
    const streams = await Promise.all(Array.from({ length: 20 }, () => SseStream.open(`${url}/api/v1/chats/sse-connect/${crypto.randomUUID()}`)))
    t.equal(await process.stop(signal), 0)
    t.ok(streams.every(({ closed, comments }) => closed && comments.join() === 'draining'))
  })
}

t.test('connections that are not between two requests do not keep it from exiting by itself', async (t) => {
  const redis = await startRedis(t)
  const { process, url } = await start(t, { ...redis.env, DRAIN_MS: '0', REDIS_TIMEOUT_MS: '1000', PUBLISH_API_KEYS: 'key' })
  const { hostname, port } = new URL(url)
  const path = `/api/v1/chats/${crypto.randomUUID()}/messages`
  const head = `POST ${path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer key\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n`
  for (const bytes of ['', 'GET / HT', head, `${head}{`]) {
    const socket = connect(Number(port), hostname, () => socket.write(bytes)).on('error', () => {})
    t.teardown(() => socket.destroy())
    await once(socket, 'connect')
  }
  redis.signal('SIGSTOP')
  t.teardown(() => redis.signal('SIGCONT'))
  let answer = ''
  const inFlight = connect(Number(port), hostname, () => inFlight.write(`${head.replace('Content-Length', 'Expect: 100-continue\r\nContent-Length')}{}`)).on('error', () => {})
  t.teardown(() => inFlight.destroy())
  inFlight.setEncoding('utf8').on('data', (text: string) => { answer += text })
  await eventually('the publish waits for Redis', () => answer === 'HTTP/1.1 100 Continue\r\n\r\n')
  t.equal(await process.stop(), 0)
  await eventually('its connection is closed', () => inFlight.closed)
  t.match(answer, /\r\n\r\nHTTP\/1.1 503 /, 'a publish in flight is answered')
})

t.test('a signal during the start ends it', async (t) => {
  const silent = createServer((socket) => socket.resume())
  t.teardown(() => silent.close())
  silent.listen(0, '127.0.0.1')
  await once(silent, 'listening')
  const { port } = silent.address() as AddressInfo
  const connected = once(silent, 'connection')
  const child = spawn('node', [SERVER], { env: { ...process.env, REDIS_IP: '127.0.0.1', REDIS_PORT: String(port), PORT: '0' } })
  t.teardown(() => child.kill('SIGKILL'))
  const exited = once(child, 'exit')
  await connected
  child.kill('SIGTERM')
  t.same(await exited, [0, null])
})

t.test('it starts and stops also while Redis is away', async (t) => {
  const { process } = await start(t, { REDIS_IP: '127.0.0.1', REDIS_PORT: String(await freePort()), DRAIN_MS: '0' })
  t.equal(await process.stop(), 0)
  t.equal(process.output.match(/redis is not available/g)?.length, 2)
})
