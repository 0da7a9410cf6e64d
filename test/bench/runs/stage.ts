import { setTimeout as pause } from 'node:timers/promises'
import type { RedisServer } from '../../../deploy/local-cluster/redis-server.js'
import type { Contender, RunningContender } from '../contenders.js'
import { percentile, type Figures } from '../figures.js'
import { Load } from '../load/load.js'
import type { LoadReport } from '../load/protocol.js'
import { cpuSeconds, waitSeconds } from '../procfs.js'

/** What every run has: a contender that serves, viewers to come, and the processes whose cost is counted. */
export interface Stage {
  readonly contender: Contender
  readonly server: RunningContender
  readonly load: Load
  readonly redisPid: number
}

/** Of the rooms' ids; the server under test wants UUIDs. */
export const newRooms = (count: number) => Array.from({ length: count }, () => crypto.randomUUID())

const QUIET_MS = 500
const POLL_MS = 100

/** @param isDefault as in `Contender.start` */
export async function withStage (contender: Contender, redis: RedisServer, processes: number, isDefault: boolean, run: (stage: Stage) => Promise<Figures>): Promise<Figures> {
  const admin = redis.connect()
  // What an earlier run has left is none of this one's business.
  await admin.flushall()
  const redisPid = Number(/process_id:(\d+)/.exec(await admin.info('server'))?.[1])
  admin.disconnect()
  const server = await contender.start(redis, isDefault)
  const load = await Load.start(processes)
  try {
    return await run({ contender, server, load, redisPid })
  } finally {
    load.stop()
    await server.stop()
  }
}

/** What was used up to now. */
export class Usage {
  readonly atMs = performance.now()
  readonly server: number
  readonly serverWait: number
  readonly redis: number
  readonly load: number

  constructor ({ server, redisPid, load }: Stage) {
    this.server = cpuSeconds(server.pids)
    this.serverWait = waitSeconds(server.pids)
    this.redis = cpuSeconds([redisPid])
    this.load = cpuSeconds([...load.pids, process.pid])
  }

  /** @returns the cores that were busy between the two */
  coresUntil (end: Usage): Figures {
    const seconds = (end.atMs - this.atMs) / 1000
    return {
      cpuCores: (end.server - this.server) / seconds,
      waitPercent: 100 * (end.serverWait - this.serverWait) / seconds,
      redisCores: (end.redis - this.redis) / seconds,
      loadCores: (end.load - this.load) / seconds
    }
  }
}

/** Waits until nothing has come for a while: what is on its way arrives, unless the server is far behind. */
export async function drained (load: Load, timeoutMs: number) {
  const deadline = performance.now() + timeoutMs
  let bytes = await load.bytes()
  let lastCameMs = performance.now()
  while (performance.now() < deadline && performance.now() - lastCameMs < QUIET_MS) {
    await pause(POLL_MS)
    const now = await load.bytes()
    if (now !== bytes) lastCameMs = performance.now()
    bytes = now
  }
}

const sum = (reports: readonly LoadReport[], figure: (report: LoadReport) => number) => reports.reduce((total, report) => total + figure(report), 0)

export function counted (reports: readonly LoadReport[]): { deliveries: number, viewerWrites: number, bytes: number, stalled: number } {
  return {
    deliveries: sum(reports, ({ deliveries }) => deliveries),
    viewerWrites: sum(reports, ({ viewerWrites }) => viewerWrites),
    bytes: sum(reports, ({ bytes }) => bytes),
    stalled: sum(reports, ({ stalled }) => stalled)
  }
}

/** @param expected deliveries, when nothing is lost or late */
export function received (reports: readonly LoadReport[], expected: number): Figures {
  return {
    ...latencies(reports),
    ...(expected > 0 ? { deliveredPercent: 100 * counted(reports).deliveries / expected } : {}),
    lost: sum(reports, ({ lost }) => lost),
    told: sum(reports, ({ told }) => told),
    doubled: sum(reports, ({ doubled }) => doubled),
    parsed: sum(reports, ({ parsed }) => parsed),
    ...(reports.every(({ isCompared }) => isCompared) ? { different: sum(reports, ({ different }) => different) } : {}),
    refused: sum(reports, ({ viewers, connected }) => viewers - connected)
  }
}

export function latencies (reports: readonly LoadReport[]): Figures {
  const sorted = reports.flatMap(({ latenciesMs }) => Array.from(latenciesMs)).sort((a, b) => a - b)
  const [p50, p99, p999] = [0.5, 0.99, 0.999].map((share) => percentile(sorted, share))
  return p50 === undefined || p99 === undefined || p999 === undefined ? {} : { p50, p99, p999 }
}
