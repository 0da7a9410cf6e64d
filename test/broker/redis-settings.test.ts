import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Fastify from 'fastify'
import t from 'tap'
import env from '../../plugins/env.js'
import { redisSettings } from '../../src/broker/redis-settings.js'
import { usesRedis } from '../../src/config.js'

const folder = mkdtempSync(join(tmpdir(), 'chat-settings-'))
t.teardown(() => rmSync(folder, { recursive: true, force: true }))

async function load (variables: Record<string, string>) {
  const app = Fastify()
  await app.register(env, { env: variables })
  return { settings: redisSettings(app.config), isUsed: usesRedis(app.config) }
}

t.test('without a place there is no Redis, whatever else is set', async (t) => {
  t.same(await load({}), { settings: undefined, isUsed: false })
  t.same(await load({ REDIS_PASSWORD: 'secret', REDIS_TLS: 'on' }), { settings: undefined, isUsed: false })
})

t.test('a server is named by host and port, or by a URL', async (t) => {
  const common = { password: '', timeoutMs: 5000 }
  const expected: Array<[Record<string, string>, object]> = [
    [{ REDIS_IP: 'redis' }, { host: 'redis', port: 6379, ...common }],
    [{ REDIS_IP: 'redis', REDIS_PORT: '7000', REDIS_USERNAME: 'chat', REDIS_PASSWORD: 'secret' }, { host: 'redis', port: 7000, ...common, username: 'chat', password: 'secret' }],
    [{ REDIS_IP: 'redis', REDIS_TLS: 'on' }, { host: 'redis', port: 6379, ...common, tls: {} }],
    [{ REDIS_URL: 'redis://redis' }, { host: 'redis', port: 6379, ...common }],
    [{ REDIS_URL: 'redis://redis:7000/0', REDIS_PASSWORD: 'secret' }, { host: 'redis', port: 7000, ...common, password: 'secret' }],
    [{ REDIS_URL: 'rediss://chat:p%40ss%2F@[::1]:7000' }, { host: '::1', port: 7000, ...common, username: 'chat', password: 'p@ss/', tls: {} }],
    [{ REDIS_URL: 'redis://:secret@redis', REDIS_TLS: 'on', REDIS_TIMEOUT_MS: '100' }, { host: 'redis', port: 6379, password: 'secret', timeoutMs: 100, tls: {} }]
  ]
  for (const [variables, settings] of expected) t.same(await load(variables), { settings, isUsed: true }, JSON.stringify(variables))
})

t.test('sentinels and the nodes of a cluster are lists of addresses', async (t) => {
  const common = { password: 'secret', timeoutMs: 5000 }
  t.same((await load({ REDIS_SENTINELS: 'one:26379, [::1]:26380', REDIS_SENTINEL_NAME: 'chat', REDIS_PASSWORD: 'secret', REDIS_SENTINEL_USERNAME: 'u', REDIS_SENTINEL_PASSWORD: 'p' })).settings, {
    ...common, sentinels: [{ host: 'one', port: 26379 }, { host: '::1', port: 26380 }], masterName: 'chat', sentinelUsername: 'u', sentinelPassword: 'p'
  })
  t.same((await load({ REDIS_CLUSTER_NODES: '10.0.0.1:6379,10.0.0.2:6379', REDIS_PASSWORD: 'secret' })).settings, {
    ...common, clusterNodes: [{ host: '10.0.0.1', port: 6379 }, { host: '10.0.0.2', port: 6379 }]
  })
})

t.test('settings that are wrong or contradict each other stop the start, are named, and their values are not told', async (t) => {
  const notPem = join(folder, 'not.pem')
  writeFileSync(notPem, 'SECRET')
  const wrong: Array<[Record<string, string>, RegExp]> = [
    [{ REDIS_IP: 'redis', REDIS_URL: 'redis://:SECRET@redis' }, /^REDIS_IP and REDIS_URL are both set/],
    [{ REDIS_SENTINELS: 'a:1', REDIS_SENTINEL_NAME: 'x', REDIS_CLUSTER_NODES: 'a:1' }, /^REDIS_SENTINELS and REDIS_CLUSTER_NODES are both set/],
    [{ REDIS_URL: 'http://:SECRET@redis' }, /^REDIS_URL must be redis:/],
    [{ REDIS_URL: 'redis://:SECRET@' }, /^REDIS_URL must be redis:/],
    [{ REDIS_URL: 'SECRET' }, /^REDIS_URL must be redis:/],
    [{ REDIS_URL: 'redis://:SECRET@redis/1' }, /^REDIS_URL must end after host and port/],
    [{ REDIS_URL: 'redis://redis?password=SECRET' }, /^REDIS_URL must end after host and port/],
    [{ REDIS_URL: 'redis://:SECRET%@redis' }, /^REDIS_URL has a user or password that is not percent-encoded/],
    [{ REDIS_URL: 'redis://:SECRET@redis', REDIS_PASSWORD: 'SECRET' }, /^REDIS_URL and REDIS_PASSWORD both/],
    [{ REDIS_URL: 'redis://u:SECRET@redis', REDIS_USERNAME: 'u' }, /^REDIS_URL and REDIS_USERNAME both/],
    [{ REDIS_URL: 'redis://redis', REDIS_PORT: '7000' }, /^REDIS_PORT goes with REDIS_IP: REDIS_URL/],
    [{ REDIS_IP: 'redis', REDIS_USERNAME: 'chat' }, /^REDIS_USERNAME is set without REDIS_PASSWORD/],
    [{ REDIS_SENTINELS: 'a:1' }, /^REDIS_SENTINELS is set without REDIS_SENTINEL_NAME/],
    [{ REDIS_IP: 'redis', REDIS_SENTINEL_NAME: 'chat' }, /^REDIS_SENTINEL_NAME is set without REDIS_SENTINELS/],
    [{ REDIS_SENTINEL_PASSWORD: 'SECRET' }, /^REDIS_SENTINEL_PASSWORD is set without REDIS_SENTINELS/],
    [{ REDIS_SENTINELS: 'a:1', REDIS_SENTINEL_NAME: 'x', REDIS_SENTINEL_USERNAME: 'u' }, /^REDIS_SENTINEL_USERNAME is set without REDIS_SENTINEL_PASSWORD/],
    [{ REDIS_SENTINELS: 'a:1,SECRET', REDIS_SENTINEL_NAME: 'x' }, /^REDIS_SENTINELS must be a comma-separated list of host:port/],
    [{ REDIS_CLUSTER_NODES: 'a:0' }, /^REDIS_CLUSTER_NODES must be/],
    [{ REDIS_CLUSTER_NODES: 'redis://:SECRET@a:1' }, /^REDIS_CLUSTER_NODES must be/],
    [{ REDIS_IP: 'redis', REDIS_TLS_CA_FILE: notPem }, /^REDIS_TLS_CA_FILE is set without REDIS_TLS=on/],
    [{ REDIS_IP: 'redis', REDIS_TLS: 'on', REDIS_TLS_CA_FILE: join(folder, 'none.pem') }, /^REDIS_TLS_CA_FILE cannot be read: ENOENT/],
    [{ REDIS_IP: 'redis', REDIS_TLS: 'on', REDIS_TLS_CA_FILE: notPem }, /^REDIS_TLS_CA_FILE holds no certificate/]
  ]
  for (const [variables, message] of wrong) {
    const error = await load(variables).then(() => undefined, (error: Error) => error)
    t.match(error?.message, message, JSON.stringify(variables))
    t.notMatch(error?.message, /SECRET/)
    t.notMatch(error?.message, /\n/)
  }
})
