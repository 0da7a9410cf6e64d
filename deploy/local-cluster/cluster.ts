import { readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { freePort, ManagedProcess, temporaryFolder } from './managed-process.js'
import { NameServer } from './name-server.js'
import { RedisServer } from './redis-server.js'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))
const CHECK_INTERVAL_MS = 50
const RELOAD_TIMEOUT_MS = 10_000

export interface ClusterOptions {
  readonly instances: number
  /** Port of the load balancer; by default a free one. */
  readonly port?: number
  /** Settings of every instance. */
  readonly env?: Record<string, string>
  /** Environment of HAProxy: the variables of haproxy.cfg. */
  readonly haproxyEnv?: Record<string, string>
  /** Further arguments of redis-server. */
  readonly redisArgs?: readonly string[]
  onOutput? (source: string, text: string): void
}

/** One server process, at a loopback address of its own, as a container has one. */
export interface Instance {
  readonly address: string
  readonly url: string
  /** Where Prometheus finds its metrics. */
  readonly metricsUrl: string
  readonly process: ManagedProcess
}

/**
 * redis-server, instances and haproxy with the real haproxy.cfg, all on this machine. Instances share a port and differ
 * in their address, so that HAProxy finds them by name just as it does in compose. Linux has all of 127.0.0.0/8.
 */
export class LocalCluster {
  readonly instances: Instance[] = []
  #started = 0
  #haproxy: ManagedProcess | undefined
  readonly #folder = temporaryFolder('chat-cluster-')

  private constructor (
    private readonly options: ClusterOptions,
    readonly redis: RedisServer,
    private readonly names: NameServer,
    private readonly instancePort: number,
    readonly port: number,
    readonly adminPort: number,
    readonly metricsPort: number
  ) {}

  static async start (options: ClusterOptions): Promise<LocalCluster> {
    const cluster = new LocalCluster(options, await RedisServer.start({ args: options.redisArgs ?? [] }), await NameServer.start(), await freePort(), options.port ?? await freePort(), await freePort(), await freePort())
    try {
      await Promise.all(Array.from({ length: options.instances }, () => cluster.#startInstance()))
      await cluster.#startHaproxy()
      await cluster.settled()
      return cluster
    } catch (error) {
      await cluster.stop()
      throw error
    }
  }

  /** Where viewers come in. */
  get url () { return `http://127.0.0.1:${this.port}` }

  /** Statistics and metrics of the load balancer. */
  get adminUrl () { return `http://127.0.0.1:${this.adminPort}` }

  /**
   * Starts one more instance and waits until the load balancer uses it.
   *
   * @param env settings of this instance alone
   */
  async addInstance (env: Record<string, string> = {}): Promise<Instance> {
    const instance = await this.#startInstance(env)
    await this.settled()
    return instance
  }

  /**
   * Ends an instance, by default with SIGTERM, which drains it first. Its name goes when its process is gone.
   *
   * @returns its exit code
   */
  async removeInstance (instance: Instance, signal: NodeJS.Signals = 'SIGTERM'): Promise<number | null> {
    this.instances.splice(this.instances.indexOf(instance), 1)
    const code = await instance.process.stop(signal)
    this.#announce()
    return code
  }

  /**
   * Has the load balancer read its configuration and certificates again, as `docker-compose kill -s USR2 haproxy` does, and waits until
   * another worker serves. The former one keeps its streams.
   */
  async reloadBalancer () {
    const former = this.balancerWorkers()
    this.#haproxy?.signal('SIGUSR2')
    for (let waitedMs = 0; waitedMs < RELOAD_TIMEOUT_MS && this.balancerWorkers().every((pid) => former.includes(pid)); waitedMs += CHECK_INTERVAL_MS) {
      await new Promise((resolve) => setTimeout(resolve, CHECK_INTERVAL_MS))
    }
    await this.settled()
  }

  /** Process ids: the worker that serves, and those that only keep their streams. */
  balancerWorkers (): number[] {
    const { pid } = this.#haproxy ?? {}
    return pid === undefined ? [] : readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter((text) => text !== '').map(Number)
  }

  /** Waits until the load balancer has as many servers up as there are instances. */
  async settled () {
    for (let waitedMs = 0; waitedMs < 20_000; waitedMs += CHECK_INTERVAL_MS) {
      const csv = await fetch(`${this.adminUrl}/;csv`).then((response) => response.text(), () => '')
      const up = csv.split('\n').filter((line) => /^instances,chat\d+,/.test(line) && line.split(',')[17]?.startsWith('UP'))
      if (up.length === this.instances.length) return
      await new Promise((resolve) => setTimeout(resolve, CHECK_INTERVAL_MS))
    }
    throw new Error(`the load balancer does not see ${this.instances.length} instances:\n${this.#haproxy?.output}`)
  }

  async stop () {
    await this.#haproxy?.stop('SIGKILL')
    await Promise.all(this.instances.map(({ process }) => process.stop('SIGKILL')))
    await this.redis.stop()
    this.names.stop()
    rmSync(this.#folder, { recursive: true, force: true })
  }

  #announce () {
    this.names.addresses = this.instances.map(({ address }) => address)
  }

  async #startInstance (env: Record<string, string> = {}): Promise<Instance> {
    const number = ++this.#started
    const address = `127.0.1.${number}`
    const url = `http://${address}:${this.instancePort}`
    const process = await ManagedProcess.start({
      command: 'node',
      args: [join(ROOT, 'dist/src/server.js')],
      cwd: this.#folder,
      env: { ...this.redis.env, HOST: address, PORT: String(this.instancePort), METRICS_HOST: address, METRICS_PORT: String(this.metricsPort), TRUST_PROXY: 'loopback', ...this.options.env, ...env },
      isReady: async () => (await fetch(`${url}/health/ready`)).ok,
      onOutput: (text) => this.options.onOutput?.(`chat ${number}`, text)
    })
    const instance = { address, url, metricsUrl: `http://${address}:${this.metricsPort}/metrics`, process }
    this.instances.push(instance)
    this.#announce()
    return instance
  }

  async #startHaproxy () {
    this.#haproxy = await ManagedProcess.start({
      command: 'haproxy',
      // With a master, as in compose: it is the one that reloads, and what it started ends with it.
      args: ['-W', '-db', '-f', join(ROOT, 'haproxy.cfg')],
      env: {
        BIND_HTTP: `127.0.0.1:${this.port}`,
        BIND_ADMIN: `127.0.0.1:${this.adminPort}`,
        HAP_SOCK: join(this.#folder, 'haproxy.sock'),
        // Two file descriptors a connection, and a process may have 20,000 on many machines.
        HAP_MAXCONN: '9000',
        FE_MAXCONN: '8900',
        FE_VIEWERS_MAX: '8800',
        DNS_ADDR: `127.0.0.1:${this.names.port}`,
        CHAT_ADDR: `chat.internal:${this.instancePort}`,
        // All viewers come from one address here.
        IP_MAX_VIEWERS: '8800',
        IP_REQ_PER_10S: '100000',
        ...this.options.haproxyEnv
      },
      isReady: async () => (await fetch(`${this.adminUrl}/metrics`)).ok,
      onOutput: (text) => this.options.onOutput?.('haproxy', text)
    })
  }
}
