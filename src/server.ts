import closeWithGrace from 'close-with-grace'
import Fastify from 'fastify'
import app, { serverOptions } from './app.js'

/** Time past DRAIN_MS after which a close that hangs is cut short. */
const CLOSE_GRACE_MS = 10_000

const server = Fastify({ ...serverOptions, logger: true })

try {
  await server.register(app, {})
  const { HOST, PORT, DRAIN_MS, REDIS_IP } = server.config
  const host = HOST || (REDIS_IP === '' ? '127.0.0.1' : '0.0.0.0')
  // First, so that a signal during the start is heeded.
  closeWithGrace({ delay: DRAIN_MS + CLOSE_GRACE_MS, logger: { error: (message: unknown) => server.log.error({ reason: String(message) }, 'closing') } }, async ({ signal, err }) => {
    if (err) server.log.fatal({ err }, 'unexpected error, closing')
    else server.log.info({ signal }, 'closing')
    await server.close()
  })
  const address = await server.listen({ host, port: PORT, listenTextResolver: (address) => `listening on ${address}` })
  server.log.info({}, `try it: ${address}/`)
} catch (error) {
  // The message names what is wrong, such as a variable; the stack of a bad setting helps nobody.
  server.log.fatal({ reason: error instanceof Error ? error.message : String(error) }, 'could not start')
  process.exit(1)
}
