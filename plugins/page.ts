import { fileURLToPath } from 'node:url'
import fastifyStatic from '@fastify/static'
import type { FastifyPluginAsync } from 'fastify'

/** What the page needs: its own files and the server, and nothing inline. */
const POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; require-trusted-types-for 'script'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

/** A page to try the server on, and the client module it uses. */
const page: FastifyPluginAsync = async (app) => {
  app.addHook('onRequest', async (_, reply) => { reply.header('Content-Security-Policy', POLICY) })
  await app.register(fastifyStatic, {
    root: fileURLToPath(new URL('../src/page', import.meta.url)),
    // Each file is a route of its own: an unknown path stays an unknown route.
    wildcard: false,
    decorateReply: false,
    schemaHide: true
  })
}

export default page
