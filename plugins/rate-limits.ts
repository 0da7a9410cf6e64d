import rateLimit from '@fastify/rate-limit'
import type { FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { apiError } from './errors.js'

/** What each client may do in a while. */
export interface RateLimits {
  /**
   * Counts a request for a stream.
   *
   * @returns for how long its address must wait before it gets one, in ms; 0: not at all
   */
  waitOfViewer (request: FastifyRequest): Promise<number>
  /** Counts a request of a publisher that has not shown its key yet. @throws 429 */
  countByAddress (request: FastifyRequest, reply: FastifyReply): Promise<void>
  /** Counts a request of a publisher that has. @throws 429 */
  countByKey (request: FastifyRequest, reply: FastifyReply): Promise<void>
}

declare module 'fastify' {
  interface FastifyInstance {
    rateLimits: RateLimits
  }
}

const WINDOW_MS = 10_000
/** By each limit, clients that are remembered. Of more, those are forgotten who have asked for nothing for longest. */
const MAX_CLIENTS = 10_000

/**
 * Limits of rates, each kept in the memory of this instance: however many come, one client leaves something to the others. A viewer
 * that is over its limit is told to come back, since EventSource takes a 429 as final; publishers get a 429.
 */
export default fp(async (app) => {
  const { config, addressOf } = app
  await app.register(rateLimit, { global: false })

  /** @returns counts a request, and tells after how many ms the next one is allowed; 0: this one is */
  function limiter (max: number, keyGenerator: (request: FastifyRequest) => string) {
    if (max === 0) return async () => 0
    // Its type does not know `cache`, without which it is 5000.
    const options = { max, timeWindow: WINDOW_MS, keyGenerator, cache: MAX_CLIENTS }
    const count = app.createRateLimit(options)
    return async (request: FastifyRequest) => {
      const counted = await count(request)
      return !counted.isAllowed && counted.isExceeded ? counted.ttl : 0
    }
  }

  function refuseOver (waitOf: (request: FastifyRequest) => Promise<number>) {
    return async (request: FastifyRequest, reply: FastifyReply) => {
      const waitMs = await waitOf(request)
      if (waitMs === 0) return
      reply.header('Retry-After', Math.ceil(waitMs / 1000)).header('Access-Control-Expose-Headers', 'Retry-After')
      throw apiError('TOO_MANY_REQUESTS')
    }
  }

  app.decorate('rateLimits', {
    waitOfViewer: limiter(config.ADDRESS_CONNECTS_PER_10S, addressOf),
    countByAddress: refuseOver(limiter(config.ADDRESS_PUBLISHES_PER_10S, addressOf)),
    // By its name, for the key itself is kept nowhere. Without keys there is nothing to tell publishers apart by but the address.
    countByKey: refuseOver(limiter(config.KEY_PUBLISHES_PER_10S, ({ publisher }) => publisher?.name ?? ''))
  })
}, { name: 'rate-limits', dependencies: ['env', 'errors', 'client-address'], decorators: { fastify: ['config', 'addressOf'] } })
