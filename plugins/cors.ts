import fastifyCors from '@fastify/cors'
import fp from 'fastify-plugin'

/** Browsers of any origin may read and publish, unless CORS_ORIGIN names the ones that may. */
export default fp(async (app) => {
  const origins = app.config.CORS_ORIGIN.split(',').map((origin) => origin.trim())
  const isOpen = origins.includes('*')
  // A token may be in a cookie. Of any origin that is never let through, nor of one that every sandboxed page has.
  const credentials = app.config.VIEWER_AUTH === 'jwt' && !isOpen
  if (credentials && origins.includes('null')) throw new Error('CORS_ORIGIN must not list null with VIEWER_AUTH=jwt: any page can have that origin')
  await app.register(fastifyCors, {
    origin: isOpen ? '*' : origins,
    credentials,
    // An OPTIONS request that is no preflight would be answered with an error in plain text.
    strictPreflight: false,
    methods: ['GET', 'POST'],
    allowedHeaders: ['Authorization', 'Content-Type', 'Last-Event-ID', 'Cache-Control'],
    maxAge: 86_400
  })
}, { name: 'cors', dependencies: ['env'], decorators: { fastify: ['config'] } })
