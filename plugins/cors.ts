import fastifyCors from '@fastify/cors'
import fp from 'fastify-plugin'

/** Browsers of any origin may read and publish, unless CORS_ORIGIN names the ones that may. */
export default fp(async (app) => {
  const origins = app.config.CORS_ORIGIN.split(',').map((origin) => origin.trim())
  await app.register(fastifyCors, {
    origin: origins.includes('*') ? '*' : origins,
    methods: ['GET', 'POST'],
    allowedHeaders: ['Authorization', 'Content-Type', 'Last-Event-ID', 'Cache-Control'],
    maxAge: 86_400
  })
}, { name: 'cors', dependencies: ['env'], decorators: { fastify: ['config'] } })
