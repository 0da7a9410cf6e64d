import t from 'tap'
import { freePort } from '../../deploy/local-cluster/managed-process.js'
import { build } from '../fixtures/build.js'
import { makeCertificates } from '../fixtures/redis-certificates.js'
import { eventually } from '../fixtures/eventually.js'
import { connectTenant, startRedis } from '../fixtures/redis.js'

const certificates = makeCertificates(t)
const port = await freePort()
const redis = await startRedis(t, { password: 'SECRET', args: certificates.redisArgs(port) })

t.test('Redis is spoken to over TLS when its certificate is of the authority in the file', async (t) => {
  const address = { REDIS_IP: '127.0.0.1', REDIS_PORT: String(port), REDIS_PASSWORD: 'SECRET', REDIS_TLS: 'on' }
  const servers = [
    await build(t, { ...address, REDIS_TLS_CA_FILE: certificates.ca }),
    await build(t, { REDIS_URL: `rediss://:SECRET@127.0.0.1:${port}`, REDIS_TLS_CA_FILE: certificates.ca })
  ]
  const tenant = connectTenant(t, redis)
  const room = crypto.randomUUID()
  const streams = await Promise.all(servers.map(({ watch }) => watch(room)))
  await tenant.publish(room, 'over TLS')
  for (const stream of streams) t.same(await stream.untilMessages(1), ['over TLS'])
  const clients = String(await tenant.client('LIST'))
  t.equal(clients.match(new RegExp(`laddr=127\\.0\\.0\\.1:${port} .*name=chat-sync-server:`, 'g'))?.length, 4, 'two connections of each')
})

t.test('a Redis whose certificate is of another authority, or for another name, gets no password and no command', async (t) => {
  const others = makeCertificates(t)
  const wrong: Array<[Record<string, string>, RegExp]> = [
    [{ REDIS_URL: `rediss://:SECRET@127.0.0.1:${port}`, REDIS_TLS_CA_FILE: others.ca }, /certificate|signature/],
    [{ REDIS_URL: `rediss://:SECRET@127.0.0.1:${port}` }, /certificate/],
    [{ REDIS_URL: `rediss://:SECRET@localhost:${port}`, REDIS_TLS_CA_FILE: certificates.ca }, /Hostname\/IP does not match certificate's altnames/]
  ]
  for (const [env, reason] of wrong) {
    const { log, app } = await build(t, { ...env, SUBSCRIBE_TIMEOUT_MS: '1' })
    await eventually('it is said', () => log.some(({ msg }) => msg === 'redis is not available, retrying'))
    t.match(log.find(({ msg }) => msg === 'redis is not available, retrying'), { reason })
    t.equal(app.broker.connected, false)
    t.notMatch(JSON.stringify(log), /SECRET/)
  }
})

t.test('a password that Redis refuses is said, and is in no line of the log', async (t) => {
  const { log } = await build(t, { REDIS_URL: `redis://mina:SECRET2@127.0.0.1:${redis.port}` })
  await eventually('it is said', () => log.some(({ reason }) => /WRONGPASS/.test(String(reason))))
  t.notMatch(JSON.stringify(log), /SECRET/)
})
