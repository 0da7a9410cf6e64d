import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
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

/** Requests that wait on one connection until those before them are answered. Of what sends more nobody reads the answers. */
const MAX_PIPELINED = 16

/**
 * Requests for streams are begun a few at a time: when thousands come at once, such as after a broken connection in the path, rooms
 * go on, and whoever else asks for something is answered.
 *
 * A request that is pipelined is begun when those before it are answered. Node.js would begin it as soon as it is read, and tells nobody when
 * its connection is closed before its turn: whatever was opened for the answer, such as a file, would stay open.
 */
export default fp(async (app) => {
  const turnstile = new Turnstile(systemClock, PER_TURN)
  app.decorate('turnstile', turnstile)

  const { server } = app
  // Fastify's own; node:http would call it for each request as soon as it is read.
  const handlers = server.listeners('request') as RequestListener[]
  const pipelined = new WeakMap<Socket, number>()

  function begin (request: IncomingMessage, response: ServerResponse<IncomingMessage> & { req: IncomingMessage }) {
    const handle = () => {
      if (request.socket.destroyed) return
      for (const handler of handlers) handler.call(server, request, response)
    }
    if (!request.url?.startsWith(STREAM_PATH)) return handle()
    // Nobody reads its body. It ends before anything else is done for it, so that HTTP can be released when the stream begins.
    if (request.method === 'GET') request.resume()
    turnstile.pass(handle)
  }

  server.removeAllListeners('request')
  server.on('request', (request: IncomingMessage, response) => {
    if (response.socket !== null) return begin(request, response)
    const { socket } = request
    const waiting = pipelined.get(socket) ?? 0
    if (waiting === MAX_PIPELINED) return socket.destroy()
    pipelined.set(socket, waiting + 1)
    // It is given the socket when its turn has come.
    response.once('socket', () => {
      pipelined.set(socket, (pipelined.get(socket) ?? 1) - 1)
      systemClock.soon(() => begin(request, response))
    })
  })
}, { name: 'turnstile' })
