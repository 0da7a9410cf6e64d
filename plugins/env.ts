import fastifyEnv from '@fastify/env'
import fp from 'fastify-plugin'
import { ConfigSchema, type Config } from '../src/config.js'

declare module 'fastify' {
  interface FastifyInstance {
    config: Config
  }
}

export interface EnvOptions {
  /** Settings instead of the process environment and `.env`. */
  env?: Record<string, string>
}

/** Parses the configuration, once. A bad value stops the start and names the variable. */
export default fp<EnvOptions>(async (app, { env }) => {
  // A variable that is set but empty is how compose files and .env files say "not set".
  const given = Object.fromEntries(Object.entries(env ?? process.env).filter(([, value]) => value !== ''))
  await app.register(fastifyEnv, {
    schema: ConfigSchema,
    data: given,
    env: false,
    dotenv: env === undefined
  })
  app.log.level = app.config.LOG_LEVEL
}, { name: 'env' })
