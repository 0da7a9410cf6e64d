import { setTimeout as pause } from 'node:timers/promises'
import type { Figures } from '../figures.js'
import { rssKiB } from '../procfs.js'
import type { SteadyScenario } from '../scenarios.js'
import { MessageSource } from './message-source.js'
import { counted, drained, newRooms, received, Usage, type Stage } from './stage.js'

const OPEN_AT_ONCE = 100
/** After everything has connected, before memory is read. */
const QUIET_MS = 2000
/** Messages come before it counts, so that code is compiled: what runs for days does not pay for that. */
const WARM_UP_MS = 10_000
/** So long after a crowd has come, what that left behind has been collected. */
const CALM_MS = 60_000
const DRAIN_TIMEOUT_MS = 3000
const POLL_MS = 100

export async function runSteady (scenario: SteadyScenario, stage: Stage): Promise<Figures> {
  const { contender, server, load } = stage
  const { viewersPerRoom, rate, bytes, seconds, everyStalled } = scenario
  const rooms = newRooms(scenario.rooms)
  const viewers = rooms.length * viewersPerRoom
  const rssEmpty = rssKiB(server.pids)
  const { failed, error } = await load.open({
    port: server.port,
    protocol: contender.protocol,
    acceptsGzip: contender.acceptsGzip === true,
    paths: rooms.map((room) => contender.pathOf(room)),
    viewersPerRoom,
    openAtOnce: OPEN_AT_ONCE,
    everyStalled,
    parseAll: false
  })
  if (failed === viewers) throw new Error(error)
  await pause(QUIET_MS)
  const rssIdle = rssKiB(server.pids)

  const source = rate > 0 ? new MessageSource(server.publisher, rooms, rate, bytes) : undefined
  try {
    if (source !== undefined) await pause(WARM_UP_MS)
    else if (scenario.isDefault) await pause(CALM_MS)
    const countedBefore = counted(await load.report())
    await load.ask({ do: 'forget-latencies' })
    const before = new Usage(stage)
    let rssPeak = rssIdle
    while (performance.now() - before.atMs < seconds * 1000) {
      await pause(POLL_MS)
      rssPeak = Math.max(rssPeak, rssKiB(server.pids))
    }
    source?.stop()
    const end = new Usage(stage)
    const writesUntilEnd = counted(await load.report()).viewerWrites
    if (source !== undefined) await drained(load, DRAIN_TIMEOUT_MS)
    // Deliveries and the time they took are counted up to the same moment: a server that is behind goes on working.
    const reports = await load.report()
    const cpu = new Usage(stage).server - before.server

    const { stalled, ...after } = counted(reports)
    const deliveries = after.deliveries - countedBefore.deliveries
    const viewerWrites = after.viewerWrites - countedBefore.viewerWrites
    const expected = (source?.published ?? 0) * (viewers - stalled) / rooms.length
    return {
      ...before.coresUntil(end),
      ...received(reports, expected),
      ...(deliveries > 0
        ? {
            cpuPerDelivery: cpu * 1e6 / deliveries,
            cpuPerWrite: cpu * 1e6 / viewerWrites,
            writesPerSecond: (writesUntilEnd - countedBefore.viewerWrites) / seconds,
            bytesPerDelivery: (after.bytes - countedBefore.bytes) / deliveries
          }
        : {}),
      rssPerViewer: (rssIdle - rssEmpty) / viewers,
      rssIdle: rssIdle / 1024,
      rssPeak: rssPeak / 1024
    }
  } finally {
    source?.stop()
  }
}
