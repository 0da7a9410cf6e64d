import Fastify from 'fastify'
import t from 'tap'
import clientAddress from '../../plugins/client-address.js'
import env from '../../plugins/env.js'

/** @returns whose address the server sees, of a connection from `remoteAddress` */
async function addresses (TRUST_PROXY: string) {
  const app = Fastify()
  await app.register(env, { env: { TRUST_PROXY } })
  await app.register(clientAddress)
  app.get('/', async (request) => app.addressOf(request))
  return async (remoteAddress: string, forwarded?: string | string[]) =>
    (await app.inject({ url: '/', remoteAddress, headers: { ...(forwarded !== undefined && { 'X-Forwarded-For': forwarded }), 'X-Real-IP': '9.9.9.9', Forwarded: 'for=9.9.9.9', 'X-Client-IP': '9.9.9.9' } })).body
}

t.test('without a trusted proxy, what is claimed about an address is not believed', async (t) => {
  const addressOf = await addresses('')
  for (const remote of ['127.0.0.1', '10.0.0.1', '203.0.113.1']) {
    t.equal(await addressOf(remote), remote)
    t.equal(await addressOf(remote, '8.8.8.8'), remote)
  }
})

t.test('a trusted proxy is believed about whose request it passes on, and nobody else', async (t) => {
  const addressOf = await addresses('10.0.0.0/8, 192.0.2.7')
  t.equal(await addressOf('10.1.2.3', '203.0.113.1'), '203.0.113.1')
  t.equal(await addressOf('::ffff:10.1.2.3', '203.0.113.1'), '203.0.113.1')
  t.equal(await addressOf('10.1.2.3'), '10.1.2.3')
  t.equal(await addressOf('203.0.113.9', '203.0.113.1'), '203.0.113.9')
  t.equal(await addressOf('10.1.2.3', '1.1.1.1, 203.0.113.1'), '203.0.113.1', 'what was there before the proxy wrote is a claim')
  t.equal(await addressOf('10.1.2.3', '1.1.1.1, 203.0.113.1, 192.0.2.7'), '203.0.113.1', 'through two trusted proxies')
  t.equal(await addressOf('10.1.2.3', '1.1.1.1, 203.0.113.1, 192.0.2.8'), '192.0.2.8')
})

t.test('what is no address stands for the proxy that passed it on', async (t) => {
  const addressOf = await addresses('loopback')
  for (const claim of ['unknown', '203.0.113.1:5000', '_hidden', ',', '', '1', '1.1.1.1, <script>', ','.repeat(5000)]) t.equal(await addressOf('127.0.0.1', claim), '127.0.0.1', claim.slice(0, 20))
})

t.test('an IPv6 customer is a /64, and an IPv4 address in IPv6 clothes the same as in its own', async (t) => {
  const addressOf = await addresses('')
  t.equal(await addressOf('2001:db8:1:2:3:4:5:6'), '2001:db8:1:2::/64')
  t.equal(await addressOf('2001:db8:1:2::1'), '2001:db8:1:2::/64')
  t.equal(await addressOf('2001:db8:1:3::1'), '2001:db8:1:3::/64')
  t.equal(await addressOf('fe80::1%eth0'), 'fe80:0:0:0::/64')
  t.equal(await addressOf('::ffff:203.0.113.1'), '203.0.113.1')
})

t.test('a setting that names no proxies stops the start', async (t) => {
  for (const bad of ['true', '1', '10.0.0.0/33', '0.0.0.0/0', 'haproxy', '10.0.0.1;10.0.0.2', '*']) await t.rejects(addresses(bad), { message: /^TRUST_PROXY must be a list of addresses/ }, bad)
  for (const good of ['loopback', 'loopback, uniquelocal,linklocal', '::1', 'fd00::/8,', '10.0.0.0/255.0.0.0']) await t.resolves(addresses(good), good)
})
