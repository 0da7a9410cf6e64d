import { appendFileSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { LocalCluster, type Instance } from '../../deploy/local-cluster/cluster.js'
import { TcpProxy } from '../fixtures/tcp-proxy.js'
import type { Teardowns } from '../fixtures/teardowns.js'
import { TenantApi, type Answer, type BillingRequest } from '../fixtures/tenant-api.js'
import { seededRandom, type Random } from '../fixtures/random.js'
import { count, type Findings } from './findings.js'
import type { SoakOptions } from './options.js'

const KEY = 'soak-key'
/** One billing request in so many fails, one is billed and never answered. */
const BILLING_FAILS_EVERY = 20
const BILLING_IS_SILENT_EVERY = 40

/** Real processes, each instance with a link to Redis of its own that can fail. */
export class SoakStage {
  readonly #proxies = new Map<Instance, TcpProxy>()
  /** Instances that may end. */
  readonly #dismissed = new Set<Instance>()

  private constructor (
    private readonly t: Teardowns,
    readonly options: SoakOptions,
    readonly findings: Findings,
    readonly cluster: LocalCluster,
    readonly tenant: TenantApi
  ) {}

  static async start (t: Teardowns, options: SoakOptions, findings: Findings): Promise<SoakStage> {
    const tenant = await TenantApi.start(t)
    tenant.answer = moodyTenant(seededRandom(options.seed), findings)
    if (options.logs !== undefined) mkdirSync(options.logs, { recursive: true })
    const cluster = await LocalCluster.start({
      instances: 0,
      env: {
        PUBLISH_API_KEYS: KEY,
        TENANT_BASE_URL: tenant.url,
        BILLING_TIMEOUT_MS: '3000',
        LEASE_MS: String(options.leaseMs),
        REDIS_TIMEOUT_MS: String(options.leaseMs),
        DRAIN_MS: String(options.leaseMs),
        // Rooms close while the soak runs, viewers that do not read lose their place, and some their streams.
        ROOM_LINGER_MS: String(options.leaseMs),
        HISTORY_BYTES: '262144',
        SLOW_VIEWER_TIMEOUT_MS: String(5 * options.leaseMs),
        RETRY_MS: String(options.leaseMs / 4),
        COMPRESS_MIN_VIEWERS: '10',
        HEARTBEAT_MS: '5000',
        ...(options.logs === undefined ? {} : { LOG_LEVEL: 'debug' })
      },
      haproxyEnv: {
        // The largest room is spread over the instances.
        ROOM_SHARD: String(Math.max(10, Math.floor(options.viewers / 20))),
        STREAM_TIMEOUT: '20s',
        IP_PUBLISH_PER_10S: '1000000'
      },
      // Redis loses nothing that it has acknowledged: else nobody could say what is owed.
      redisArgs: ['--appendonly', 'yes', '--appendfsync', 'always'],
      onOutput: (source, text) => {
        if (source.startsWith('chat')) noteComplaints(source, text, findings)
        if (options.logs !== undefined) appendFileSync(join(options.logs, `${source.replace(' ', '-')}.log`), text)
      }
    })
    t.teardown(() => cluster.stop())
    const stage = new SoakStage(t, options, findings, cluster, tenant)
    for (let started = 0; started < options.instances; started++) await stage.addInstance()
    return stage
  }

  get key () { return KEY }

  get instances (): readonly Instance[] { return this.cluster.instances }

  pick (random: Random, instances = this.instances): Instance {
    const instance = instances[random(instances.length)]
    if (instance === undefined) throw new Error('no instance is left')
    return instance
  }

  /** Not the oldest: one lives for as long as the soak does, so that what it keeps can be seen. */
  pickMortal (random: Random): Instance {
    return this.pick(random, this.instances.slice(1))
  }

  linkOf (instance: Instance): TcpProxy {
    const proxy = this.#proxies.get(instance)
    if (proxy === undefined) throw new Error(`${instance.url} has no link`)
    return proxy
  }

  async addInstance () {
    const proxy = await TcpProxy.start(this.t, this.cluster.redis.port)
    const instance = await this.cluster.addInstance({ REDIS_PORT: String(proxy.port) })
    this.#proxies.set(instance, proxy)
    instance.process.exited.then((code) => {
      if (!this.#dismissed.has(instance)) this.findings.violate('instance', `${instance.url} ended by itself with ${code}: ${instance.process.output.slice(-2000)}`)
    })
  }

  async removeInstance (instance: Instance, signal: 'SIGTERM' | 'SIGKILL') {
    this.#dismissed.add(instance)
    const code = await this.cluster.removeInstance(instance, signal)
    if (signal === 'SIGTERM' && code !== 0) this.findings.violate('instance', `${instance.url} drained and ended with ${code}`)
  }

  /** The soak is over: whatever ends now may. */
  dismissAll () {
    for (const instance of this.instances) this.#dismissed.add(instance)
  }
}

/** A tenant API that fails now and then, and looks whether a key always comes with the same record. */
function moodyTenant (random: Random, findings: Findings) {
  const records = new Map<string, string>()
  return ({ key, sessionId, count }: BillingRequest): Answer | 'nothing' => {
    const record = `${count} of ${sessionId}`
    const former = records.get(key) ?? record
    records.set(key, former)
    if (former !== record) {
      findings.violate('billed-wrongly', `key ${key} is ${former} and ${record}`)
      return { status: 400 }
    }
    if (random(BILLING_IS_SILENT_EVERY) === 0) return 'nothing'
    return { status: random(BILLING_FAILS_EVERY) === 0 ? 503 : 200 }
  }
}

const WARN = 40
const FATAL = 60

/** Warnings and errors are no violations: Redis does go away. But an error that nobody expected is. */
function noteComplaints (source: string, text: string, findings: Findings) {
  for (const line of text.split('\n')) {
    const level = Number(/^\{"level":(\d+)/.exec(line)?.[1] ?? 0)
    if (level < WARN && !/^\w*Error\b/.test(line)) continue
    const message = /"msg":"([^"]*)"/.exec(line)?.[1] ?? line
    count(findings.complaints, message)
    if (level >= FATAL || level === 0 || message.includes('unexpected')) findings.violate('instance', `${source}: ${line}`)
  }
}
