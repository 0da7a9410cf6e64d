import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { Crowd, LoadAnswer, LoadReport, LoadRequest } from './protocol.js'

const GENERATOR = fileURLToPath(new URL('generator.ts', import.meta.url))
const TIMEOUT_MS = 90_000

const running = new Set<ChildProcess>()
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})

/** Several load generators that act as one. */
export class Load {
  readonly #children: ChildProcess[]

  private constructor (children: ChildProcess[]) {
    this.#children = children
  }

  /** Starts the processes; they are idle until asked. */
  static async start (processes: number): Promise<Load> {
    const load = new Load(Array.from({ length: processes }, () => fork(GENERATOR, { execArgv: ['--import', 'tsx'], serialization: 'advanced' })))
    for (const child of load.#children) {
      running.add(child)
      child.once('exit', () => running.delete(child))
    }
    await load.ask({ do: 'progress' })
    return load
  }

  get pids (): number[] { return this.#children.flatMap(({ pid }) => pid ?? []) }

  /** Asks all at once. */
  async ask (request: LoadRequest): Promise<LoadAnswer[]> {
    return await Promise.all(this.#children.map(async (child) => await askOne(child, request)))
  }

  /** Opens viewers, each room's spread over the processes. */
  async open (crowd: Crowd): Promise<{ headsMs: number[], failed: number, error: string | undefined }> {
    const answers = await Promise.all(this.#children.map(async (child, index) => await askOne(child, { do: 'open', crowd: share(crowd, index, this.#children.length) })))
    return {
      headsMs: answers.flatMap(({ headsMs }) => Array.from(headsMs ?? [])),
      failed: answers.reduce((sum, { failed = 0 }) => sum + failed, 0),
      error: answers.find(({ error }) => error !== undefined)?.error
    }
  }

  async bytes (): Promise<number> {
    return (await this.ask({ do: 'progress' })).reduce((sum, { bytes = 0 }) => sum + bytes, 0)
  }

  async report (): Promise<LoadReport[]> {
    return (await this.ask({ do: 'report' })).flatMap(({ report }) => report ?? [])
  }

  stop () {
    for (const child of this.#children) child.kill('SIGKILL')
  }
}

function share (crowd: Crowd, index: number, count: number): Crowd {
  const { viewersPerRoom } = crowd
  return { ...crowd, viewersPerRoom: Math.floor((viewersPerRoom + index) / count) }
}

async function askOne (child: ChildProcess, request: LoadRequest): Promise<LoadAnswer> {
  const done = new AbortController()
  const signal = AbortSignal.any([done.signal, AbortSignal.timeout(TIMEOUT_MS)])
  const exit = async () => {
    await once(child, 'exit', { signal })
    throw new Error(`a load generator ended at '${request.do}'`)
  }
  child.send(request)
  try {
    const [answer] = await Promise.race([once(child, 'message', { signal }), exit()]) as [LoadAnswer]
    return answer
  } finally {
    done.abort()
  }
}
