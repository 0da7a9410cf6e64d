import { spawn, type ChildProcess } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'

/** Debian puts servers where an ordinary user's PATH does not look. */
const PATH = `${process.env.PATH ?? ''}:/usr/local/sbin:/usr/sbin`

export interface ProcessOptions {
  readonly command: string
  readonly args: readonly string[]
  readonly env?: Record<string, string>
  readonly cwd?: string
  /** Asked every 20 ms: whether the process serves. */
  isReady (): Promise<boolean>
  /** Takes what the process writes to its standard output and error. */
  onOutput? (text: string): void
}

const START_TIMEOUT_MS = 20_000
/** Browsers refuse some of the ports below. */
const FIRST_PORT = 11_000
/** From here on they are for outgoing connections (net.ipv4.ip_local_port_range). */
const EPHEMERAL_PORT = 32_768
const READY_TIMEOUT_MS = 1000
const OUTPUT_KEPT = 20_000

/** However this process ends, it leaves nothing of these behind. */
const running = new Set<ChildProcess>()
const folders = new Set<string>()
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL')
  for (const folder of folders) rmSync(folder, { recursive: true, force: true })
})

/** A child process that is known to serve when `start` returns, and to be gone when `stop` does. */
export class ManagedProcess {
  readonly exited: Promise<number | null>
  /** The last of what it wrote. */
  output = ''
  readonly #child: ChildProcess

  private constructor (readonly options: ProcessOptions) {
    this.#child = spawn(options.command, options.args, {
      cwd: options.cwd,
      env: { ...process.env, PATH, ...options.env },
      stdio: ['ignore', 'pipe', 'pipe']
    })
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => {
        this.output = (this.output + text).slice(-OUTPUT_KEPT)
        options.onOutput?.(text)
      })
    }
    running.add(this.#child)
    this.#child.once('close', () => running.delete(this.#child))
    this.exited = new Promise((resolve) => {
      this.#child.once('exit', resolve)
      this.#child.once('error', (error) => {
        this.output += error.message
        resolve(null)
      })
    })
  }

  /** @throws Error with the process's own output when it ends, or does not serve in time */
  static async start (options: ProcessOptions): Promise<ManagedProcess> {
    const started = new ManagedProcess(options)
    const deadline = Date.now() + START_TIMEOUT_MS
    while (started.#isRunning && Date.now() < deadline) {
      const isReady = await Promise.race([options.isReady().catch(() => false), pause(READY_TIMEOUT_MS, false)])
      if (isReady) return started
      await pause(20)
    }
    await started.stop('SIGKILL')
    throw new Error(`${options.command} ${options.args.join(' ')} did not start:\n${started.output}`)
  }

  get pid (): number {
    if (this.#child.pid === undefined) throw new Error(`${this.options.command} has no process id`)
    return this.#child.pid
  }

  get #isRunning () {
    return this.#child.exitCode === null && this.#child.signalCode === null && this.#child.pid !== undefined
  }

  signal (signal: NodeJS.Signals) {
    this.#child.kill(signal)
  }

  /** @returns the exit code; null when a signal ended it */
  async stop (signal: NodeJS.Signals = 'SIGTERM'): Promise<number | null> {
    if (this.#isRunning) this.#child.kill(signal)
    return await this.exited
  }
}

/** A folder that goes, at the latest, with this process. */
export function temporaryFolder (prefix: string): string {
  const folder = mkdtempSync(join(tmpdir(), prefix))
  folders.add(folder)
  return folder
}

/** A TCP port that nobody listened on a moment ago, and that the system gives to no outgoing connection meanwhile. */
export async function freePort (host = '127.0.0.1'): Promise<number> {
  const port = FIRST_PORT + Math.floor(Math.random() * (EPHEMERAL_PORT - FIRST_PORT))
  const server = createServer()
  return await new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => error.code === 'EADDRINUSE' ? resolve(freePort(host)) : reject(error))
    server.listen(port, host, () => server.close(() => resolve(port)))
  })
}
