// Opens viewers in a process of its own, so that their cost is not the server's, and checks what each of them gets.
// Talks to its parent over IPC. Not meant to be started by hand.
import { setTimeout as pause } from 'node:timers/promises'
import { makeReport } from './make-report.js'
import { nowUs } from '../message.js'
import type { Crowd, LoadAnswer, LoadRequest } from './protocol.js'
import { RoomStream } from './room-stream.js'
import { Sequence } from './sequence.js'
import { Viewer } from './viewer.js'

/** Of all viewers so many, evenly spread, are parsed for latency, losses and repetitions. */
const PARSED = 64
const CHECK_INTERVAL_MS = 5
const COME_BACK_TIMEOUT_MS = 60_000
/** As the servers ask for, in their first event. */
const RETRY_MS = 2000

let crowd: Crowd | undefined
const rooms: RoomStream[] = []
const viewers: Viewer[] = []
const stalled = new Set<Viewer>()
let latenciesMs: number[] = []

const recordLatency = (publishedUs: number) => { latenciesMs.push((nowUs() - publishedUs) / 1000) }

function populate (crowd: Crowd) {
  const { port, protocol, paths, viewersPerRoom, everyStalled, parseAll, acceptsGzip } = crowd
  // Odd, so that it is not always the same place of a room.
  const everyParsed = Math.floor(paths.length * viewersPerRoom / PARSED) | 1
  for (const path of paths) {
    const room = new RoomStream()
    rooms.push(room)
    for (let count = 0; count < viewersPerRoom; count++) {
      const isStalled = everyStalled > 0 && viewers.length % everyStalled === everyStalled - 1
      const isSample = viewers.length % everyParsed === 0
      const sequence = isStalled || !(isSample || parseAll) ? undefined : new Sequence(protocol, isSample ? recordLatency : undefined)
      const viewer = new Viewer({ port, protocol, path, room: parseAll || isStalled ? undefined : room, sequence, acceptsGzip })
      viewers.push(viewer)
      if (isStalled) stalled.add(viewer)
    }
  }
}

/** @returns how long each took; who was refused is counted and left out */
async function openAll (openAtOnce: number): Promise<LoadAnswer> {
  const headsMs: number[] = []
  let failed = 0
  let error: string | undefined
  const openOne = async (viewer: Viewer) => {
    const startedUs = nowUs()
    try {
      await viewer.open()
      headsMs.push((nowUs() - startedUs) / 1000)
      if (stalled.has(viewer)) viewer.socket?.pause()
    } catch (reason) {
      failed++
      error ??= String(reason)
    }
  }
  for (let start = 0; start < viewers.length; start += openAtOnce) {
    await Promise.all(viewers.slice(start, start + openAtOnce).map(openOne))
  }
  return { headsMs: Float64Array.from(headsMs), failed, ...(error === undefined ? {} : { error }) }
}

/** Reconnects all at once, and whoever is refused again, until each has all messages below `until`. */
async function comeBack (until: number): Promise<LoadAnswer> {
  const deadline = performance.now() + COME_BACK_TIMEOUT_MS
  const isBack = ({ isConnected, options: { sequence } }: Viewer) => isConnected && (sequence === undefined || sequence.next >= until)
  let failed = 0
  let error: string | undefined
  const persist = async (viewer: Viewer) => {
    while (!viewer.isConnected && performance.now() < deadline) {
      try {
        await viewer.open()
      } catch (reason) {
        failed++
        error ??= String(reason)
        await pause(RETRY_MS)
      }
    }
  }
  for (const viewer of viewers) persist(viewer).catch(() => {})
  while (!viewers.every(isBack) && performance.now() < deadline) await pause(CHECK_INTERVAL_MS)
  return { failed, missing: viewers.filter((viewer) => !isBack(viewer)).length, ...(error === undefined ? {} : { error }) }
}

async function handle (request: LoadRequest): Promise<LoadAnswer> {
  switch (request.do) {
    case 'open':
      crowd = request.crowd
      populate(crowd)
      return await openAll(crowd.openAtOnce)
    case 'progress':
      return { bytes: viewers.reduce((sum, { offset }) => sum + offset, 0) }
    case 'forget-latencies':
      latenciesMs = []
      return {}
    case 'cut':
      for (const viewer of viewers) viewer.cut()
      return {}
    case 'come-back':
      return await comeBack(request.until)
    case 'report':
      return crowd === undefined ? { error: 'nothing to report' } : { report: makeReport(crowd, rooms, viewers, stalled, latenciesMs) }
  }
}

process.on('message', (request: LoadRequest) => {
  handle(request).then((answer) => process.send?.(answer), (error) => process.send?.({ error: String(error) }))
})
process.on('disconnect', () => process.exit())
