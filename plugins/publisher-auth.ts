import bearerAuth from '@fastify/bearer-auth'
import type { FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { keysOfFile, keysOfList, PublisherKeys, type Publisher } from '../src/access/publisher-keys.js'
import { WatchedFile } from '../src/access/watched-file.js'
import { systemClock } from '../src/clock.js'
import { usesRedis } from '../src/config.js'
import { apiError } from './errors.js'

declare module 'fastify' {
  interface FastifyInstance {
    /**
     * An `onRequest` hook for routes of publishers: answers 401 without a known key, 403 to a key that is not for the room of
     * the parameter `sessionId`, and 429 to who asks too often, be it with wrong keys; a route without that parameter is for keys of
     * all rooms. On open routes no key is asked for, but pages of other sites are answered with 403.
     * Undefined: no keys are configured, and such routes must not exist.
     */
    authenticatePublisher: ((request: FastifyRequest, reply: FastifyReply) => Promise<void>) | undefined
    /** Whether `authenticatePublisher` asks for a key. */
    publishersNeedKey: boolean
  }
  interface FastifyRequest {
    /** Whose key it is; null where no key is needed. */
    publisher: Publisher | null
  }
}

const LOOPBACK = /^(|localhost|::1|127(\.\d{1,3}){3})$/
/** Of pages that this machine serves. Names below localhost are its own, too (RFC 6761, 6.3). */
const LOOPBACK_ORIGIN = /^https?:\/\/(([\w-]+\.)*localhost|\[::1\]|127(\.\d{1,3}){3})(:\d+)?$/

/**
 * Keys of publishers, from PUBLISH_API_KEYS and PUBLISH_KEYS_FILE. Without either, publishing over HTTP is possible only on the
 * embedded broker while it listens on the loopback interface, and needs no key there. A browser on this machine gets there from any site
 * its user visits, also under a name of that site, but tells the site's origin with whatever it posts: only pages of this machine,
 * and of origins that CORS_ORIGIN names, are served without a key.
 *
 * @throws Error that names a setting whose keys cannot be used
 */
export default fp(async (app) => {
  const { rateLimits } = app
  const { PUBLISH_API_KEYS, PUBLISH_KEYS_FILE: path, HOST, CORS_ORIGIN } = app.config
  const listed = keysOfList('PUBLISH_API_KEYS', PUBLISH_API_KEYS.map((key) => key.trim()).filter((key) => key !== ''))
  const isConfigured = listed.length > 0 || path !== ''
  const mayBeOpen = !usesRedis(app.config) && LOOPBACK.test(HOST)
  app.decorateRequest('publisher', null)
  app.decorate('publishersNeedKey', isConfigured || !mayBeOpen)
  const origins = CORS_ORIGIN.split(',').map((origin) => origin.trim())
  async function refuseOtherSites (request: FastifyRequest, reply: FastifyReply) {
    const { origin } = request.headers
    if (origin !== undefined && !LOOPBACK_ORIGIN.test(origin) && !origins.includes(origin)) throw apiError('FORBIDDEN')
    await rateLimits.countByAddress(request, reply)
  }

  if (!isConfigured) {
    if (!mayBeOpen) app.log.info('neither PUBLISH_API_KEYS nor PUBLISH_KEYS_FILE: publishing over HTTP is off')
    app.decorate('authenticatePublisher', mayBeOpen ? refuseOtherSites : undefined)
    return
  }

  const fromList = new PublisherKeys(listed)
  const file = path === ''
    ? undefined
    // A key of the list may do more than one of the file: the same key in both would be a mistake, and is refused.
    : await WatchedFile.open({ path, setting: 'PUBLISH_KEYS_FILE', parse: (text) => new PublisherKeys([...listed, ...keysOfFile(text)]), clock: systemClock, log: app.log })
  app.addHook('onClose', async () => file?.close())
  if (file?.value.size === 0) app.log.warn('PUBLISH_KEYS_FILE has no keys: nobody may publish over HTTP')

  await app.register(bearerAuth, {
    addHook: false,
    keys: [],
    verifyErrorLogLevel: 'debug',
    auth: (key, request) => {
      const publisher = (file?.value ?? fromList).find(key)
      // It is typed as a request of its own.
      ;(request as FastifyRequest).publisher = publisher ?? null
      return publisher !== undefined
    }
  })
  const { verifyBearerAuth } = app
  if (verifyBearerAuth === undefined) throw new Error('@fastify/bearer-auth gives no verifyBearerAuth')

  app.decorate('authenticatePublisher', async (request, reply) => {
    await rateLimits.countByAddress(request, reply)
    await new Promise<void>((resolve, reject) => {
      verifyBearerAuth(request, reply, (error) => error === undefined ? resolve() : reject(error))
    }).catch((error) => {
      reply.header('WWW-Authenticate', 'Bearer')
      throw error
    })
    await rateLimits.countByKey(request, reply)
    // It has not been validated yet: what is no room id is in no list, and is answered with 400 where all rooms are allowed.
    const { sessionId = '' } = request.params as { sessionId?: string }
    if (request.publisher?.mayUse(sessionId)) return
    request.log.debug({ publisher: request.publisher?.name, roomId: sessionId }, 'publisher refused')
    throw apiError('FORBIDDEN')
  })
}, { name: 'publisher-auth', dependencies: ['env', 'errors', 'rate-limits'], decorators: { fastify: ['config', 'rateLimits'] } })
