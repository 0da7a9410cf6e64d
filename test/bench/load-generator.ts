// Opens viewers in a process of its own, so that their cost is not the server's, and checks what each of them gets.
// Talks to its parent over IPC. Not meant to be started by hand.
import { connect, type Socket } from 'node:net'

export interface LoadOptions {
  readonly host: string
  readonly port: number
  readonly path: string
  readonly viewers: number
  /** Viewers that stop reading once they are connected. */
  readonly stalled: number
}

export interface LoadReport {
  /** Messages the first viewer got. */
  readonly messages: number
  /** Events in which they came. */
  readonly batches: number
  /** Whether those are 0, 1, 2 … without hole or repetition. */
  readonly inOrder: boolean
  /** Viewers whose stream was not, byte for byte, the first viewer's. */
  readonly different: number
  readonly disconnected: number
  readonly latencyMs: { readonly p50: number, readonly p99: number, readonly max: number }
  readonly bytesPerViewer: number
  readonly cpuSeconds: number
}

/** So many connections are opened at a time. */
const OPEN_AT_ONCE = 200
const HEAD_END = Buffer.from('\r\n\r\n')
const EVENT_END = Buffer.from('\n\n')

class ReferenceStream {
  readonly #chunks: Buffer[] = []
  bytes = Buffer.alloc(0)

  append (chunk: Buffer) {
    this.#chunks.push(chunk)
  }

  merge () {
    this.bytes = Buffer.concat([this.bytes, ...this.#chunks.splice(0)])
    return this.bytes
  }
}

const reference = new ReferenceStream()
const received: number[] = []
const pending = new Map<number, Buffer[]>()
const latencies: number[] = []
let disconnected = 0
let different = 0

function onData (index: number, chunk: Buffer) {
  if (index === 0) {
    reference.append(chunk)
    const now = performance.timeOrigin + performance.now()
    for (const match of chunk.toString().matchAll(/\\"at\\":([\d.]+)/g)) latencies.push(now - Number(match[1]))
  } else {
    pending.get(index)?.push(chunk)
  }
}

/** Compares what has come meanwhile with the first viewer's stream, without parsing it. */
function compare () {
  const bytes = reference.merge()
  for (const [index, chunks] of pending) {
    let offset = received[index] ?? 0
    let held: Buffer | undefined
    let chunk: Buffer | undefined
    while ((chunk = chunks.shift()) !== undefined) {
      if (offset + chunk.length > bytes.length) {
        held = chunk
        break
      }
      if (chunk.compare(bytes, offset, offset + chunk.length) !== 0) different++
      offset += chunk.length
    }
    if (held) chunks.unshift(held)
    received[index] = offset
  }
}

async function open (options: LoadOptions, index: number): Promise<Socket> {
  return await new Promise((resolve, reject) => {
    let head = Buffer.alloc(0)
    let streaming = false
    const socket = connect(options.port, options.host, () => socket.write(`GET ${options.path} HTTP/1.1\r\nHost: bench\r\n\r\n`))
    socket.setNoDelay(true)
    pending.set(index, [])
    socket.on('data', (chunk) => {
      if (streaming) return onData(index, chunk)
      head = Buffer.concat([head, chunk])
      const headEnd = head.indexOf(HEAD_END)
      // The first event is each viewer's own: its reconnection time is spread.
      const helloEnd = headEnd < 0 ? -1 : head.indexOf(EVENT_END, headEnd + HEAD_END.length)
      if (helloEnd < 0) return
      if (!head.toString('latin1', 0, 15).includes('200')) reject(new Error(head.toString()))
      streaming = true
      const rest = head.subarray(helloEnd + EVENT_END.length)
      if (rest.length > 0) onData(index, rest)
      resolve(socket)
    })
    socket.on('error', reject)
    socket.on('close', () => { disconnected++ })
  })
}

function report (): LoadReport {
  compare()
  const total = reference.bytes.length
  for (const [index, chunks] of pending) if (index > 0 && !stalledFrom(index) && (chunks.length > 0 || received[index] !== total)) different++
  const batches = reference.bytes.toString().split('\n').filter((line) => line.startsWith('data:['))
  const messages = batches
    .flatMap((line) => JSON.parse(line.slice('data:'.length)) as string[])
    .map((text) => JSON.parse(text) as { n: number })
  latencies.sort((a, b) => a - b)
  const at = (share: number) => latencies[Math.min(latencies.length - 1, Math.floor(latencies.length * share))] ?? NaN
  const { user, system } = process.cpuUsage()
  return {
    messages: messages.length,
    batches: batches.length,
    inOrder: messages.every(({ n }, index) => n === index),
    different,
    disconnected,
    latencyMs: { p50: at(0.5), p99: at(0.99), max: at(1) },
    bytesPerViewer: total,
    cpuSeconds: (user + system) / 1e6
  }
}

let firstStalled = Infinity
const stalledFrom = (index: number) => index >= firstStalled

process.on('message', async (message: { start?: LoadOptions, report?: true }) => {
  if (message.start) {
    const options = message.start
    firstStalled = options.viewers
    for (let opened = 0; opened < options.viewers + options.stalled; opened += OPEN_AT_ONCE) {
      const count = Math.min(OPEN_AT_ONCE, options.viewers + options.stalled - opened)
      const sockets = await Promise.all(Array.from({ length: count }, (_, index) => open(options, opened + index)))
      for (const [index, socket] of sockets.entries()) if (stalledFrom(opened + index)) socket.pause()
    }
    setInterval(compare, 500)
    process.send?.('open')
  }
  if (message.report) {
    process.send?.(report())
    process.exit()
  }
})
