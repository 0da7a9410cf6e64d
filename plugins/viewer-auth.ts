import { readFileSync } from 'node:fs'
import { parseCookie } from 'cookie'
import type { FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { KeyServer } from '../src/access/key-server.js'
import { publicTokenKeys, secretTokenKeys, type TokenKeys } from '../src/access/token-keys.js'
import { ViewerTokens, type Permit } from '../src/access/viewer-tokens.js'
import { systemClock } from '../src/clock.js'
import type { Config } from '../src/config.js'
import { Expiries } from '../src/expiries.js'
import type { Log } from '../src/log.js'
import type { Room } from '../src/rooms/room.js'
import type { Viewer } from '../src/rooms/viewer.js'
import { apiError } from './errors.js'

/** Who may watch. */
export interface ViewerAuth {
  /**
   * Looks at the token of a request for the room of the parameter `sessionId`.
   *
   * @returns 'keys-unavailable' when that cannot be said now
   * @throws 401 or 403, after having told the client how to authenticate
   */
  authorize (request: FastifyRequest, reply: FastifyReply): Promise<Permit | 'keys-unavailable'>
  /** Ends a stream when its permit runs out. @returns what forgets the stream */
  limit (room: Room, viewer: Viewer, permit: Permit): () => void
}

declare module 'fastify' {
  interface FastifyInstance {
    /** Undefined: everybody may watch. */
    viewerAuth: ViewerAuth | undefined
  }
}

const KEY_SETTINGS = ['VIEWER_JWT_SECRET', 'VIEWER_JWT_PUBLIC_KEY', 'VIEWER_JWT_PUBLIC_KEY_FILE', 'VIEWER_JWT_JWKS_URL'] as const

/** RFC 6750, 2.1. */
const BEARER = /^Bearer +([\w.~+/-]+=*) *$/i

/** RFC 6750, 3.1. */
const CHALLENGES = {
  'no-token': 'Bearer',
  'token-expired': 'Bearer error="invalid_token", error_description="The token has expired"',
  'token-invalid': 'Bearer error="invalid_token", error_description="The token is not valid"',
  'wrong-room': 'Bearer error="insufficient_scope", error_description="The token is not for this room"'
}

/** @throws Error that names the settings that are wrong */
async function keysOf (config: Config, log: Log): Promise<TokenKeys> {
  const [setting, ...others] = KEY_SETTINGS.filter((name) => config[name] !== '')
  if (setting === undefined || others.length > 0) throw new Error(`VIEWER_AUTH=jwt needs exactly one of ${KEY_SETTINGS.join(', ')}`)
  const value = config[setting]
  try {
    if (setting === 'VIEWER_JWT_SECRET') return secretTokenKeys(value)
    if (setting === 'VIEWER_JWT_PUBLIC_KEY') return publicTokenKeys(value)
    if (setting === 'VIEWER_JWT_PUBLIC_KEY_FILE') return publicTokenKeys(readFileSync(value, 'utf8'))
    const server = new KeyServer(new URL(value), systemClock, log)
    // Who comes right after the start finds the keys. If the key server is away, viewers are told to come back.
    await server.refresh()
    return server
  } catch (error) {
    throw new Error(`${setting} ${error instanceof Error ? error.message : error}`, { cause: error })
  }
}

/**
 * Lets only viewers watch that show a JSON Web Token for the room, with VIEWER_AUTH=jwt. EventSource cannot set headers, so the token may also
 * be in the query or a cookie.
 */
export default fp(async (app) => {
  const { config, log } = app
  if (config.VIEWER_AUTH === 'off') {
    const unused = KEY_SETTINGS.filter((name) => config[name] !== '')
    if (unused.length > 0) log.warn({ settings: unused }, 'VIEWER_AUTH is off: everybody may watch')
    app.decorate('viewerAuth', undefined)
    return
  }

  const tokens = new ViewerTokens({
    keys: await keysOf(config, log),
    clock: systemClock,
    audience: config.VIEWER_JWT_AUDIENCE || undefined,
    issuer: config.VIEWER_JWT_ISSUER || undefined
  })
  const expiries = new Expiries<{ readonly room: Room, readonly viewer: Viewer }>(systemClock, ({ room, viewer }) => room.expire(viewer))
  app.addHook('onClose', async () => expiries.clear())

  function tokenOf ({ headers, query }: FastifyRequest): string | undefined {
    const [, fromHeader] = BEARER.exec(headers.authorization ?? '') ?? []
    // More than one are an array.
    const { access_token: fromQuery } = query as { access_token?: unknown }
    return fromHeader || (typeof fromQuery === 'string' && fromQuery) || parseCookie(headers.cookie ?? '')[config.VIEWER_JWT_COOKIE] || undefined
  }

  function refuse (reply: FastifyReply, reason: keyof typeof CHALLENGES): never {
    reply.header('WWW-Authenticate', CHALLENGES[reason])
    throw apiError(reason === 'wrong-room' ? 'FORBIDDEN' : 'UNAUTHORIZED')
  }

  app.decorate('viewerAuth', {
    async authorize (request, reply) {
      const token = tokenOf(request)
      if (token === undefined) return refuse(reply, 'no-token')
      const permit = await tokens.check(token)
      if (permit === 'keys-unavailable') return permit
      if (typeof permit === 'string') return refuse(reply, permit)
      const { sessionId } = request.params as { sessionId: string }
      return permit.mayWatch(sessionId) ? permit : refuse(reply, 'wrong-room')
    },
    limit: (room, viewer, permit) => expiries.add({ room, viewer }, permit.expiresAtMs)
  })
}, { name: 'viewer-auth', dependencies: ['env', 'errors'], decorators: { fastify: ['config'] } })
