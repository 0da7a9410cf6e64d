import { readFileSync } from 'node:fs'
import { setImmediate as turn, setTimeout as pause } from 'node:timers/promises'
import t from 'tap'
import { freePort } from '../../deploy/local-cluster/managed-process.js'
import { connectRedis } from '../../src/broker/redis-connection.js'
import { build } from '../fixtures/build.js'
import { makeCertificates } from '../fixtures/redis-certificates.js'
import { eventually } from '../fixtures/eventually.js'
import { connectTenant, recordLog, startRedis } from '../fixtures/redis.js'

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

/** Closed one after another, so that some are in the midst of their handshake. */
const CONNECTIONS = 300

t.test('a certificate that is not trusted never ends the process, be it that of Redis or of a sentinel, and whenever the connection is closed', async (t) => {
  const login = { username: '', password: 'SECRET', tls: { ca: readFileSync(makeCertificates(t).ca, 'utf8') } }
  const address = { host: '127.0.0.1', port }
  const tenant = connectTenant(t, redis)
  for (const place of [address, { sentinels: [address], masterName: 'x', sentinelUsername: '', sentinelPassword: '' }]) {
    const closings = []
    for (let n = 0; n < CONNECTIONS; n++) {
      // What asks a sentinel is closed when that takes too long.
      const connection = connectRedis('commands', { ...login, ...place, timeoutMs: 1 + n % 30 }, recordLog().log)
      await turn()
      closings.push(pause(n % 30).then(() => connection.disconnect()))
    }
    await Promise.all(closings)
  }
  // Whatever it had to say to the others it has said by now.
  t.equal(await tenant.ping(), 'PONG')
})

t.test('a password that Redis refuses is said, and is in no line of the log', async (t) => {
  const { log } = await build(t, { REDIS_URL: `redis://mina:SECRET2@127.0.0.1:${redis.port}` })
  await eventually('it is said', () => log.some(({ reason }) => /WRONGPASS/.test(String(reason))))
  t.notMatch(JSON.stringify(log), /SECRET/)
})
