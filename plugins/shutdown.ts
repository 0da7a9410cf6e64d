import fp from 'fastify-plugin'

const CLOSE_IDLE_INTERVAL_MS = 100
/** Past REDIS_TIMEOUT_MS: a publish that waits for Redis still gets its answer. */
const ANSWER_MARGIN_MS = 1000

/**
 * Ends what would keep a closing server open. Node closes idle connections only once, and stops to look for requests that
 * are never completed: neither a connection that has sent nothing nor one that becomes idle later would end by itself.
 *
 * Registered after the rooms, so that their viewers are let go before.
 */
export default fp(async (app) => {
  let idle: NodeJS.Timeout | undefined
  let rest: NodeJS.Timeout | undefined
  app.addHook('preClose', async () => {
    idle = setInterval(() => app.server.closeIdleConnections(), CLOSE_IDLE_INTERVAL_MS)
    rest = setTimeout(() => app.server.closeAllConnections(), app.config.REDIS_TIMEOUT_MS + ANSWER_MARGIN_MS)
  })
  app.addHook('onClose', async () => {
    clearInterval(idle)
    clearTimeout(rest)
  })
}, { name: 'shutdown', dependencies: ['env', 'rooms'], decorators: { fastify: ['config'] } })
