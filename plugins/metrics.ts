import { once } from 'node:events'
import { createServer } from 'node:http'
import fp from 'fastify-plugin'
import { collectDefaultMetrics, Registry } from 'prom-client'
import { registerChatMetrics } from './chat-metrics.js'

declare module 'fastify' {
  interface FastifyInstance {
    /** What is told on METRICS_PORT; undefined when that is off. */
    metrics: Registry | undefined
  }
}

/** Those who scrape are few, and quick. */
const MAX_CONNECTIONS = 20
const REQUEST_TIMEOUT_MS = 5000
/** Of what Node.js says of itself: these look at every open socket for a single number. */
const TOO_COSTLY = ['nodejs_active_handles', 'nodejs_active_handles_total', 'nodejs_active_resources', 'nodejs_active_resources_total', 'nodejs_active_requests', 'nodejs_active_requests_total']

/**
 * Metrics for Prometheus, on a port of their own: what an instance does is not for the public. Without METRICS_PORT nothing is
 * collected. It answers until the last viewer has gone.
 */
export default fp(async (app) => {
  const { METRICS_PORT: port, METRICS_HOST: host } = app.config
  if (port === 0) {
    app.decorate('metrics', undefined)
    return
  }
  const registry = new Registry()
  collectDefaultMetrics({ register: registry })
  for (const name of TOO_COSTLY) registry.removeSingleMetric(name)
  registerChatMetrics(registry, app)
  app.decorate('metrics', registry)

  const server = createServer({ requestTimeout: REQUEST_TIMEOUT_MS, headersTimeout: REQUEST_TIMEOUT_MS }, async (request, response) => {
    request.resume()
    if (request.method !== 'GET' || request.url?.split('?')[0] !== '/metrics') {
      response.writeHead(404).end()
      return
    }
    try {
      const text = await registry.metrics()
      response.writeHead(200, { 'Content-Type': registry.contentType }).end(text)
    } catch (error) {
      app.log.error({ err: error }, 'metrics cannot be told')
      response.writeHead(500).end()
    }
  })
  server.maxConnections = MAX_CONNECTIONS
  app.addHook('onReady', async () => {
    server.listen(port, host)
    await once(server, 'listening')
    app.log.info({ host, port }, 'metrics are told on /metrics')
  })
  app.addHook('onClose', async () => {
    server.close()
    server.closeAllConnections()
    registry.clear()
  })
}, { name: 'metrics', dependencies: ['env', 'redis', 'metering', 'broker', 'rooms'], decorators: { fastify: ['config', 'redis', 'billing', 'broker', 'rooms'] } })
