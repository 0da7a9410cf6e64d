import { setTimeout as pause } from 'node:timers/promises'
import type { Figures } from '../figures.js'
import { MESSAGE_BYTES, type ReconnectScenario } from '../scenarios.js'
import { MessageSource } from './message-source.js'
import { drained, newRooms, received, Usage, type Stage } from './stage.js'

const OPEN_AT_ONCE = 100
const DRAIN_TIMEOUT_MS = 3000

/** Of a contender whose viewers get what they missed. */
export async function runReconnect (scenario: ReconnectScenario, stage: Stage): Promise<Figures> {
  const { contender, server, load } = stage
  const rooms = newRooms(1)
  await load.open({
    port: server.port,
    protocol: contender.protocol,
    acceptsGzip: contender.acceptsGzip === true,
    paths: rooms.map((room) => contender.pathOf(room)),
    viewersPerRoom: scenario.viewers,
    openAtOnce: OPEN_AT_ONCE,
    everyStalled: 0,
    parseAll: true
  })
  await pause(1000)
  const source = new MessageSource(server.publisher, rooms, scenario.rate, MESSAGE_BYTES)
  try {
    await pause(scenario.secondsBefore * 1000)
    await load.ask({ do: 'cut' })
    await pause(scenario.secondsAway * 1000)

    const before = new Usage(stage)
    const answers = await load.ask({ do: 'come-back', until: source.published })
    const end = new Usage(stage)
    // What was caught up would count as late.
    await load.ask({ do: 'forget-latencies' })
    await pause(scenario.secondsAfter * 1000)
    source.stop()
    await drained(load, DRAIN_TIMEOUT_MS)
    const reports = await load.report()
    const missing = answers.reduce((sum, answer) => sum + (answer.missing ?? 0), 0)
    return {
      ...received(reports, source.published * scenario.viewers),
      ...before.coresUntil(end),
      ...(missing === 0 ? { liveSeconds: (end.atMs - before.atMs) / 1000 } : {}),
      missing,
      refused: answers.reduce((sum, { failed = 0 }) => sum + failed, 0),
      cpuPerViewer: (end.server - before.server) * 1e6 / scenario.viewers
    }
  } finally {
    source.stop()
  }
}
