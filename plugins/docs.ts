import fastifySwagger from '@fastify/swagger'
import fastifySwaggerUi from '@fastify/swagger-ui'
import fp from 'fastify-plugin'

/** Hash of the one style that Swagger UI puts into its page itself; when that changes, a browser says the new one. */
const SWAGGER_UI_STYLE = 'sha256-RL3ie0nH+Lzz2YNqQN83mnU0J1ot4QL7b99vMdIX99w='

/** The OpenAPI document and a page to read it. Registered before the routes it describes. */
export default fp(async (app) => {
  const { publishersNeedKey, viewerAuth, config } = app
  await app.register(fastifySwagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Chat Sync Server',
        description: `Brings chat messages that a tenant publishes to every viewer of a room, over Server-Sent Events.

Besides what each route says, any request may be answered with 400 (no HTTP, or an address that cannot be decoded), 408 (not complete in time) or 431 (its head is too large), and one for which there is no route with 404, 413 or 415; each with the same body as all errors.`,
        version: '1.0.0',
        license: { name: 'MIT', identifier: 'MIT' }
      },
      tags: [
        { name: 'viewers', description: 'Browsers that watch a room' },
        { name: 'publishers', description: 'Back ends that publish to a room' },
        { name: 'operators', description: 'Load balancers and orchestrators' }
      ],
      components: {
        securitySchemes: {
          ...(publishersNeedKey && { publishKey: { type: 'http', scheme: 'bearer', description: 'A key from PUBLISH_API_KEYS, or one for the room from PUBLISH_KEYS_FILE' } }),
          ...(viewerAuth !== undefined && {
            viewerToken: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT', description: 'A token with `exp`, and with the room in `rooms`: a list of ids, or `*`' },
            viewerTokenQuery: { type: 'apiKey', in: 'query', name: 'access_token', description: 'The same token, for EventSource, which cannot set headers' },
            viewerTokenCookie: { type: 'apiKey', in: 'cookie', name: config.VIEWER_JWT_COOKIE, description: 'The same token' }
          })
        }
      }
    }
  })
  await app.register(fastifySwaggerUi, {
    routePrefix: '/docs',
    staticCSP: `default-src 'none'; script-src 'self'; style-src 'self' '${SWAGGER_UI_STYLE}'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`
  })
}, { name: 'docs', dependencies: ['env', 'publisher-auth', 'viewer-auth'], decorators: { fastify: ['config', 'publishersNeedKey', 'viewerAuth'] } })
