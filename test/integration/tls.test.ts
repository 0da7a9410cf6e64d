import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { connect, type ConnectionOptions } from 'node:tls'
import { promisify } from 'node:util'
import t from 'tap'
import { LocalCluster } from '../../deploy/local-cluster/cluster.js'
import { freePort } from '../../deploy/local-cluster/managed-process.js'
import { startBrowser } from '../fixtures/browser.js'
import { Certificate } from '../fixtures/certificate.js'
import { eventually } from '../fixtures/eventually.js'
import { H2Connection } from '../fixtures/h2-connection.js'
import { connectTenant } from '../fixtures/redis.js'
import { SseStream } from '../fixtures/sse-stream.js'

/** More than browsers and servers allow by default. */
const STREAMS = 120
/** Over all addresses. */
const STREAMS_IN_ALL = STREAMS + 5
const MESSAGES = 50

const certificate = new Certificate(t)
const httpsPort = await freePort()
let balancerLog = ''
const cluster = await LocalCluster.start({
  instances: 1,
  env: { VIEWER_COUNTS: 'off', COMPRESS_MIN_VIEWERS: '1' },
  haproxyEnv: {
    TLS_PEM: certificate.path,
    BIND_HTTPS: `127.0.0.1:${httpsPort}`,
    TLS_REDIRECT_PORT: `127.0.0.1:${httpsPort}`,
    IP_MAX_VIEWERS: String(STREAMS),
    FE_VIEWERS_MAX: String(STREAMS_IN_ALL)
  },
  onOutput: (source, text) => { if (source === 'haproxy') balancerLog += text }
})
t.teardown(() => cluster.stop())
const url = `https://127.0.0.1:${httpsPort}`
const tenant = connectTenant(t, cluster.redis)
await eventually('the tenant is connected', () => tenant.status === 'ready')

const newRooms = (count: number) => Array.from({ length: count }, () => crypto.randomUUID())
const pathOf = (room: string) => `/api/v1/chats/sse-connect/${room}`

/** Waits until the streams of the test before no longer count. */
async function untilQuiet () {
  await eventually('no stream is left', async () => {
    const csv = await (await fetch(`${cluster.adminUrl}/;csv`)).text()
    return /^instances,BACKEND,(?:[^,]*,){2}0,/m.test(csv)
  })
}

/** The certificate that who connects now is shown. */
async function certificateShown (): Promise<string> {
  const socket = connect({ host: '127.0.0.1', port: httpsPort, rejectUnauthorized: false })
  await once(socket, 'secureConnect')
  const { fingerprint256 } = socket.getPeerCertificate()
  socket.destroy()
  return fingerprint256
}

t.test('many viewers share one connection, and each gets each message once, in order', async (t) => {
  await untilQuiet()
  const rooms = newRooms(STREAMS / 4)
  const connection = await H2Connection.open(t, url, certificate.pem)
  const viewers = await connection.watch(Array.from({ length: STREAMS }, (_, index) => pathOf(rooms[index % rooms.length] ?? '')))
  t.ok(viewers.every(({ status, headers }) => status === 200 && headers['content-type'] === 'text/event-stream;charset=UTF-8'))
  const messages = Array.from({ length: MESSAGES }, (_, n) => `{"n":${n}}`)
  for (const message of [...messages, 'last']) for (const room of rooms) tenant.publish(room, message)
  await eventually('all have the last one', () => viewers.every((viewer) => viewer.body.includes('"last"')))
  t.same(new Set(viewers.map((viewer) => viewer.messages.join())), new Set([[...messages, 'last'].join()]))
})

t.test('the caps count streams, not connections', async (t) => {
  await untilQuiet()
  const connection = await H2Connection.open(t, url, certificate.pem)
  const viewers = await connection.watch(newRooms(STREAMS).map(pathOf))
  t.ok(viewers.every(({ status }) => status === 200))
  const [oneMore] = await connection.watch(newRooms(1).map(pathOf))
  t.equal(oneMore?.status, 429, 'of one address')

  const elsewhere = await H2Connection.open(t, url, certificate.pem, '127.0.0.2')
  const others = await elsewhere.watch(newRooms(STREAMS_IN_ALL - STREAMS).map(pathOf))
  t.ok(others.every(({ status }) => status === 200))
  const [tooMany] = await elsewhere.watch(newRooms(1).map(pathOf))
  await eventually('it is told to come back', () => tooMany?.hasEnded === true)
  t.same([tooMany?.status, tooMany?.body.split('\n')[0]], [200, ':balancer-full'], 'of all')

  for (const { stream } of others) stream.close()
  viewers[0]?.stream.close()
  await eventually('a place is free again', async () => (await connection.watch(newRooms(1).map(pathOf)))[0]?.status === 200)
})

t.test('gzip comes through HTTP/2 as it is', async (t) => {
  await untilQuiet()
  const [room = ''] = newRooms(1)
  const connection = await H2Connection.open(t, url, certificate.pem)
  const [viewer] = await connection.watch([pathOf(room)], { 'accept-encoding': 'gzip' })
  t.equal(viewer?.headers['content-encoding'], 'gzip')
  for (let n = 0; n < MESSAGES; n++) await tenant.publish(room, `{"n":${n}}`)
  await tenant.publish(`${room}_END`, '{}')
  await eventually('the end has come', () => viewer?.body.includes('event:end') === true)
  t.same(viewer?.messages, Array.from({ length: MESSAGES }, (_, n) => `{"n":${n}}`))
})

t.test('who speaks HTTP/1.1 watches over TLS too, and what it sent in the query is in no log', async (t) => {
  const [room = ''] = newRooms(1)
  const stream = await SseStream.open(`${url}${pathOf(room)}?access_token=secret-of-a-viewer`, {}, certificate.pem)
  t.teardown(() => stream.close())
  t.equal(stream.status, 200)
  t.equal(stream.headers.get('strict-transport-security'), 'max-age=31536000')
  t.equal(stream.headers.get('server'), undefined)
  await tenant.publish(room, 'hi')
  t.same(await stream.untilMessages(1), ['hi'])
  stream.close()
  await eventually('the request is logged', () => balancerLog.includes(`room=${room}`))
  t.notMatch(balancerLog, /secret-of-a-viewer/)
  t.notMatch(cluster.instances[0]?.process.output ?? '', /secret-of-a-viewer/)
})

t.test('TLS before 1.2, ciphers without forward secrecy, tickets and early data are refused', async (t) => {
  const refusal = async (options: ConnectionOptions) => {
    const socket = connect({ host: '127.0.0.1', port: httpsPort, rejectUnauthorized: false, ...options })
    t.teardown(() => socket.destroy())
    const [error] = await Promise.race([once(socket, 'secureConnect'), once(socket, 'close').then(() => [{ code: 'closed' }])]).catch((error) => [error]) as [NodeJS.ErrnoException | undefined]
    return error?.code
  }
  t.equal(await refusal({ minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2' }), undefined)
  // Else this side would not even try.
  t.equal(await refusal({ minVersion: 'TLSv1.1', maxVersion: 'TLSv1.1', ciphers: 'ALL:@SECLEVEL=0' }), 'ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION')
  t.equal(await refusal({ maxVersion: 'TLSv1.2', ciphers: 'ECDHE-ECDSA-AES128-SHA256' }), 'ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE')
  const session = promisify(execFile)('openssl', ['s_client', '-connect', `127.0.0.1:${httpsPort}`, '-tls1_3', '-ign_eof'], { encoding: 'utf8' })
  session.child.stdin?.end('GET /lb/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n')
  const { stdout } = await session
  t.match(stdout, /HTTP\/1\.1 200 OK/)
  t.match(stdout, /Max Early Data: 0/)
  const resumable = promisify(execFile)('openssl', ['s_client', '-connect', `127.0.0.1:${httpsPort}`, '-tls1_2'], { encoding: 'utf8' })
  resumable.child.stdin?.end()
  const { stdout: tls12 } = await resumable
  t.match(tls12, /Protocol +: TLSv1\.2/)
  t.notMatch(tls12, /TLS session ticket:/)
})

t.test('plain HTTP leads to TLS, but for what the operator asks the balancer', async (t) => {
  const path = `${pathOf(crypto.randomUUID())}?recent=5`
  const plain = await fetch(cluster.url + path, { redirect: 'manual' })
  t.same([plain.status, plain.headers.get('location'), plain.headers.get('access-control-allow-origin')], [308, url + path, '*'])
  t.equal(plain.headers.get('strict-transport-security'), null, 'which nobody may believe over plain HTTP')
  t.equal((await fetch(`${cluster.url}/lb/ready`)).status, 200)
})

t.test('Chromium watches ten rooms of one origin at once', async (t) => {
  await untilQuiet()
  const rooms = newRooms(10)
  const open = await startBrowser(t)
  const page = await open(t, `${url}/`, { ignoreHTTPSErrors: true })
  t.equal(await page.evaluate("performance.getEntriesByType('navigation')[0].nextHopProtocol"), 'h2')
  // Over HTTP/1.1 the seventh would wait for one of the first six to end.
  await page.evaluate(`new Promise((resolve) => {
    window.seen = {}
    let open = 0
    for (const path of ${JSON.stringify(rooms.map(pathOf))}) {
      const source = new EventSource(path)
      const messages = window.seen[path] = []
      source.onopen = () => { if (++open === ${rooms.length}) resolve() }
      source.onmessage = ({ data }) => messages.push(...JSON.parse(data))
    }
  })`)
  for (const room of rooms) await tenant.publish(room, room)
  const seen = async () => await page.evaluate('window.seen') as Record<string, string[]>
  await eventually('all have come', async () => Object.values(await seen()).every(({ length }) => length > 0))
  t.same(await seen(), Object.fromEntries(rooms.map((room) => [pathOf(room), [room]])))
})

t.test('a renewed certificate is shown after a reload, which cuts no stream', async (t) => {
  await untilQuiet()
  const rooms = newRooms(3)
  const connection = await H2Connection.open(t, url, certificate.pem)
  const viewers = await connection.watch(rooms.map(pathOf))
  const before = await certificateShown()
  certificate.renew()
  await cluster.reloadBalancer()
  await eventually('the new one is shown', async () => await certificateShown().catch(() => before) !== before)
  const newcomer = await SseStream.open(url + pathOf(rooms[0] ?? ''), {}, certificate.pem)
  t.teardown(() => newcomer.close())
  for (const room of rooms) await tenant.publish(room, 'after')
  t.same(await newcomer.untilMessages(1), ['after'])
  await eventually('all have it', () => viewers.every(({ messages }) => messages.includes('after')))
  t.ok(viewers.every(({ hasEnded }) => !hasEnded))
})
