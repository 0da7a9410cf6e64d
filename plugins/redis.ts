import fp from 'fastify-plugin'
import type { Redis } from 'ioredis'
import { connectRedis } from '../src/broker/redis-connection.js'

declare module 'fastify' {
  interface FastifyInstance {
    /** Two connections, because a subscribed one takes no other commands; undefined without REDIS_IP. */
    redis: { readonly commands: Redis, readonly subscriber: Redis } | undefined
  }
}

export default fp(async (app) => {
  const { REDIS_IP: host, REDIS_PORT: port, REDIS_PASSWORD: password, REDIS_TIMEOUT_MS: timeoutMs } = app.config
  if (host === '') {
    app.decorate('redis', undefined)
    return
  }
  const settings = { host, port, password, timeoutMs }
  const commands = connectRedis('commands', settings, app.log)
  const subscriber = connectRedis('subscriber', settings, app.log)
  app.decorate('redis', { commands, subscriber })
  app.addHook('onClose', async () => {
    commands.disconnect()
    subscriber.disconnect()
  })
}, { name: 'redis', dependencies: ['env'], decorators: { fastify: ['config'] } })
