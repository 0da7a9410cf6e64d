import fp from 'fastify-plugin'
import { systemClock } from '../src/clock.js'
import { BillingWorker } from '../src/metering/billing-worker.js'
import { MemoryLedger } from '../src/metering/memory-ledger.js'
import { RedisLedger } from '../src/metering/redis-ledger.js'
import { tenantApi } from '../src/metering/tenant-api.js'

declare module 'fastify' {
  interface FastifyInstance {
    /** Where messages are counted; undefined without TENANT_BASE_URL. With Redis they are counted by a script, as they are logged. */
    ledger: RedisLedger | MemoryLedger | undefined
    /** Bills them; undefined without TENANT_BASE_URL. */
    billing: BillingWorker | undefined
  }
}

/** Bills usage to the tenant API. Registered before the broker, so that it is closed after the last message was counted. */
export default fp(async (app) => {
  const { TENANT_BASE_URL: baseUrl, BILLING_INTERVAL_MS: intervalMs, BILLING_TIMEOUT_MS: timeoutMs } = app.config
  if (baseUrl === '') {
    app.log.info('no TENANT_BASE_URL: nothing is billed')
    app.decorate('ledger', undefined)
    app.decorate('billing', undefined)
    return
  }
  const ledger = app.redis ? new RedisLedger(app.redis, app.log) : new MemoryLedger(app.log)
  const bill = tenantApi({ baseUrl, timeoutMs, clock: systemClock })
  const worker = new BillingWorker({ ledger, bill, clock: systemClock, log: app.log, intervalMs })
  app.decorate<RedisLedger | MemoryLedger>('ledger', ledger)
  app.decorate('billing', worker)
  app.addHook('onReady', async () => worker.start())
  app.addHook('onClose', () => worker.close())
}, { name: 'metering', dependencies: ['env', 'redis'], decorators: { fastify: ['config', 'redis'] } })
