import type { IncomingMessage, RequestListener } from 'node:http'
import fp from 'fastify-plugin'
import { systemClock } from '../src/clock.js'
import { Turnstile } from '../src/turnstile.js'

declare module 'fastify' {
  interface FastifyInstance {
    /** For whoever does something for a viewer that thousands may want at once. */
    turnstile: Turnstile
  }
}

/** So many take a few ms. */
const PER_TURN = 64

const STREAM_PATH = '/api/v1/chats/sse-connect/'

/**
 * Requests for streams are begun a few at a time: when thousands come at once, such as after a broken connection in the path, rooms
 * go on, and whoever else asks for something is answered.
 *
 * Of a connection one request waits at the most, the one whose turn it is to be answered. Those that are pipelined behind it are
 * begun at once: Node.js reads on until too much of an answer is unread, so any number of them could wait.
 */
export default fp(async (app) => {
  const turnstile = new Turnstile(systemClock, PER_TURN)
  app.decorate('turnstile', turnstile)

  const { server } = app
  // Fastify's own; node:http would call it for each request as soon as it is read.
  const handlers = server.listeners('request') as RequestListener[]
  server.removeAllListeners('request')
  server.on('request', (request: IncomingMessage, response) => {
    const handle = () => {
      for (const handler of handlers) handler.call(server, request, response)
    }
    if (response.socket === null || !request.url?.startsWith(STREAM_PATH)) return handle()
    // Nobody reads its body. It ends before anything else is done for it, so that HTTP can be released when the stream begins.
    if (request.method === 'GET') request.resume()
    turnstile.pass(() => {
      if (!request.socket.destroyed) handle()
    })
  })
}, { name: 'turnstile' })
