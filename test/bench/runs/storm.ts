import { setTimeout as pause } from 'node:timers/promises'
import { percentile, type Figures } from '../figures.js'
import { Load } from '../load/load.js'
import { rssKiB } from '../procfs.js'
import { MESSAGE_BYTES, type StormScenario } from '../scenarios.js'
import { MessageSource } from './message-source.js'
import { drained, newRooms, received, Usage, type Stage } from './stage.js'

const SETTLE_MS = 1000
const DRAIN_TIMEOUT_MS = 3000

/** The crowd connects in processes of its own, so that the small room's latency is the server's and not theirs. */
export async function runStorm (scenario: StormScenario, stage: Stage): Promise<Figures> {
  const { contender, server, load } = stage
  const [crowded, small] = newRooms(2)
  if (crowded === undefined || small === undefined) return {}
  const crowd = { port: server.port, protocol: contender.protocol, acceptsGzip: contender.acceptsGzip === true, openAtOnce: scenario.viewers, everyStalled: 0, parseAll: false }
  const bystanders = await Load.start(1)
  let source: MessageSource | undefined
  try {
    await bystanders.open({ ...crowd, paths: [contender.pathOf(small)], viewersPerRoom: scenario.bystanders, parseAll: true })
    source = new MessageSource(server.publisher, [small], scenario.rate, MESSAGE_BYTES)
    await pause(SETTLE_MS)
    await bystanders.ask({ do: 'forget-latencies' })
    const rssEmpty = rssKiB(server.pids)

    const before = new Usage(stage)
    const { headsMs, failed } = await load.open({ ...crowd, paths: [contender.pathOf(crowded)], viewersPerRoom: scenario.viewers })
    const end = new Usage(stage)
    // Its latency is that of the messages of this time alone, however late they come.
    source.stop()
    await drained(bystanders, DRAIN_TIMEOUT_MS)
    const reports = await bystanders.report()
    await pause(SETTLE_MS)
    const rss = rssKiB(server.pids)
    const headP99 = percentile(headsMs.sort((a, b) => a - b), 0.99)
    return {
      ...received(reports, source.published * scenario.bystanders),
      ...before.coresUntil(end),
      headsSeconds: (end.atMs - before.atMs) / 1000,
      ...(headP99 === undefined ? {} : { headP99 }),
      cpuPerViewer: (end.server - before.server) * 1e6 / scenario.viewers,
      rssPerViewer: (rss - rssEmpty) / scenario.viewers,
      refused: failed
    }
  } finally {
    source?.stop()
    bystanders.stop()
  }
}
