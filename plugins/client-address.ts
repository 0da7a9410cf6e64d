import { isIP } from 'node:net'
import proxyAddr from '@fastify/proxy-addr'
import type { FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import ipaddr from 'ipaddr.js'

declare module 'fastify' {
  interface FastifyInstance {
    /**
     * Whose a request is, for limits: an IPv4 address, or the /64 of an IPv6 address, which is what one customer gets. It is that
     * of the connection, unless that is a proxy of TRUST_PROXY. Empty once the connection is closed.
     */
    addressOf (request: FastifyRequest): string
  }
}

const NAMES = ['loopback', 'linklocal', 'uniquelocal']

/** @throws Error that names the setting */
function trustedProxies (setting: string) {
  const proxies = setting.split(',').map((proxy) => proxy.trim()).filter((proxy) => proxy !== '')
  try {
    // A number would be taken for an address in an old short form, though elsewhere it is one of hops.
    for (const proxy of proxies) if (!NAMES.includes(proxy) && isIP(proxy.split('/')[0] ?? '') === 0) throw new Error(`not ${proxy}`)
    return proxyAddr.compile(proxies)
  } catch (error) {
    throw new Error(`TRUST_PROXY must be a list of addresses, CIDR blocks, ${NAMES.join(', ')}: ${error instanceof Error ? error.message : error}`)
  }
}

function customerOf (address: string) {
  const parsed = ipaddr.process(address)
  return parsed instanceof ipaddr.IPv6 ? `${parsed.parts.slice(0, 4).map((part) => part.toString(16)).join(':')}::/64` : parsed.toString()
}

/**
 * Looks behind proxies, which say in X-Forwarded-For whose request they pass on. Anybody can send that header, so only those of TRUST_PROXY
 * are believed. Fastify's own option for it is needed before a setting can be read, and would believe further headers.
 */
export default fp(async (app) => {
  const isTrusted = trustedProxies(app.config.TRUST_PROXY)
  app.decorate('addressOf', ({ raw }: FastifyRequest) => {
    // From the connection outwards, up to the first that is not trusted; what is no address stands for the proxy that passed it on.
    const address = proxyAddr.all(raw, isTrusted).findLast((address) => isIP(address ?? '') !== 0)
    return address === undefined ? '' : customerOf(address)
  })
}, { name: 'client-address', dependencies: ['env'], decorators: { fastify: ['config'] } })
