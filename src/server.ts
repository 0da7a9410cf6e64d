import closeWithGrace from 'close-with-grace'
import Fastify from 'fastify'
import app, { serverOptions } from './app.js'
import { usesRedis } from './config.js'

/** Time past DRAIN_MS, HANDOVER_MS and REDIS_TIMEOUT_MS after which a close that hangs is cut short. */
const CLOSE_GRACE_MS = 5000
/**
 * Connections that may wait to be accepted, as far as the system lets them (net.core.somaxconn). Who does not fit in tries
 * again after 1, 3 and 7 s, and viewers who lost their streams together come back together.
 */
const BACKLOG = 4096

const server = Fastify({ ...serverOptions, logger: true })

// A process that is number 1 in its container ignores a signal that it does not handle.
const exitAtOnce = () => process.exit(0)
process.once('SIGTERM', exitAtOnce).once('SIGINT', exitAtOnce)

try {
  await server.register(app, {})
  const { HOST, PORT, DRAIN_MS, HANDOVER_MS, REDIS_TIMEOUT_MS } = server.config
  // For each further address of this name Fastify would open another server, on which no plugin listens.
  const host = HOST === 'localhost' ? '127.0.0.1' : HOST || (usesRedis(server.config) ? '0.0.0.0' : '127.0.0.1')
  process.off('SIGTERM', exitAtOnce).off('SIGINT', exitAtOnce)
  closeWithGrace({ delay: DRAIN_MS + HANDOVER_MS + REDIS_TIMEOUT_MS + CLOSE_GRACE_MS, logger: { error: (message: unknown) => server.log.error({ reason: String(message) }, 'closing') } }, async ({ signal, err }) => {
    if (err) server.log.fatal({ err }, 'unexpected error, closing')
    else server.log.info({ signal }, 'closing')
    await server.close()
  })
  const address = await server.listen({ host, port: PORT, backlog: BACKLOG, listenTextResolver: (address) => `listening on ${address}` })
  server.log.info({}, `try it: ${address}/`)
} catch (error) {
  // The message names what is wrong, such as a variable; the stack of a bad setting helps nobody.
  server.log.fatal({ reason: error instanceof Error ? error.message : String(error) }, 'could not start')
  process.exit(1)
}
