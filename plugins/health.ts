import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { apiError, errorResponses } from './errors.js'

const Up = Type.Object({ status: Type.Literal('up') })

/** For the load balancer and the orchestrator. Neither asks Redis: else all instances would fail at once. */
const health: FastifyPluginAsyncTypebox = async (app) => {
  app.get('/health/live', {
    schema: { summary: 'Is the process alive?', tags: ['operators'], response: { 200: Up } }
  }, async () => ({ status: 'up' as const }))

  app.get('/health/ready', {
    schema: {
      summary: 'May new viewers come?',
      description: 'Yes while the instance listens and is not draining, whatever Redis does.',
      tags: ['operators'],
      response: { 200: Up, ...errorResponses('SERVICE_UNAVAILABLE') }
    }
  }, async () => {
    if (app.rooms.draining || !app.server.listening) throw apiError('SERVICE_UNAVAILABLE')
    return { status: 'up' as const }
  })
}

export default health
