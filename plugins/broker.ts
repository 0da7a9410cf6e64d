import fp from 'fastify-plugin'
import type { Broker } from '../src/broker/broker.js'
import { MemoryBroker } from '../src/broker/memory-broker.js'
import { RedisBroker } from '../src/broker/redis-broker.js'
import { systemClock } from '../src/clock.js'
import { MemoryLedger } from '../src/metering/memory-ledger.js'

declare module 'fastify' {
  interface FastifyInstance {
    broker: Broker
  }
}

/** Redis when the settings say where it is, else the embedded broker. */
export default fp(async (app) => {
  const { ENDED_TTL_MS: endedTtlMs, LOG_TTL_MS: logTtlMs, MAX_MESSAGE_BYTES: maxMessageBytes } = app.config
  const { ledger } = app
  const common = { clock: systemClock, log: app.log, endedTtlMs, logTtlMs }
  const broker: Broker = app.redis
    ? new RedisBroker({ nodes: app.redis, ...common, maxMessageBytes, isMetered: ledger !== undefined })
    : new MemoryBroker({ ...common, ...(ledger instanceof MemoryLedger && { onLogged: (roomId: string, messages: number) => ledger.count(roomId, messages) }) })
  if (!app.redis) app.log.info('no REDIS_IP: using the embedded broker, one instance, nothing is kept when it stops')
  app.decorate('broker', broker)
  app.addHook('onClose', async () => broker.close())
}, { name: 'broker', dependencies: ['env', 'redis', 'metering'], decorators: { fastify: ['config', 'redis', 'ledger'] } })
