import { X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { REDIS_PLACES, type Config } from '../config.js'

const DEFAULT_PORT = 6379
const ADDRESS = /^(\[[\da-f:.]+\]|[^:[\]\s/@]+):(\d{1,5})$/i

export interface Address {
  readonly host: string
  readonly port: number
}

/** How to get in, the same at every redis-server. */
export interface RedisLogin {
  /** Of the ACL; without one: the user `default`. */
  readonly username?: string
  /** Empty: none. */
  readonly password: string
  /** Undefined: no TLS. Without a `ca` (PEM) the authorities count that Node.js knows. */
  readonly tls?: { readonly ca?: string }
  /** How long Redis may take to answer before the connection counts as lost. */
  readonly timeoutMs: number
}

/** Sentinels, who know the master of this name, also after a failover. */
export interface Sentinels {
  readonly sentinels: readonly Address[]
  readonly masterName: string
  readonly sentinelUsername: string
  readonly sentinelPassword: string
}

/** Nodes of a cluster, any of which knows the others. */
export interface ClusterNodes {
  readonly clusterNodes: readonly Address[]
}

export type RedisSettings = RedisLogin & (Address | Sentinels | ClusterNodes)

/**
 * Where Redis is and how to get in, from the settings.
 *
 * @returns undefined when they name no Redis
 * @throws Error that names the variable that is wrong, or those that contradict each other; never a value, for it may hold a password
 */
export function redisSettings (config: Config): RedisSettings | undefined {
  const [place, other] = REDIS_PLACES.filter((name) => config[name] !== '')
  if (other !== undefined) throw new Error(`${place} and ${other} are both set: one of them says where Redis is`)
  const url = parseUrl(config.REDIS_URL)
  const username = url?.username || config.REDIS_USERNAME
  const password = url?.password || config.REDIS_PASSWORD
  if (url?.username && config.REDIS_USERNAME !== '') throw new Error('REDIS_URL and REDIS_USERNAME both name a user')
  if (url?.password && config.REDIS_PASSWORD !== '') throw new Error('REDIS_URL and REDIS_PASSWORD both have a password')
  if (username !== '' && password === '') throw new Error('REDIS_USERNAME is set without REDIS_PASSWORD')
  if (config.REDIS_PORT !== DEFAULT_PORT && place !== undefined && place !== 'REDIS_IP') throw new Error(`REDIS_PORT goes with REDIS_IP: ${place} has ports of its own`)
  const tls = tlsOf(config, url?.isTls ?? false)
  const location = locationOf(config, url)
  return location && { ...location, password, timeoutMs: config.REDIS_TIMEOUT_MS, ...(username !== '' && { username }), ...(tls && { tls }) }
}

function locationOf (config: Config, url: Address | undefined): Address | Sentinels | ClusterNodes | undefined {
  const { REDIS_SENTINEL_NAME: masterName, REDIS_SENTINEL_USERNAME: sentinelUsername, REDIS_SENTINEL_PASSWORD: sentinelPassword } = config
  if (config.REDIS_SENTINELS !== '') {
    if (masterName === '') throw new Error('REDIS_SENTINELS is set without REDIS_SENTINEL_NAME')
    if (sentinelUsername !== '' && sentinelPassword === '') throw new Error('REDIS_SENTINEL_USERNAME is set without REDIS_SENTINEL_PASSWORD')
    return { sentinels: parseAddresses('REDIS_SENTINELS', config.REDIS_SENTINELS), masterName, sentinelUsername, sentinelPassword }
  }
  for (const name of ['REDIS_SENTINEL_NAME', 'REDIS_SENTINEL_USERNAME', 'REDIS_SENTINEL_PASSWORD'] as const) {
    if (config[name] !== '') throw new Error(`${name} is set without REDIS_SENTINELS`)
  }
  if (config.REDIS_CLUSTER_NODES !== '') return { clusterNodes: parseAddresses('REDIS_CLUSTER_NODES', config.REDIS_CLUSTER_NODES) }
  if (url !== undefined) return { host: url.host, port: url.port }
  return config.REDIS_IP === '' ? undefined : { host: config.REDIS_IP, port: config.REDIS_PORT }
}

function tlsOf ({ REDIS_TLS, REDIS_TLS_CA_FILE: path }: Config, isTlsUrl: boolean) {
  const isTls = REDIS_TLS === 'on' || isTlsUrl
  if (path === '') return isTls ? {} : undefined
  if (!isTls) throw new Error('REDIS_TLS_CA_FILE is set without REDIS_TLS=on or a REDIS_URL that begins with rediss:')
  return { ca: readCertificates(path) }
}

function readCertificates (path: string): string {
  let pem: string
  try {
    pem = readFileSync(path, 'utf8')
  } catch (error) {
    throw new Error(`REDIS_TLS_CA_FILE cannot be read: ${error instanceof Error ? error.message : String(error)}`)
  }
  try {
    // Node.js itself would pass over what is none, and trust nobody.
    return new X509Certificate(pem) && pem
  } catch {
    throw new Error('REDIS_TLS_CA_FILE holds no certificate (PEM)')
  }
}

/** @returns undefined for '' */
function parseUrl (text: string) {
  if (text === '') return undefined
  const url = URL.canParse(text) ? new URL(text) : undefined
  const isTls = url?.protocol === 'rediss:'
  if (url === undefined || !(isTls || url.protocol === 'redis:') || url.hostname === '') throw new Error('REDIS_URL must be redis://[user:password@]host[:port], or rediss:// for TLS')
  // Pub/sub knows no databases, and an option that goes unheeded may be one for security.
  if (!['', '/', '/0'].includes(url.pathname) || url.search !== '' || url.hash !== '') throw new Error('REDIS_URL must end after host and port: no database and no options')
  try {
    const [username, password] = [url.username, url.password].map(decodeURIComponent) as [string, string]
    return { isTls, host: url.hostname.replace(/^\[(.*)\]$/, '$1'), port: Number(url.port || DEFAULT_PORT), username, password }
  } catch {
    throw new Error('REDIS_URL has a user or password that is not percent-encoded')
  }
}

function parseAddresses (name: string, text: string): Address[] {
  return text.split(',').map((part) => {
    const [, host = '', digits] = ADDRESS.exec(part.trim()) ?? []
    const port = Number(digits)
    if (!(port >= 1 && port <= 65_535)) throw new Error(`${name} must be a comma-separated list of host:port`)
    return { host: host.replace(/^\[(.*)\]$/, '$1'), port }
  })
}
