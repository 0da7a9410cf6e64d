// One busy room: what fanning out costs the server, and what a viewer costs while nothing happens.
// Publishes through a real Redis; the server runs in a process of its own, the viewers in another.
//
//   npm run bench -- [--viewers 10000] [--rate 100] [--seconds 10] [--stalled 0] [--bytes 160] [--rival naive|without-continuity] [--rounds 1]
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { freePort, ManagedProcess } from '../../deploy/local-cluster/managed-process.js'
import { RedisServer } from '../../deploy/local-cluster/redis-server.js'
import type { LoadOptions, LoadReport } from './load-generator.js'

const { values } = parseArgs({
  options: {
    viewers: { type: 'string', default: '10000' },
    rate: { type: 'string', default: '100' },
    seconds: { type: 'string', default: '10' },
    stalled: { type: 'string', default: '0' },
    bytes: { type: 'string', default: '160' },
    rival: { type: 'string', default: 'naive' },
    rounds: { type: 'string', default: '1' }
  }
})
const viewers = Number(values.viewers)
const rate = Number(values.rate)
const seconds = Number(values.seconds)
const stalled = Number(values.stalled)
const bytes = Number(values.bytes)
const rounds = Number(values.rounds)

const RIVALS: Record<string, string> = { naive: 'naive-server.js', 'without-continuity': 'without-continuity.js' }
const SERVERS = {
  'Chat Sync Server': fileURLToPath(new URL('../../dist/src/server.js', import.meta.url)),
  [values.rival]: fileURLToPath(new URL(RIVALS[values.rival] ?? '', import.meta.url))
}
/** Linux counts a process's time in ticks of 10 ms. */
const TICKS_PER_SECOND = 100
const PUBLISH_TICK_MS = 10
/** A message without its text: number, time and nickname. */
const ENVELOPE_BYTES = 80
const TEXT = 'so this is what they say '.repeat(Math.ceil(bytes / 25)).slice(0, Math.max(0, bytes - ENVELOPE_BYTES))

function cpuSeconds (pid: number) {
  // The second field is a name in parentheses and may hold spaces.
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/^.*\) /, '').split(' ')
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND
}

function rssMiB (pid: number) {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

async function measure (script: string) {
  const redis = await RedisServer.start()
  const publisher = redis.connect()
  const port = await freePort()
  const server = await ManagedProcess.start({
    command: 'node',
    args: [script],
    env: { ...redis.env, HOST: '127.0.0.1', PORT: String(port), HEARTBEAT_MS: '600000', SLOW_VIEWER_TIMEOUT_MS: '600000' },
    isReady: async () => (await fetch(`http://127.0.0.1:${port}/health/ready`)).ok
  })
  const room = crypto.randomUUID()
  const load = fork(fileURLToPath(new URL('load-generator.ts', import.meta.url)), { execArgv: ['--import', 'tsx'] })
  try {
    const rssEmpty = rssMiB(server.pid)
    const opening = performance.now()
    const start: LoadOptions = { host: '127.0.0.1', port, path: `/api/v1/chats/sse-connect/${room}`, viewers, stalled }
    load.send({ start })
    await once(load, 'message')
    const openSeconds = (performance.now() - opening) / 1000
    await pause(2000)
    const rssIdle = rssMiB(server.pid)

    const cpuBefore = cpuSeconds(server.pid)
    const started = performance.now()
    let published = 0
    let rssPeak = rssIdle
    while (performance.now() - started < seconds * 1000) {
      const due = Math.floor((performance.now() - started) / 1000 * rate)
      for (; published < due; published++) {
        publisher.publish(room, JSON.stringify({ n: published, at: performance.timeOrigin + performance.now(), nickname: 'viewer', message: TEXT }))
      }
      rssPeak = Math.max(rssPeak, rssMiB(server.pid))
      await pause(PUBLISH_TICK_MS)
    }
    const cpu = (cpuSeconds(server.pid) - cpuBefore) / ((performance.now() - started) / 1000)
    await pause(2000)
    load.send({ report: true })
    const [report] = await once(load, 'message') as [LoadReport]
    return { published, openSeconds, cpu, rssEmpty, rssIdle, rssPeak, report }
  } finally {
    load.kill()
    publisher.disconnect()
    await server.stop('SIGKILL')
    await redis.stop()
  }
}

console.log(`${viewers} viewers (and ${stalled} that stopped reading), one room, ${rate} messages/s of ${bytes} bytes for ${seconds} s; node ${process.version}, ${cpus().length} × ${cpus()[0]?.model}\n`)
const rows: Record<string, Record<string, string | number | boolean>> = {}
/** By turns, because the machine may be busier at one time than at another; of each the run with the median CPU counts. */
const measured = new Map<string, Array<Awaited<ReturnType<typeof measure>>>>()
for (let round = 0; round < rounds; round++) {
  for (const [name, script] of Object.entries(SERVERS)) measured.set(name, [...measured.get(name) ?? [], await measure(script)])
}
for (const [name, runs] of measured) {
  const median = runs.sort((a, b) => a.cpu - b.cpu)[Math.floor(runs.length / 2)]
  if (median === undefined) continue
  const { published, openSeconds, cpu, rssEmpty, rssIdle, rssPeak, report } = median
  rows[name] = {
    'CPU (cores)': cpu.toFixed(3),
    'CPU µs/delivery': (cpu * seconds * 1e6 / (report.messages * (viewers + stalled))).toFixed(2),
    'CPU µs/viewer-write': (cpu * seconds * 1e6 / (report.batches * (viewers + stalled))).toFixed(2),
    'batches/s': (report.batches / seconds).toFixed(1),
    'latency p50 ms': report.latencyMs.p50.toFixed(0),
    'latency p99 ms': report.latencyMs.p99.toFixed(0),
    'KiB per idle viewer': ((rssIdle - rssEmpty) * 1024 / (viewers + stalled)).toFixed(1),
    'RSS idle MiB': rssIdle.toFixed(0),
    'RSS peak MiB': rssPeak.toFixed(0),
    'all opened in s': openSeconds.toFixed(1),
    delivered: `${report.messages} of ${published}`,
    'in order': report.inOrder,
    'streams that differ': report.different,
    disconnected: report.disconnected,
    'load generator CPU s': report.cpuSeconds.toFixed(1)
  }
}
// One column a server reads better than one row.
const names = Object.keys(rows)
console.table(Object.fromEntries(Object.keys(rows[names[0] ?? ''] ?? {}).map((figure) => [figure, Object.fromEntries(names.map((name) => [name, rows[name]?.[figure]]))])))
