import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { apiError, errorResponses } from './errors.js'
import { SessionParams } from './session-params.js'

declare module 'fastify' {
  interface FastifyRequest {
    /** The JSON body as it was sent. */
    jsonText: string
  }
}

const Accepted = { description: 'Published, or parked until the room is opened.', type: 'null' }

/** Refuses bytes that are no UTF-8, which would become others on their way. */
const utf8 = new TextDecoder('utf-8', { fatal: true })

/** Publishing over HTTP, for holders of a key for the room; where that is off, these routes do not exist. */
const publish: FastifyPluginAsyncTypebox = async (app) => {
  const { authenticatePublisher, publishersNeedKey } = app
  if (authenticatePublisher === undefined) return
  app.addHook('onRequest', authenticatePublisher)

  // Viewers get a message as it was sent: parsing it and writing it anew would change numbers, spacing and order.
  const parseJson = app.getDefaultJsonParser('ignore', 'ignore')
  app.decorateRequest('jsonText', '')
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('application/json', { parseAs: 'buffer' }, (request, body: Buffer, done) => {
    try {
      request.jsonText = utf8.decode(body).trim()
    } catch {
      done(apiError('BAD_REQUEST'))
      return
    }
    // An end needs no body, whatever its Content-Type says.
    if (request.jsonText === '') done(null, undefined)
    else parseJson(request, request.jsonText, done)
  })

  const security = publishersNeedKey ? { security: [{ publishKey: [] }] } : {}
  const refusals = publishersNeedKey ? (['BAD_REQUEST', 'UNAUTHORIZED', 'FORBIDDEN'] as const) : (['BAD_REQUEST', 'FORBIDDEN'] as const)
  const bodyLimit = app.config.MAX_MESSAGE_BYTES

  app.post('/api/v1/chats/:sessionId/messages', {
    bodyLimit,
    schema: {
      summary: 'Publish a message',
      description: 'Published to the room as the JSON text that was sent, like `PUBLISH <sessionId> <message>` in Redis; but while no instance has the room open it is parked, and comes first when the room is opened.',
      tags: ['publishers'],
      ...security,
      params: SessionParams,
      body: Type.Object({}, { additionalProperties: true, description: 'Any JSON object.', examples: [{ id: 'u1', nickname: 'mina', profileImgUrl: '', message: 'hi', createdAt: '2026-11-23T09:00:00+09:00' }] }),
      response: { 202: Accepted, ...errorResponses(...refusals, 'GONE', 'PAYLOAD_TOO_LARGE', 'UNSUPPORTED_MEDIA_TYPE', 'TOO_MANY_REQUESTS', 'SERVICE_UNAVAILABLE') }
    }
  }, async (request, reply) => {
    const outcome = await app.broker.publish(request.params.sessionId.toLowerCase(), request.jsonText)
    if (outcome === 'room-ended') throw apiError('GONE')
    if (outcome === 'parking-full') throw apiError('SERVICE_UNAVAILABLE')
    return reply.code(202).send()
  })

  app.post('/api/v1/chats/:sessionId/end', {
    bodyLimit,
    schema: {
      summary: 'End a room',
      description: 'Every viewer gets the event `end` with the JSON text that was sent, and is disconnected. Same as `PUBLISH <sessionId>_END <json>` in Redis. Ending an ended room changes nothing.',
      tags: ['publishers'],
      ...security,
      params: SessionParams,
      body: Type.Unknown({ description: 'Any JSON; without a body: `{}`.', examples: [{ reason: 'broadcast over' }] }),
      response: { 202: Accepted, ...errorResponses(...refusals, 'PAYLOAD_TOO_LARGE', 'UNSUPPORTED_MEDIA_TYPE', 'TOO_MANY_REQUESTS', 'SERVICE_UNAVAILABLE') }
    }
  }, async (request, reply) => {
    await app.broker.end(request.params.sessionId.toLowerCase(), request.jsonText || '{}')
    return reply.code(202).send()
  })
}

export default publish
