import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { formatEventId } from '../src/rooms/event-id.js'
import { errorResponses } from './errors.js'
import { SessionParams } from './session-params.js'

const RoomState = Type.Object({
  sessionId: Type.String({ description: 'Id of the room, in lower case.' }),
  viewers: Type.Integer({ minimum: 0, description: 'Viewers on all instances.' }),
  lastEventId: Type.Union([Type.String(), Type.Null()], { description: 'Id of the last event that is logged; null when there is none.' }),
  owner: Type.Union([Type.String(), Type.Null()], { description: 'Id of the instance that numbers the messages, as in its log; null when there is none.' }),
  ended: Type.Boolean()
}, {
  title: 'Room',
  description: 'The room as all instances see it.',
  examples: [{ sessionId: '5f0c3a52-6c1d-4a3f-9d3e-0f6f1f0c9a11', viewers: 1280, lastEventId: '1790000000000-2', owner: 'e0c2a1a8-6c1d-4a3f-9d3e-0f6f1f0c9a11', ended: false }]
})

/** What holders of a publishing key may know of a room. It exists where publishing over HTTP does. */
const roomState: FastifyPluginAsyncTypebox = async (app) => {
  const { authenticatePublisher, publishersNeedKey } = app
  if (authenticatePublisher === undefined) return
  app.addHook('onRequest', authenticatePublisher)

  app.get('/api/v1/chats/:sessionId', {
    schema: {
      summary: 'Look at a room',
      description: 'How many watch it, where its messages are, who numbers them, and whether it is over: asked of Redis, so any instance answers for any room, without opening it. Any UUID is a room: one that nobody serves has no viewers and no owner.',
      tags: ['operators', 'publishers'],
      ...(publishersNeedKey && { security: [{ publishKey: [] }] }),
      params: SessionParams,
      response: { 200: RoomState, ...errorResponses(...(publishersNeedKey ? ['BAD_REQUEST', 'UNAUTHORIZED', 'FORBIDDEN'] as const : ['BAD_REQUEST', 'FORBIDDEN'] as const), 'TOO_MANY_REQUESTS', 'SERVICE_UNAVAILABLE') }
    }
  }, async (request, reply) => {
    const sessionId = request.params.sessionId.toLowerCase()
    const { viewers, tail, owner = null, hasEnded } = await app.broker.look(sessionId)
    reply.header('Cache-Control', 'no-store')
    return { sessionId, viewers, lastEventId: tail ? formatEventId(tail) : null, owner, ended: hasEnded }
  })
}

export default roomState
