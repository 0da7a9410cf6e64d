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
    HANDOVER_MS: 5000,
    LEASE_MS: 4000,
    LOG_TTL_MS: 3_600_000,
    ENDED_TTL_MS: 86_400_000,
    TENANT_BASE_URL: '',
    BILLING_INTERVAL_MS: 1000,
    BILLING_TIMEOUT_MS: 10_000,
    MAX_VIEWERS: 0,
    PUBLISH_API_KEYS: [],
    LOG_LEVEL: 'info'
  })
})

t.test('a variable that is empty is not set', async (t) => {
  t.match(await load({ PORT: '', REDIS_IP: '', MAX_VIEWERS: '' }), { PORT: 3000, REDIS_IP: '', MAX_VIEWERS: 0 })
})

t.test('an instance may be told to hand its rooms over without waiting', async (t) => {
  t.match(await load({ HANDOVER_MS: '0', DRAIN_MS: '0' }), { HANDOVER_MS: 0, DRAIN_MS: 0 })
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
    ['LEASE_MS', '999', /^LEASE_MS must be >= 1000 \(An instance that was not heard of/],
    ['LOG_TTL_MS', '999', /^LOG_TTL_MS must be >= 1000/],
    ['HANDOVER_MS', '-1', /^HANDOVER_MS must be >= 0/],
    ['HANDOVER_MS', '3600001', /^HANDOVER_MS must be <= 3600000/],
    ['BILLING_INTERVAL_MS', '99', /^BILLING_INTERVAL_MS must be >= 100/],
    ['BILLING_TIMEOUT_MS', 'x', /^BILLING_TIMEOUT_MS must be integer/],
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
