import { fileURLToPath } from 'node:url'
import fastifyStatic from '@fastify/static'
import type { FastifyPluginAsync } from 'fastify'

/** A page to try the server on, and the client module it uses. */
const page: FastifyPluginAsync = async (app) => {
  await app.register(fastifyStatic, {
    root: fileURLToPath(new URL('../src/page', import.meta.url)),
    // Each file is a route of its own: an unknown path stays an unknown route.
    wildcard: false,
    decorateReply: false,
    schemaHide: true
  })
}

export default page
