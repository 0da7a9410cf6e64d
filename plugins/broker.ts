import fp from 'fastify-plugin'
import type { Broker } from '../src/broker/broker.js'
import { MemoryBroker } from '../src/broker/memory-broker.js'
import { RedisBroker } from '../src/broker/redis-broker.js'
import { systemClock } from '../src/clock.js'

declare module 'fastify' {
  interface FastifyInstance {
    broker: Broker
  }
}

/** Redis when REDIS_IP is set, else the embedded broker. */
export default fp(async (app) => {
  const endedTtlMs = app.config.ENDED_TTL_MS
  const broker: Broker = app.redis
    ? new RedisBroker({ ...app.redis, clock: systemClock, log: app.log, endedTtlMs, maxMessageBytes: app.config.MAX_MESSAGE_BYTES })
    : new MemoryBroker(endedTtlMs)
  if (!app.redis) app.log.info('no REDIS_IP: using the embedded broker, one instance, nothing is kept when it stops')
  app.decorate('broker', broker)
  app.addHook('onClose', async () => broker.close())
}, { name: 'broker', dependencies: ['env', 'redis'], decorators: { fastify: ['config', 'redis'] } })
