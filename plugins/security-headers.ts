import helmet from '@fastify/helmet'
import fp from 'fastify-plugin'

/** For all that is no page: nothing may be loaded by it, and nobody may show it in a frame. */
const POLICY = { 'default-src': ["'none'"], 'base-uri': ["'none'"], 'form-action': ["'none'"], 'frame-ancestors': ["'none'"] }

/**
 * What tells browsers not to do. Pages replace the policy by one of what they need. Streams have none of these: they are no page, and each
 * viewer would have to read them.
 */
export default fp(async (app) => {
  await app.register(helmet, {
    contentSecurityPolicy: { useDefaults: false, directives: POLICY },
    // The client module and the API are for pages of other origins.
    crossOriginResourcePolicy: { policy: 'cross-origin' },
    referrerPolicy: { policy: 'no-referrer' },
    xFrameOptions: { action: 'deny' },
    // For whoever ends TLS to say: it would hold for the whole host, and its subdomains.
    strictTransportSecurity: false
  })
}, { name: 'security-headers' })
