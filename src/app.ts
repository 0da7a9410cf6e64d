import type { Server } from 'node:http'
import { LogController, type FastifyHttpOptions, type FastifyPluginAsync } from 'fastify'
import fp from 'fastify-plugin'
import broker from '../plugins/broker.js'
import clientAddress from '../plugins/client-address.js'
import cors from '../plugins/cors.js'
import docs from '../plugins/docs.js'
import env, { type EnvOptions } from '../plugins/env.js'
import errors, { clientErrorHandler, frameworkErrors } from '../plugins/errors.js'
import halfOpen from '../plugins/half-open.js'
import health from '../plugins/health.js'
import metering from '../plugins/metering.js'
import metrics from '../plugins/metrics.js'
import page from '../plugins/page.js'
import publish from '../plugins/publish.js'
import publisherAuth from '../plugins/publisher-auth.js'
import rateLimits from '../plugins/rate-limits.js'
import redis from '../plugins/redis.js'
import roomState from '../plugins/room-state.js'
import rooms from '../plugins/rooms.js'
import securityHeaders from '../plugins/security-headers.js'
import shutdown from '../plugins/shutdown.js'
import turnstile from '../plugins/turnstile.js'
import viewerAuth from '../plugins/viewer-auth.js'
import viewers from '../plugins/viewers.js'
import { requestId } from './request-id.js'

/** A request must be complete within this time; a stream is complete when its head is. */
const REQUEST_TIMEOUT_MS = 10_000

/** For how long the server waits for a request. Node looks at open connections from time to time, so it may be a quarter more. */
export function requestTimeouts (ms: number) {
  // Node swaps the two timeouts when the one of the headers is the longer, which it is by default.
  return { requestTimeout: ms, http: { headersTimeout: ms, connectionsCheckingInterval: ms / 4 } }
}

/** What must be known before the first plugin. */
export const serverOptions = {
  clientErrorHandler,
  frameworkErrors,
  genReqId: requestId,
  // A query string may carry a secret: requests are logged by those who know what to leave out.
  logController: new LogController({ disableRequestLogging: true }),
  ...requestTimeouts(REQUEST_TIMEOUT_MS),
  // As long as a request's head may be (16 KiB): a long id is as wrong as a short one.
  routerOptions: { maxParamLength: 16_384 },
  // While draining, the plugins decide: a viewer that got a 503 would never come back.
  return503OnClosing: false
} satisfies FastifyHttpOptions<Server>

/**
 * The server, in the order in which a message travels: the tenant's PUBLISH reaches the broker, the broker calls the
 * room, whose sequencer numbers it, logs it and counts it for the metering, and the room writes one frame to its viewers.
 * What comes before is needed by all of them.
 */
const app: FastifyPluginAsync<EnvOptions> = async (app, options) => {
  await app.register(env, options)
  await app.register(errors)
  await app.register(securityHeaders)
  await app.register(cors)
  await app.register(clientAddress)
  await app.register(rateLimits)
  await app.register(publisherAuth)
  await app.register(viewerAuth)
  await app.register(docs)

  await app.register(redis)
  await app.register(metering)
  await app.register(broker)
  await app.register(rooms)
  await app.register(metrics)
  await app.register(turnstile)
  await app.register(halfOpen)
  await app.register(viewers)

  await app.register(publish)
  await app.register(roomState)
  await app.register(health)
  await app.register(page)
  await app.register(shutdown)
}

export default fp(app, { name: 'app', fastify: '5.x' })
