import type { Socket } from 'node:net'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import Negotiator from 'negotiator'
import { Type } from 'typebox'
import { AddressPlaces, type AddressPlace } from '../src/access/address-places.js'
import type { Permit } from '../src/access/viewer-tokens.js'
import { releaseHttp } from '../src/release-http.js'
import type { DisconnectReason } from '../src/rooms/disconnect-reason.js'
import { goodbyeFrame } from '../src/rooms/frame.js'
import { GZIP_HEADER } from '../src/rooms/gzip-blocks.js'
import type { Room } from '../src/rooms/room.js'
import { Viewer } from '../src/rooms/viewer.js'
import { errorResponses } from './errors.js'
import { SessionParams } from './session-params.js'

const STREAM_HEADERS = {
  'Content-Type': 'text/event-stream;charset=UTF-8',
  'Cache-Control': 'no-cache, no-transform',
  'X-Accel-Buffering': 'no',
  Connection: 'close'
}

const GZIP_STREAM_HEADERS = { ...STREAM_HEADERS, 'Content-Encoding': 'gzip' }

/** Connections on which a request came before the one ahead of it was answered. */
const pipelined = new WeakSet<Socket>()

const StreamQuery = Type.Object({
  lastEventId: Type.Optional(Type.String({ description: 'Id of the last event seen, for clients that cannot send the `Last-Event-ID` header. The header wins.' })),
  recent: Type.Integer({ minimum: 0, default: 0, description: 'A new viewer gets the last so many messages first, as far as they are kept (HISTORY_MESSAGES). Ignored with an event id.' })
})

const StreamRequestHeaders = Type.Object({
  'last-event-id': Type.Optional(Type.String({ description: 'Id of the last event seen; the browser sends it when it reconnects. The stream goes on after that event.' }))
})

const STREAM_EXAMPLE = `retry:2431
id:1790000000000-0

event:viewers
data:{"count":1280}

id:1790000000000-2
data:["{\\"id\\":\\"u1\\",\\"nickname\\":\\"mina\\",\\"message\\":\\"hi\\"}","{\\"id\\":\\"u2\\",\\"nickname\\":\\"jun\\",\\"message\\":\\"hello\\"}"]

:

id:1790000042000-2
event:gap
data:{"reason":"broker-reconnect","from":"1790000000000-2","to":"1790000042000-2","missed":null}

event:end
data:{"reason":"broadcast over"}

`

const schema = {
  summary: 'Watch a chat room',
  description: `A Server-Sent Events stream of the room's messages, to be read with \`EventSource\`.

- **unnamed event**: a batch. Its data is a JSON array of strings, each one message exactly as published, in publishing order. Its id is \`<term>-<n>\`, the same on every instance, and never goes back.
- **\`gap\`**: messages were, or may have been, lost here: \`{"reason","from","to","missed"}\`. \`from\` and \`to\` are event ids (\`from\` may be null), \`missed\` is their number or null when unknown. Reasons: \`broker-reconnect\`, \`sequencer-lost\`, \`room-idle\`, \`overflow\`, \`slow-viewer\`, \`history-exceeded\`, \`unknown-id\`. Silence means that nothing was lost.
- **\`viewers\`**: how many viewers the room has at present, on all instances: \`{"count"}\`. Right after the head, as soon as it is known, and when it has changed, every 5 s at the most. It has no id, for it is no part of what a viewer resumes after. Not with \`VIEWER_COUNTS=off\`.
- **\`end\`**: the room is over; the data is what was published with its end. The stream closes, and reconnecting is answered with 204, which makes EventSource stop. Who has missed something of a room that has ended gets that first.
- **comments** (lines that begin with a colon) keep a silent stream alive, or name the reason why the instance closes it: \`draining\`, \`max-viewers\`, \`max-viewers-per-address\`, \`max-rooms\`, \`too-many-connects\`. Reconnect after the \`retry\` time, as EventSource does by itself.`,
  tags: ['viewers'],
  params: SessionParams,
  querystring: StreamQuery,
  headers: StreamRequestHeaders,
  response: {
    200: {
      description: 'The stream; it ends only with the room or the instance.',
      content: { 'text/event-stream': { schema: Type.String({ examples: [STREAM_EXAMPLE] }) } }
    },
    204: { description: 'The room has ended.', type: 'null' },
    ...errorResponses('BAD_REQUEST')
  }
}

/** The same for viewers that need a token. */
const guardedSchema = {
  ...schema,
  description: `${schema.description}
- **\`unauthorized\`**: the viewer's token has expired: \`{"reason":"token-expired"}\`. The stream closes; open another one with a new token, after the last event (\`lastEventId\`): nothing is lost. It has no id of its own.

The token comes in the header \`Authorization\`, else in the query, else in the cookie. \`401\`: there is none, or it is not valid, or it has expired; \`403\`: it is not for this room. \`WWW-Authenticate\` tells why. While the keys of tokens cannot be fetched, the stream closes with the comment \`keys-unavailable\` and a \`retry\` time.`,
  security: [{ viewerToken: [] }, { viewerTokenQuery: [] }, { viewerTokenCookie: [] }],
  response: { ...schema.response, ...errorResponses('UNAUTHORIZED', 'FORBIDDEN') }
}

/**
 * Writes the head of a stream and hands over its socket. The body has no length and is not chunked: it ends with the
 * connection (RFC 9112, 6.3), so frames go to the socket as they are, the same bytes for everyone.
 */
function openStream (reply: FastifyReply, socket: Socket, isGzip: boolean) {
  reply.hijack()
  const response = reply.raw
  for (const [name, value] of Object.entries(reply.getHeaders())) if (value !== undefined) response.setHeader(name, value)
  response.removeHeader('Transfer-Encoding')
  response.writeHead(200, isGzip ? GZIP_STREAM_HEADERS : STREAM_HEADERS)
  response.flushHeaders()
  if (isGzip) socket.write(GZIP_HEADER)
  return socket
}

/** Says that the answer depends on a header of the request, too (RFC 9110, 12.5.5). */
function vary (reply: FastifyReply, field: string) {
  const others = reply.getHeader('Vary')
  reply.header('Vary', others === undefined ? field : `${others}, ${field}`)
}

/** Whether the client prefers gzip to nothing (RFC 9110, 12.5.3). */
function acceptsGzip ({ raw }: FastifyRequest) {
  return raw.headers['accept-encoding'] !== undefined && new Negotiator(raw).encodings(['gzip', 'identity'])[0] === 'gzip'
}

/** A function of its own, because a listener keeps all that is in sight of it: the request, the reply. */
function leaveOnClose (socket: Socket, viewer: Viewer, room: Room, place: AddressPlace | undefined, reqId: string | undefined, { rooms, log }: FastifyInstance) {
  socket.on('close', () => {
    room.leave(viewer)
    rooms.leave(room)
    place?.leave()
    rooms.counters.disconnects[viewer.disconnectReason]++
    log.debug({ reqId, roomId: room.id, reason: viewer.disconnectReason }, 'viewer disconnected')
  })
}

/** A function of its own, for the same reason. */
function limitByPermit (socket: Socket, viewer: Viewer, room: Room, permit: Permit, { viewerAuth }: FastifyInstance) {
  const forget = viewerAuth?.limit(room, viewer, permit)
  if (forget !== undefined) socket.on('close', forget)
}

const viewers: FastifyPluginAsyncTypebox = async (app) => {
  const { rooms, rateLimits, addressOf, turnstile, config, log } = app
  const places = config.MAX_VIEWERS_PER_ADDRESS > 0 ? new AddressPlaces(config.MAX_VIEWERS_PER_ADDRESS) : undefined

  app.server.on('request', ({ socket }, response) => {
    if (response.socket === null) pipelined.add(socket)
  })

  /** EventSource takes any other status than 200 as final: so who cannot be served now is told to come back. */
  function refuse (reply: FastifyReply, socket: Socket, roomId: string, reason: DisconnectReason, waitMs = 0) {
    rooms.counters.refusals[reason]++
    reply.log.debug({ roomId, reason }, 'viewer refused')
    openStream(reply, socket, false).write(goodbyeFrame(reason, waitMs + config.RETRY_MS * (0.5 + Math.random())))
    socket.destroySoon()
  }

  // A HEAD request must not open a stream.
  app.get('/api/v1/chats/sse-connect/:sessionId', { schema: app.viewerAuth === undefined ? schema : guardedSchema, exposeHeadRoute: false, helmet: false }, async (request, reply) => {
    // Of most this is done already; not of a path that is spelled in another way.
    request.raw.resume()
    if (config.COMPRESS === 'on') vary(reply, 'Accept-Encoding')
    const { socket } = request.raw
    const roomId = request.params.sessionId.toLowerCase()
    const waitMs = await rateLimits.waitOfViewer(request)
    if (waitMs > 0) return refuse(reply, socket, roomId, 'too-many-connects', waitMs)
    // Before anything is looked up: who may not watch a room does not learn whether it exists or has ended.
    const permit = app.viewerAuth === undefined ? undefined : await app.viewerAuth.authorize(request, reply)
    if (permit === 'keys-unavailable') return refuse(reply, socket, roomId, permit)
    // An empty header or parameter is no id.
    const lastEventId = request.headers['last-event-id'] || request.query.lastEventId || undefined
    // Before a room is opened for it. Whoever takes the place gives it back: this function, or the stream when it closes.
    const place = places?.enter(addressOf(request))
    if (place === 'full') return refuse(reply, socket, roomId, 'max-viewers-per-address')
    const room = rooms.enter(roomId, lastEventId)
    if (typeof room === 'string') {
      place?.leave()
      return room === 'room-ended' ? reply.code(204).send() : refuse(reply, socket, roomId, room)
    }

    if (!room.isReady) {
      await room.opened
      // Everybody who has waited for it goes on now.
      await new Promise<void>((resolve) => turnstile.pass(resolve))
    }
    // Meanwhile the viewer may have left, the room ended, or a drain begun. From here on there is no await.
    const isOver = room.hasEnded && room.hasSeenAll(lastEventId)
    if (socket.destroyed || isOver || rooms.draining) {
      rooms.leave(room)
      place?.leave()
      if (isOver) return reply.code(204).send()
      return refuse(reply, socket, roomId, 'draining')
    }

    const isGzip = config.COMPRESS === 'on' && acceptsGzip(request)
    const viewer = new Viewer(socket, isGzip)
    socket.cork()
    openStream(reply, socket, isGzip)
    if (!pipelined.has(socket)) releaseHttp(request.raw, reply.raw)
    request.log.debug({ roomId, isResumed: lastEventId !== undefined, isGzip }, 'viewer connected')
    // Where nobody reads it, it is not kept: there are very many viewers.
    leaveOnClose(socket, viewer, room, place, log.level === 'debug' || log.level === 'trace' ? request.id : undefined, app)
    if (permit !== undefined) limitByPermit(socket, viewer, room, permit, app)
    room.join(viewer, { lastEventId, recent: request.query.recent })
    socket.uncork()
  })
}

export default fp(viewers, { name: 'viewers', dependencies: ['env', 'security-headers', 'cors', 'errors', 'client-address', 'rate-limits', 'viewer-auth', 'turnstile', 'rooms'], decorators: { fastify: ['config', 'addressOf', 'rateLimits', 'rooms', 'turnstile', 'viewerAuth'] } })
