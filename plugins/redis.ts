import { once } from 'node:events'
import fp from 'fastify-plugin'
import type { Redis } from 'ioredis'
import { connectRedis } from '../src/broker/redis-connection.js'
import { redisSettings } from '../src/broker/redis-settings.js'

declare module 'fastify' {
  interface FastifyInstance {
    /** Two connections, because a subscribed one takes no other commands; undefined with the embedded broker. */
    redis: { readonly commands: Redis, readonly subscriber: Redis } | undefined
  }
}

/** Longest wait for Redis at the start. */
const START_WAIT_MS = 5000

export default fp(async (app) => {
  const settings = redisSettings(app.config)
  if (settings === undefined) {
    app.decorate('redis', undefined)
    return
  }
  if ('clusterNodes' in settings) throw new Error('TODO')
  const commands = connectRedis('commands', settings, app.log)
  const subscriber = connectRedis('subscriber', settings, app.log)
  app.decorate('redis', { commands, subscriber })
  // Who comes right after the start finds Redis connected, and has nothing missed. If it is away, viewers are served without.
  const signal = AbortSignal.timeout(START_WAIT_MS)
  await Promise.all([commands, subscriber].map((connection) => once(connection, 'ready', { signal }).catch(() => {})))
  app.addHook('onClose', async () => {
    commands.disconnect()
    subscriber.disconnect()
  })
}, { name: 'redis', dependencies: ['env'], decorators: { fastify: ['config'] } })
