import { readFileSync } from 'node:fs'
import Fastify from 'fastify'
import t from 'tap'
import env from '../../plugins/env.js'
import { ConfigSchema } from '../../src/config.js'

async function load (variables: Record<string, string>) {
  const app = Fastify()
  await app.register(env, { env: variables })
  return app.config
}

t.test('without any variable all have their defaults', async (t) => {
  t.match(await load({}), {
    PORT: 3000,
    HOST: '',
    REDIS_IP: '',
    REDIS_PORT: 6379,
    FLUSH_INTERVAL_MS: 50,
    HEARTBEAT_MS: 15_000,
    HISTORY_MESSAGES: 500,
    HISTORY_BYTES: 1_048_576,
    MAX_MESSAGE_BYTES: 65_536,
    ROOM_LINGER_MS: 30_000,
    SLOW_VIEWER_TIMEOUT_MS: 30_000,
    DRAIN_MS: 5000,
    MAX_VIEWERS: 0,
    PUBLISH_API_KEYS: [],
    LOG_LEVEL: 'info'
  })
})

t.test('a variable that is empty is not set', async (t) => {
  t.match(await load({ PORT: '', REDIS_IP: '', MAX_VIEWERS: '' }), { PORT: 3000, REDIS_IP: '', MAX_VIEWERS: 0 })
})

t.test('a list is split', async (t) => {
  t.same((await load({ PUBLISH_API_KEYS: 'a,b' })).PUBLISH_API_KEYS, ['a', 'b'])
})

t.test('each bad value stops the start and is named', async (t) => {
  const bad: Array<[string, string, RegExp]> = [
    ['PORT', 'x', /PORT must be integer \(TCP port/],
    ['PORT', '65536', /^PORT must be <= 65535/],
    ['REDIS_PORT', '0', /^REDIS_PORT must be >= 1/],
    ['FLUSH_INTERVAL_MS', '0', /^FLUSH_INTERVAL_MS must be >= 1/],
    ['HEARTBEAT_MS', '15s', /^HEARTBEAT_MS must be integer/],
    ['HISTORY_MESSAGES', '-1', /^HISTORY_MESSAGES must be >= 1/],
    ['SLOW_VIEWER_TIMEOUT_MS', '1e12', /^SLOW_VIEWER_TIMEOUT_MS must be <= 2147483647/],
    ['LOG_LEVEL', 'loud', /^LOG_LEVEL must be equal to one of the allowed values: fatal, error, /],
    ['TENANT_BASE_URL', 'ftp://x', /^TENANT_BASE_URL must match pattern .* \(Base URL of the tenant API/]
  ]
  for (const [name, value, message] of bad) await t.rejects(load({ [name]: value }), { message }, `${name}=${value}`)
})

t.test('.env.example names every variable with its default', async (t) => {
  const lines = readFileSync('.env.example', 'utf8').split('\n')
  for (const [name, schema] of Object.entries(ConfigSchema.properties)) {
    const byDefault = `${name}=${'default' in schema ? schema.default : ''}`
    t.ok(lines.some((line) => line === byDefault || line === `# ${byDefault}` || (name === 'REDIS_PASSWORD' && line.startsWith(`${name}=`))), byDefault)
  }
})
