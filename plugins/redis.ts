import { once } from 'node:events'
import { setTimeout as pause } from 'node:timers/promises'
import fp from 'fastify-plugin'
import { RedisCluster } from '../src/broker/redis-cluster.js'
import { connectRedis } from '../src/broker/redis-connection.js'
import { oneServer, type RedisNodes } from '../src/broker/redis-nodes.js'
import { redisSettings } from '../src/broker/redis-settings.js'
import { systemClock } from '../src/clock.js'

declare module 'fastify' {
  interface FastifyInstance {
    /** The servers of Redis; undefined with the embedded broker. */
    redis: RedisNodes | undefined
  }
}

/** Longest wait for Redis at the start. */
const START_WAIT_MS = 5000
const POLL_MS = 20

/** Resolves when the servers can be used, or it is time to go on without. */
async function connected (nodes: RedisNodes) {
  const signal = AbortSignal.timeout(START_WAIT_MS)
  if (nodes instanceof RedisCluster) {
    while (!nodes.isReady && !signal.aborted) await pause(POLL_MS)
    return
  }
  const connections = [...nodes.all].flatMap(({ commands, subscriber }) => [commands, subscriber])
  await Promise.all(connections.map((connection) => once(connection, 'ready', { signal }).catch(() => {})))
}

export default fp(async (app) => {
  const settings = redisSettings(app.config)
  if (settings === undefined) {
    app.decorate('redis', undefined)
    return
  }
  const nodes = 'clusterNodes' in settings
    ? new RedisCluster(settings, systemClock, app.log)
    : oneServer(connectRedis('commands', settings, app.log), connectRedis('subscriber', settings, app.log))
  app.decorate<RedisNodes>('redis', nodes)
  // Who comes right after the start finds Redis connected, and has nothing missed. If it is away, viewers are served without.
  await connected(nodes)
  app.addHook('onClose', async () => nodes.close())
}, { name: 'redis', dependencies: ['env'], decorators: { fastify: ['config'] } })
