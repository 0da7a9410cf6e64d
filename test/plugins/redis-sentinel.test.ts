import t, { type Test } from 'tap'
import type { RedisServer } from '../../deploy/local-cluster/redis-server.js'
import { build, type Server } from '../fixtures/build.js'
import { eventually } from '../fixtures/eventually.js'
import { connectTenant } from '../fixtures/redis.js'
import { startSentinel } from '../fixtures/redis-sentinel.js'

/** Two instances that have a room open, in which 'before' was said. */
async function start (t: Test) {
  const redis = await startSentinel(t)
  const servers = [await build(t, { ...redis.env, LEASE_MS: '1000' }), await build(t, { ...redis.env, LEASE_MS: '1000' })]
  const room = crypto.randomUUID()
  const streams = []
  for (const { watch } of servers) streams.push(await watch(room))
  const publish = async (server: RedisServer, message: string) => await connectTenant(t, server).publish(room, message)
  t.equal(await publish(redis.master, 'before'), 2)
  for (const stream of streams) await stream.untilMessages(1)
  return { ...redis, servers, room, streams, publish }
}

const isAt = (server: RedisServer) => ({ app: { redis } }: Server) =>
  [...redis?.all ?? []].flatMap(({ commands, subscriber }) => [commands, subscriber]).every(({ status, stream }) => status === 'ready' && stream.remotePort === server.port)

t.test('when the master is killed, viewers are told of a gap and go on with what is published to the new one', async (t) => {
  const { master, replica, servers, room, streams, publish } = await start(t)
  const admin = connectTenant(t, replica)
  const term = await admin.hget(`chat:{${room}}:owner`, 'term')
  await master.kill()
  await eventually('both instances are at the new master', () => servers.every(isAt(replica)))
  for (const stream of streams) await stream.until(() => stream.named('gap').length > 0, 'the gap')
  t.equal(await publish(replica, 'after'), 2)
  for (const stream of streams) {
    t.same(await stream.untilMessages(2), ['before', 'after'])
    for (const { data } of stream.named('gap')) t.match(JSON.parse(data), { reason: 'broker-reconnect', missed: null })
    t.equal(stream.events.at(-1)?.data, '["after"]')
  }
  t.same(streams[0]?.events, streams[1]?.events, 'the same events under the same ids')
  t.ok(Number(await admin.hget(`chat:{${room}}:owner`, 'term')) > Number(term), 'under a new term')
})

t.test('a master that is replaced while it lives is left at once', async (t) => {
  const { master, replica, sentinel, current, servers, streams, publish } = await start(t)
  await sentinel.call('SENTINEL', 'failover', 'chat')
  await eventually('the replica is the master', async () => await current() === replica)
  await eventually('both instances are there', () => servers.every(isAt(replica)))
  t.equal((await connectTenant(t, master).role())[0], 'master', 'the sentinel takes its time to make it a replica')
  t.equal(await publish(replica, 'after'), 2)
  for (const stream of streams) t.same(await stream.untilMessages(2), ['before', 'after'])
  t.not(await current(), master)
})

t.test('a master that takes no writes any more is not used, and used again when it does', async (t) => {
  const { master, replica, servers, streams, publish } = await start(t)
  const admin = connectTenant(t, master)
  await admin.replicaof('127.0.0.1', replica.port)
  await eventually('it is left', () => servers.every(({ app }) => app.redis?.nodeOf('').commands.status !== 'ready'))
  t.ok(servers.every(({ log }) => log.some(({ reason }) => /READONLY/.test(String(reason)) || reason === 'connection closed')))
  await admin.replicaof('NO', 'ONE')
  await eventually('both instances are back', () => servers.every(isAt(master)))
  await publish(master, 'after')
  for (const stream of streams) t.same(await stream.untilMessages(2), ['before', 'after'])
})
