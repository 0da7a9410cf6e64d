import { setTimeout as pause } from 'node:timers/promises'
import type { Figures } from '../figures.js'
import { rssKiB } from '../procfs.js'
import { MESSAGE_BYTES, type OverloadScenario } from '../scenarios.js'
import { MessageSource } from './message-source.js'
import { counted, drained, latencies, newRooms, received, Usage, type Stage } from './stage.js'

const OPEN_AT_ONCE = 100
const WARM_UP_MS = 1000
/** For what has gathered in a server that was behind. */
const DRAIN_TIMEOUT_MS = 10_000
const POLL_MS = 100

/** Little to do, then far too much, then little again. */
export async function runOverload (scenario: OverloadScenario, stage: Stage): Promise<Figures> {
  const { contender, server, load } = stage
  const { viewersPerRoom, lightRate, rate, secondsLight, seconds } = scenario
  const rooms = newRooms(scenario.rooms)
  const { failed, error } = await load.open({
    port: server.port,
    protocol: contender.protocol,
    acceptsGzip: contender.acceptsGzip === true,
    paths: rooms.map((room) => contender.pathOf(room)),
    viewersPerRoom,
    openAtOnce: OPEN_AT_ONCE,
    everyStalled: 0,
    parseAll: false
  })
  if (failed === rooms.length * viewersPerRoom) throw new Error(error)

  const source = new MessageSource(server.publisher, rooms, lightRate, MESSAGE_BYTES)
  const p99Of = async (ms: number) => {
    await load.ask({ do: 'forget-latencies' })
    await pause(ms)
    return latencies(await load.report()).p99
  }
  try {
    await pause(WARM_UP_MS)
    const p99Before = await p99Of(secondsLight * 1000)

    const writesBefore = counted(await load.report()).viewerWrites
    await load.ask({ do: 'forget-latencies' })
    const before = new Usage(stage)
    source.changeRate(rate)
    let rssPeak = 0
    while (performance.now() - before.atMs < seconds * 1000) {
      await pause(POLL_MS)
      rssPeak = Math.max(rssPeak, rssKiB(server.pids))
    }
    const end = new Usage(stage)
    source.changeRate(0)
    const writes = counted(await load.report()).viewerWrites - writesBefore
    await drained(load, DRAIN_TIMEOUT_MS)
    // With it comes how late the last message of the overload was.
    const { p50, p99, p999 } = latencies(await load.report())

    source.changeRate(lightRate)
    const p99After = await p99Of(secondsLight * 1000)
    source.stop()
    await drained(load, DRAIN_TIMEOUT_MS)
    return {
      ...received(await load.report(), source.published * viewersPerRoom),
      ...before.coresUntil(end),
      writesPerSecond: writes / seconds,
      rssPeak: rssPeak / 1024,
      ...defined({ p50, p99, p999, p99Before, p99After })
    }
  } finally {
    source.stop()
  }
}

function defined (figures: Record<string, number | undefined>): Figures {
  return Object.fromEntries(Object.entries(figures).filter(([, value]) => value !== undefined))
}
