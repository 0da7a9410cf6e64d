import t from 'tap'
import { build } from '../fixtures/build.js'
import { eventually } from '../fixtures/eventually.js'
import { connectTenant, startRedis } from '../fixtures/redis.js'
import { TcpProxy } from '../fixtures/tcp-proxy.js'

t.test('an instance that is cut off from Redis lets a viewer wait whose last event it has not, and says nothing false', async (t) => {
  const redis = await startRedis(t)
  const proxy = await TcpProxy.start(t, redis.port)
  const tenant = connectTenant(t, redis)
  const cut = await build(t, { ...redis.env, REDIS_PORT: String(proxy.port), LEASE_MS: '3000' })
  const other = await build(t, { ...redis.env, LEASE_MS: '3000' })
  const [owned, followed] = [crypto.randomUUID(), crypto.randomUUID()]
  const witnesses = []
  for (const [room, servers] of [[owned, [cut, other]], [followed, [other, cut]]] as const) {
    for (const { watch } of servers) {
      const stream = await watch(room)
      await tenant.publish(room, 'before')
      await stream.until(() => stream.messages.at(-1) === 'before', 'a message')
      if (watch === other.watch) witnesses.push(stream)
    }
  }
  proxy.cut()
  const instance = await tenant.hget(`chat:{${owned}}:owner`, 'instance')
  await eventually('the other takes the room over', async () => await tenant.hget(`chat:{${owned}}:owner`, 'instance') !== instance)
  const comers = []
  for (const witness of witnesses) {
    const room = witness === witnesses[0] ? owned : followed
    await tenant.publish(room, 'meanwhile')
    await witness.until(() => witness.messages.at(-1) === 'meanwhile', 'the message of the time of the cut')
    comers.push({ room, stream: await cut.watch(room, '', { 'Last-Event-ID': witness.lastEventId }) })
  }
  proxy.heal()
  for (const { room, stream } of comers) {
    await tenant.publish(room, 'after')
    await stream.until(() => stream.messages.length > 0, 'a message')
    t.same(stream.messages, ['after'])
    t.same(stream.named('gap'), [])
  }
})
