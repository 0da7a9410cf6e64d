import { once } from 'node:events'
import { get, type IncomingMessage } from 'node:http'
import { connect } from 'node:net'
import t, { type Test } from 'tap'
import { LocalCluster, type ClusterOptions } from '../../deploy/local-cluster/cluster.js'
import { eventually } from '../fixtures/eventually.js'
import { sendRaw } from '../fixtures/http.js'
import { connectTenant } from '../fixtures/redis.js'
import { ReconnectingViewer } from '../fixtures/reconnecting-viewer.js'
import { SseStream } from '../fixtures/sse-stream.js'

const KEY = 'test-key'

async function startCluster (t: Test, options: Partial<ClusterOptions> = {}) {
  const cluster = await LocalCluster.start({
    instances: 3,
    ...options,
    env: { RETRY_MS: '200', DRAIN_MS: '500', HANDOVER_MS: '500', PUBLISH_API_KEYS: KEY, LOG_LEVEL: 'debug', ...options.env }
  })
  t.teardown(() => cluster.stop())
  const tenant = connectTenant(t, cluster.redis)
  await eventually('the tenant is connected', () => tenant.status === 'ready')
  const roomUrl = (room: string) => `${cluster.url}/api/v1/chats/sse-connect/${room}`
  return {
    cluster,
    tenant,
    roomUrl,
    async watch (room: string, headers?: Record<string, string>) {
      const stream = await SseStream.open(roomUrl(room), headers)
      t.teardown(() => stream.close())
      return stream
    },
    reconnecting: (room: string) => ReconnectingViewer.start(t, roomUrl(room)),
    /** How many instances serve the room. */
    async instancesOf (room: string) {
      return Number((await tenant.pubsub('NUMSUB', room) as [string, number])[1])
    }
  }
}

t.test('three instances', async (t) => {
  const { cluster, watch, tenant, instancesOf } = await startCluster(t)

  t.test('one room lands on one instance, in any letter case and with any query, and rooms spread', async (t) => {
    const rooms = Array.from({ length: 60 }, () => crypto.randomUUID())
    for (const room of rooms) {
      await Promise.all([watch(room), watch(room.toUpperCase()), watch(`${room}?recent=3`)])
      t.equal(await instancesOf(room), 1)
    }
    const clients = (await tenant.client('LIST') as string).split('\n').filter((line) => line.includes(':subscriber'))
    const shares = clients.map((line) => Number(/ sub=(\d+)/.exec(line)?.[1]) / 3)
    t.equal(shares.length, 3)
    t.equal(shares.reduce((sum, share) => sum + share), rooms.length)
    t.ok(shares.every((share) => share > 0), `each instance has some of the rooms: ${shares}`)
  })

  t.test('a message published over HTTP reaches the viewers behind the balancer', async (t) => {
    const room = crypto.randomUUID()
    const stream = await watch(room)
    const response = await fetch(`${cluster.url}/api/v1/chats/${room}/messages`, {
      method: 'POST', body: '{"n":1}', headers: { 'Content-Type': 'application/json', Authorization: `Bearer ${KEY}` }
    })
    t.equal(response.status, 202)
    t.same(await stream.untilMessages(1), ['{"n":1}'])
  })
})

t.test('one instance', async (t) => {
  let balancerLog = ''
  const { cluster, watch, tenant } = await startCluster(t, { instances: 1, onOutput: (source, text) => { if (source === 'haproxy') balancerLog += text } })

  t.test('a request has one name in the log of the balancer and of the instance, which is not for the client to choose', async (t) => {
    const stream = await watch(`${crypto.randomUUID()}?access_token=secret-token`, { 'X-Request-Id': 'chosen-by-the-client', Cookie: 'access_token=secret-token' })
    const output = () => cluster.instances[0]?.process.output ?? ''
    await eventually('the instance has said it', () => output().includes('"msg":"viewer connected"'))
    const id = /"reqId":"([0-9a-f-]{36})"[^\n]*"msg":"viewer connected"/.exec(output())?.[1] ?? 'none'
    t.notMatch(output(), /chosen-by-the-client/)
    stream.close()
    await eventually('the balancer has said it', () => balancerLog.includes(`id=${id}`))
    t.notMatch(balancerLog + output(), /secret-token/, 'no token is in either')
  })

  t.test('an event is passed on as it comes, not with the next one', async (t) => {
    const room = crypto.randomUUID()
    const stream = await watch(room)
    for (let n = 0; n < 20; n++) {
      await tenant.publish(room, String(n))
      // The next one is published only after this one has come.
      await stream.untilMessages(n + 1, 5000)
    }
    t.equal(stream.named('').length, 20)
  })
})

t.test('one instance behind low caps', async (t) => {
  const { cluster, roomUrl } = await startCluster(t, { instances: 1, haproxyEnv: { IP_MAX_VIEWERS: '2', IP_REQ_PER_10S: '40', IP_PUBLISH_PER_10S: '5', HAP_MAXCONN: '1200', FE_MAXCONN: '1100', FE_VIEWERS_MAX: '1050' } })

  t.test('errors keep their shape behind the balancer, and what is for operators is hidden', async (t) => {
    const notARoom = await fetch(roomUrl('not-a-room'))
    t.same([notARoom.status, await notARoom.text()], [400, '{"code":"BAD_REQUEST","message":"잘못된 요청입니다."}'])
    for (const path of ['/health/live', '/health/ready', '/metrics', '/%68ealth/ready', '/metric%73']) {
      const response = await fetch(cluster.url + path)
      t.same([response.status, (await response.json()).code], [404, 'NOT_FOUND'], path)
    }
    t.equal((await fetch(`${cluster.url}/lb/ready`)).status, 200)
    t.match(await (await fetch(`${cluster.adminUrl}/metrics`)).text(), /haproxy_server_status/)
    const open = await Promise.all([SseStream.open(roomUrl(crypto.randomUUID())), SseStream.open(roomUrl(crypto.randomUUID()))])
    t.teardown(() => open.forEach((stream) => stream.close()))
    for (const route of ['/api/v1/chats/sse-connect/', '/api/v1/chats/sse%2Dconnect/', '/%61pi/v1/chats/sse-connect/']) {
      const capped = await fetch(`${cluster.url}${route}${crypto.randomUUID()}`)
      t.same([capped.status, capped.headers.get('retry-after'), (await capped.json()).code], [429, '10', 'TOO_MANY_REQUESTS'], route)
    }
  })

  t.test('requests of one address are capped, publishes by themselves', async (t) => {
    const publishes: number[] = []
    for (let n = 0; n < 7; n++) publishes.push((await fetch(`${cluster.url}/api/v1/chats/${crypto.randomUUID()}/messages`, { method: 'POST' })).status)
    t.same(publishes, [401, 401, 401, 401, 401, 429, 429])
    const statuses = await Promise.all(Array.from({ length: 60 }, async () => (await fetch(`${cluster.url}/page.css`)).status))
    t.ok(statuses.includes(200))
    t.ok(statuses.includes(429))
  })

  t.test('an address that opens connections, and asks for nothing, leaves the others theirs', async (t) => {
    let closed = 0
    for (let n = 0; n < 1300; n++) {
      const socket = connect({ port: cluster.port, host: '127.0.0.1', localAddress: '127.0.0.9' }).resume()
      socket.on('error', () => {}).on('close', () => { closed++ })
      t.teardown(() => socket.destroy())
    }
    await eventually('those are cut that are too many', () => closed >= 1300 - 1002)
    t.equal(closed, 1300 - 1002)
    t.match(await sendRaw(cluster.url, 'GET /lb/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n'), /^HTTP\/1.1 200 /, 'on a connection of its own')
  })
})

t.test('an instance sees the addresses of viewers behind the balancer, whatever they claim', async (t) => {
  const { roomUrl } = await startCluster(t, { instances: 1, env: { MAX_VIEWERS_PER_ADDRESS: '1' } })
  /** What comes first on a stream that is asked for from one of the loopback addresses. */
  const firstWordsFor = async (localAddress: string, claim: string) => {
    const request = get(roomUrl(crypto.randomUUID()), { localAddress, headers: { 'X-Forwarded-For': claim } })
    t.teardown(() => request.destroy())
    const [response] = await once(request, 'response') as [IncomingMessage]
    response.on('error', () => {})
    return String((await once(response, 'data'))[0])
  }
  t.match(await firstWordsFor('127.0.0.1', '203.0.113.1'), /^retry:/)
  t.match(await firstWordsFor('127.0.0.1', '203.0.113.2'), /^:max-viewers-per-address\nretry:/)
  t.match(await firstWordsFor('127.0.0.2', '203.0.113.1'), /^retry:/)
})

t.test('a hot room spreads over more instances, a small one does not', async (t) => {
  const { watch, tenant, instancesOf } = await startCluster(t, { haproxyEnv: { ROOM_SHARD: '5' } })
  const [hot, small] = [crypto.randomUUID(), crypto.randomUUID()]
  const streams: SseStream[] = []
  for (let i = 0; i < 100; i++) streams.push(await watch(hot))
  for (let i = 0; i < 5; i++) await watch(small)
  t.ok(await instancesOf(hot) > 1)
  t.equal(await instancesOf(small), 1)
  const messages = Array.from({ length: 100 }, (_, n) => String(n))
  for (const message of messages) tenant.publish(hot, message)
  for (const stream of streams) t.same(await stream.untilMessages(messages.length), messages)
})

t.test('when an instance is killed and another is added while chat flows, every viewer goes on', async (t) => {
  const { cluster, reconnecting, tenant } = await startCluster(t)
  // So many that each instance surely has some.
  const rooms = Array.from({ length: 60 }, () => crypto.randomUUID())
  const viewers = rooms.map((room) => reconnecting(room))
  await eventually('all watch', () => viewers.every(({ isOpen }) => isOpen))
  let n = 0
  const chat = setInterval(() => {
    n++
    for (const room of rooms) tenant.publish(room, String(n))
  }, 100)
  t.teardown(() => clearInterval(chat))
  await eventually('chat flows', () => viewers.every(({ messages }) => messages.length > 3))

  const [victim] = cluster.instances
  if (!victim) throw new Error('no instance')
  await cluster.removeInstance(victim, 'SIGKILL')
  const killedAt = n
  await eventually('all have messages of after the kill', () => viewers.every(({ messages }) => Number(messages.at(-1)) > killedAt))
  const moved = viewers.filter(({ connects }) => connects > 1)
  t.ok(moved.length > 0 && moved.length < viewers.length, `only the viewers of the killed instance moved: ${moved.length} of ${viewers.length}`)
  t.ok(moved.every(({ events }) => events.some(({ event }) => event === 'gap')), 'each of them is told that it may have missed something')

  await cluster.addInstance()
  const addedAt = n
  await eventually('all have messages of after the growth', () => viewers.every(({ messages }) => Number(messages.at(-1)) > addedAt))
  for (const viewer of viewers) {
    t.equal(viewer.fatalStatus, undefined)
    const numbers = viewer.messages.map(Number)
    t.ok(numbers.every((value, index) => index === 0 || value > (numbers[index - 1] ?? 0)), 'nothing came twice or out of order')
  }
})

t.test('while no instance is up, or the balancer is full, viewers are told to come back, and do', async (t) => {
  const { cluster, watch, reconnecting, tenant } = await startCluster(t, { instances: 1, haproxyEnv: { FE_VIEWERS_MAX: '1' } })
  const room = crypto.randomUUID()
  const open = await watch(room)
  const full = await watch(room)
  await full.untilClosed()
  t.same([full.status, full.comments], [200, ['balancer-full']])
  t.equal(full.headers.get('content-type'), 'text/event-stream;charset=UTF-8')
  t.ok(full.retryMs >= 5000 && full.retryMs < 15_000)
  open.close()
  full.close()

  const [only] = cluster.instances
  if (!only) throw new Error('no instance')
  await cluster.removeInstance(only, 'SIGKILL')
  await cluster.settled()
  const none = await watch(room)
  await none.untilClosed()
  t.same([none.status, none.comments], [200, ['no-instance']])
  none.close()
  const viewer = reconnecting(room)
  await eventually('it has tried', () => viewer.connects > 0)
  await cluster.addInstance()
  await eventually('it watches', async () => {
    await tenant.publish(room, 'at last')
    return viewer.messages.length > 0
  })
  t.equal(viewer.fatalStatus, undefined)
})

t.test('an instance that is stopped lets its viewers go to the others, and exits by itself', async (t) => {
  const { cluster, reconnecting, tenant } = await startCluster(t)
  const rooms = Array.from({ length: 12 }, () => crypto.randomUUID())
  const viewers = rooms.map((room) => reconnecting(room))
  await eventually('all watch', () => viewers.every(({ isOpen }) => isOpen))
  const [leaving] = cluster.instances
  if (!leaving) throw new Error('no instance')
  t.equal(await cluster.removeInstance(leaving), 0)
  t.match(leaving.process.output, /"msg":"draining"/)
  await eventually('all watch again', () => viewers.every(({ isOpen }) => isOpen))
  // Some viewers may be between two streams: each gets one of the messages to come.
  const chat = setInterval(() => { for (const room of rooms) tenant.publish(room, 'after') }, 50)
  t.teardown(() => clearInterval(chat))
  await eventually('all have a message', () => viewers.every(({ messages }) => messages.includes('after')))
  t.ok(viewers.every(({ fatalStatus }) => fatalStatus === undefined))
})

t.test('a reload of the balancer cuts no stream, and new viewers get in', async (t) => {
  const { cluster, watch, tenant } = await startCluster(t, { instances: 1 })
  const room = crypto.randomUUID()
  const former = await watch(room)
  const [worker] = cluster.balancerWorkers()
  await cluster.reloadBalancer()
  const later = await watch(room)
  await tenant.publish(room, 'after')
  for (const stream of [former, later]) t.same(await stream.untilMessages(1), ['after'])
  t.equal(cluster.balancerWorkers().length, 2)
  former.close()
  await eventually('the former worker is gone with its last stream', () => !cluster.balancerWorkers().includes(worker ?? 0))
  t.notOk(later.closed)
})

t.test('a silent stream that lives is not cut, those of a frozen instance are, and its viewers go on elsewhere', async (t) => {
  const { cluster, reconnecting, watch, tenant } = await startCluster(t, { instances: 2, env: { HEARTBEAT_MS: '500' }, haproxyEnv: { STREAM_TIMEOUT: '2s' } })
  const silent = await watch(crypto.randomUUID())
  await silent.until(() => silent.comments.length >= 8, 'heartbeats over twice the timeout')
  t.notOk(silent.closed)
  const rooms = Array.from({ length: 10 }, () => crypto.randomUUID())
  const viewers = rooms.map((room) => reconnecting(room))
  await eventually('all watch', () => viewers.every(({ isOpen }) => isOpen))
  const [frozen] = cluster.instances
  frozen?.process.signal('SIGSTOP')
  const chat = setInterval(() => { for (const room of rooms) tenant.publish(room, 'after') }, 50)
  t.teardown(() => clearInterval(chat))
  await eventually('all have a message', () => viewers.every(({ messages }) => messages.includes('after')), 30_000)
})
