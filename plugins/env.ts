import { readFileSync } from 'node:fs'
import { parseEnv } from 'node:util'
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

/** What env-schema adds to its error: the errors of Ajv. */
interface ValidationError extends Error {
  readonly errors?: ReadonlyArray<{ readonly instancePath: string, readonly message?: string, readonly params: { readonly allowedValues?: readonly string[] } }>
}

/** A variable that is set but empty is how compose files and .env files say "not set". */
function withoutEmpty (variables: NodeJS.Dict<string>) {
  return Object.fromEntries(Object.entries(variables).filter(([, value]) => value !== ''))
}

function readDotenv () {
  try {
    return parseEnv(readFileSync('.env', 'utf8'))
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return {}
    throw error
  }
}

/** Names the variables, and says what each is for. */
function explain (error: ValidationError) {
  // TypeBox keeps a schema's options out of its type.
  const schemas = ConfigSchema.properties as Record<string, { description?: string }>
  const lines = (error.errors ?? []).map(({ instancePath, message = 'is wrong', params }) => {
    const name = instancePath.slice(1)
    const allowed = params.allowedValues ? `: ${params.allowedValues.join(', ')}` : ''
    return `${name} ${message}${allowed} (${schemas[name]?.description})`
  })
  return lines.length > 0 ? lines.join('; ') : error.message
}

/**
 * Parses the configuration, once. The environment wins over `.env`.
 *
 * @throws Error that names each bad variable
 */
export default fp<EnvOptions>(async (app, { env }) => {
  const data = env === undefined ? { ...withoutEmpty(readDotenv()), ...withoutEmpty(process.env) } : withoutEmpty(env)
  try {
    await app.register(fastifyEnv, { schema: ConfigSchema, data, env: false })
  } catch (error) {
    // env-schema throws nothing else.
    throw new Error(explain(error as ValidationError))
  }
  const { PORT, METRICS_PORT } = app.config
  if (METRICS_PORT !== 0 && METRICS_PORT === PORT) throw new Error('METRICS_PORT must not be PORT: what it tells is not for the public')
  app.log.level = app.config.LOG_LEVEL
}, { name: 'env' })
