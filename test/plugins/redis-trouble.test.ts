import t from 'tap'
import { build } from '../fixtures/build.js'
import { eventually } from '../fixtures/eventually.js'
import { connectTenant, startRedis } from '../fixtures/redis.js'

const gapsOf = (stream: { named (name: string): Array<{ data: string }> }) => stream.named('gap').map(({ data }) => JSON.parse(data))

t.test('a viewer that comes while Redis is away is let in at once, kept alive, and gets its messages when Redis is back', async (t) => {
  const redis = await startRedis(t)
  await redis.kill()
  const { watch, log } = await build(t, { ...redis.env, HEARTBEAT_MS: '100' })
  const room = crypto.randomUUID()
  const stream = await watch(room)
  t.equal(stream.status, 200)
  await stream.until(() => stream.comments.length > 1, 'a heartbeat')
  await redis.restart()
  await stream.until(() => stream.named('gap').length === 1, 'the gap')
  t.match(gapsOf(stream), [{ reason: 'broker-reconnect', missed: null }])
  await connectTenant(t, redis).publish(room, 'at last')
  t.same(await stream.untilMessages(1), ['at last'])
  t.equal(log.filter(({ msg }) => msg === 'redis is not available, retrying').length, 2, 'one line per connection')
})

t.test('when Redis was killed and restarted empty, viewers are told of a gap, and go on, also those who come back', async (t) => {
  const redis = await startRedis(t)
  const { watch, log } = await build(t, redis.env)
  const tenant = connectTenant(t, redis)
  const [room, quiet] = [crypto.randomUUID(), crypto.randomUUID()]
  const stream = await watch(room)
  const quietStream = await watch(quiet)
  await tenant.publish(room, 'before')
  await stream.untilMessages(1)
  const idBefore = stream.lastEventId
  await redis.kill()
  await eventually('the loss is noticed', () => log.some(({ msg }) => msg === 'redis is not available, retrying'))
  await redis.restart()
  await Promise.all([stream, quietStream].map((each) => each.until(() => each.named('gap').length === 1, 'the gap')))
  await eventually('the tenant is back', () => tenant.status === 'ready')
  await tenant.publish(room, 'after')
  await stream.untilMessages(2)
  t.same(stream.events.map(({ event, data }) => event || data), ['["before"]', 'gap', '["after"]'])
  // The first one, under whichever term: what Redis had not acknowledged was logged anew.
  t.match(gapsOf(stream), [{ reason: 'broker-reconnect', from: /-1$/, missed: null }])

  const resumed = await watch(room, '', { 'Last-Event-ID': idBefore })
  await resumed.untilMessages(1)
  t.same(resumed.events.map(({ event, data }) => event || data), ['gap', '["after"]'], 'the gap is part of the history')
  const upToDate = await watch(room, '', { 'Last-Event-ID': stream.lastEventId })
  await tenant.publish(room, 'live')
  t.same(await upToDate.untilMessages(1), ['live'])
  t.same(upToDate.named('gap'), [], 'who has seen the gap is not told again')
})

t.test('a room that ends right after Redis is back says the gap before its end, and messages come after it', async (t) => {
  const redis = await startRedis(t)
  const { app, watch } = await build(t, redis.env)
  const tenant = connectTenant(t, redis)
  await eventually('both are connected', () => app.broker.connected && tenant.status === 'ready')
  const rooms = Array.from({ length: 20 }, () => crypto.randomUUID())
  const streams = await Promise.all(rooms.map((room) => watch(room)))
  await redis.kill()
  await eventually('the loss is noticed', () => !app.broker.connected)
  await redis.restart()
  await eventually('the tenant is back', () => tenant.status === 'ready')
  // As soon as anybody is subscribed: before the room is told that it is open again.
  await Promise.all(rooms.map((room) => eventually('the message is heard', async () => await tenant.publish(room, 'after') === 1)))
  await Promise.all(rooms.map((room) => tenant.publish(`${room}_END`, '{}')))
  for (const stream of streams) {
    await stream.untilClosed()
    t.same(stream.events.map(({ event, data }) => event || data), ['gap', '["after"]', 'end'])
  }
})

t.test('while Redis is slow, a stream begins after SUBSCRIBE_TIMEOUT_MS, and what may have been missed is said', async (t) => {
  const redis = await startRedis(t)
  const { app, watch } = await build(t, { ...redis.env, SUBSCRIBE_TIMEOUT_MS: '200' })
  await eventually('the broker is connected', () => app.broker.connected)
  redis.signal('SIGSTOP')
  t.teardown(() => redis.signal('SIGCONT'))
  const stream = await watch(crypto.randomUUID())
  t.equal(stream.status, 200)
  t.same(stream.named('gap'), [])
  redis.signal('SIGCONT')
  await stream.until(() => stream.named('gap').length === 1, 'the gap')
  t.match(gapsOf(stream), [{ reason: 'broker-reconnect' }])
})

t.test('nothing published after the head of a stream is missed', async (t) => {
  const redis = await startRedis(t)
  const { app, watch } = await build(t, redis.env)
  const tenant = connectTenant(t, redis)
  await eventually('both are connected', () => app.broker.connected && tenant.status === 'ready')
  for (let i = 0; i < 50; i++) {
    const room = crypto.randomUUID()
    const stream = await watch(room)
    t.equal(await tenant.publish(room, String(i)), 1, 'somebody is subscribed')
    t.same(await stream.untilMessages(1), [String(i)])
    t.same(stream.named('gap'), [])
    stream.close()
  }
})

t.test('a thousand viewers of a room cost one subscription, which goes when they have gone', async (t) => {
  const redis = await startRedis(t)
  const { app, watch } = await build(t, { ...redis.env, ROOM_LINGER_MS: '100' })
  const tenant = connectTenant(t, redis)
  await eventually('the broker is connected', () => app.broker.connected)
  const room = crypto.randomUUID()
  await tenant.config('RESETSTAT')
  const streams = await Promise.all(Array.from({ length: 1000 }, () => watch(room)))
  t.match(await tenant.info('commandstats'), /cmdstat_subscribe:calls=1,/)
  const messages = Array.from({ length: 300 }, (_, n) => String(n))
  for (const message of messages) tenant.publish(room, message)
  for (const stream of streams) await stream.untilMessages(messages.length)
  t.ok(streams.every((stream) => stream.messages.join() === messages.join()), 'each got all, in order')
  t.equal(new Set(streams.map(({ body }) => body.slice(body.indexOf('\n\n')))).size, 1, 'the same bytes')
  for (const stream of streams) stream.close()
  await eventually('nobody is subscribed', async () => (await tenant.pubsub('CHANNELS') as string[]).length === 0)
  t.equal(app.rooms.viewers, 0)
})

t.test('an end that a tenant publishes makes every instance answer 204', async (t) => {
  const redis = await startRedis(t)
  const [one, other, idle] = [await build(t, redis.env), await build(t, redis.env), await build(t, redis.env)]
  const tenant = connectTenant(t, redis)
  await eventually('all are connected', () => [one, other, idle].every(({ app }) => app.broker.connected) && tenant.status === 'ready')
  const room = crypto.randomUUID()
  const streams = [await one.watch(room), await other.watch(room)]
  await tenant.publish(room, 'last words')
  await tenant.publish(`${room}_END`, '{"reason":"over"}')
  for (const stream of streams) {
    await stream.untilClosed()
    t.same(stream.events.map(({ event, data }) => [event, data]), [['', '["last words"]'], ['end', '{"reason":"over"}']])
  }
  for (const { url } of [one, other, idle]) {
    await eventually('it answers 204', async () => {
      const response = await fetch(`${url}/api/v1/chats/sse-connect/${room}`)
      await response.body?.cancel()
      return response.status === 204
    })
  }
})

t.test('payloads of every odd kind harm nobody', async (t) => {
  const redis = await startRedis(t)
  const { app, watch } = await build(t, redis.env)
  const tenant = connectTenant(t, redis)
  await eventually('the broker is connected', () => app.broker.connected)
  const room = crypto.randomUUID()
  const stream = await watch(room)
  const payloads = [Buffer.alloc(0), Buffer.from([0xff, 0xfe, 0xc3]), Buffer.from('\r\n\r\n'), Buffer.from('data: x\n\n'), Buffer.alloc(65_536, 'x'), Buffer.alloc(65_537, 'x'), Buffer.from([0xed, 0xa0, 0x80]), Buffer.from('last')]
  for (const payload of payloads) await tenant.publish(room, payload)
  await stream.until(() => stream.messages.at(-1) === 'last', 'the last message')
  t.same(stream.messages, payloads.filter(({ length }) => length <= 65_536).map((payload) => payload.toString()))
  // Somebody else's value under our key must not keep a room from opening.
  const broken = crypto.randomUUID()
  await tenant.lpush(`chat:{${broken}}:ended`, 'a list')
  const other = await watch(broken)
  t.equal(other.status, 200)
  await tenant.del(`chat:{${broken}}:ended`)
  await other.until(() => other.named('gap').length === 1, 'the subscription')
  await tenant.publish(broken, 'x')
  t.same(await other.untilMessages(1), ['x'])
})

t.test('what Redis refuses to log is tried again in no haste, and logged once when Redis takes it', async (t) => {
  const redis = await startRedis(t)
  const { watch } = await build(t, { ...redis.env, HEARTBEAT_MS: '500' })
  const tenant = connectTenant(t, redis)
  const room = crypto.randomUUID()
  const stream = await watch(room)
  await tenant.acl('SETUSER', 'default', '-xadd')
  await tenant.config('RESETSTAT')
  await tenant.publish(room, 'x')
  await stream.until(() => stream.comments.length >= 2, 'two heartbeats')
  const calls = Number(/cmdstat_evalsha:calls=(\d+)/.exec(await tenant.info('commandstats'))?.[1])
  t.ok(calls < 50, `${calls} scripts in a second`)
  await tenant.acl('SETUSER', 'default', '+xadd')
  await eventually('it is logged', async () => await tenant.xlen(`chat:{${room}}:log`) === 1)
  await tenant.publish(room, 'y')
  t.same(await stream.untilMessages(2), ['x', 'y'])
  t.same(stream.named('gap'), [])
})

t.test('a stranger in a log, with an id above those to come, does not end it', async (t) => {
  const redis = await startRedis(t)
  const { watch } = await build(t, redis.env)
  const tenant = connectTenant(t, redis)
  const room = crypto.randomUUID()
  const stream = await watch(room)
  await tenant.publish(room, 'x')
  await stream.untilMessages(1)
  await tenant.xadd(`chat:{${room}}:log`, `${Date.now() + 60_000}-0`, 'not', 'ours')
  await tenant.publish(room, 'y')
  t.same(await stream.untilMessages(2), ['x', 'y'])
  await eventually('it is logged', async () => JSON.stringify(await tenant.xrange(`chat:{${room}}:log`, '-', '+')).includes('[\\"y\\"]'), 10_000)
})
