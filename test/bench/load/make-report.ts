import { constants, inflateRawSync } from 'node:zlib'
import type { Crowd, LoadReport } from './protocol.js'
import type { RoomStream } from './room-stream.js'
import { countWrites, Sequence } from './sequence.js'
import type { Viewer } from './viewer.js'

/** Equal streams are parsed once: a viewer that has a share of its room's bytes has that share of its messages. */
export function makeReport (crowd: Crowd, rooms: readonly RoomStream[], viewers: readonly Viewer[], stalled: ReadonlySet<Viewer>, latenciesMs: readonly number[]): LoadReport {
  const sequences = viewers.flatMap(({ options: { sequence } }) => sequence ?? [])
  let deliveries = 0
  let viewerWrites = 0
  if (crowd.parseAll) {
    for (const { messages } of sequences) deliveries += messages
  } else {
    for (const [index, room] of rooms.entries()) {
      if (room.length === 0) continue
      const whole = new Sequence(crowd.protocol)
      // The stream goes on: it has no last block.
      const text = crowd.acceptsGzip ? inflateRawSync(room.bytes, { finishFlush: constants.Z_SYNC_FLUSH }) : room.bytes
      whole.accept(text)
      sequences.push(whole)
      const writes = countWrites(text, crowd.protocol)
      const start = index * crowd.viewersPerRoom
      for (const viewer of viewers.slice(start, start + crowd.viewersPerRoom)) {
        if (stalled.has(viewer)) continue
        const share = viewer.offset / room.length
        deliveries += whole.messages * share
        viewerWrites += writes * share
      }
    }
  }
  const { user, system } = process.cpuUsage()
  return {
    viewers: viewers.length,
    connected: viewers.filter(({ isConnected }) => isConnected).length,
    stalled: stalled.size,
    deliveries,
    viewerWrites,
    bytes: viewers.reduce((sum, viewer) => sum + (stalled.has(viewer) ? 0 : viewer.offset), 0),
    parsed: sequences.length,
    lost: sequences.reduce((sum, { lost }) => sum + lost, 0),
    told: sequences.reduce((sum, { told }) => sum + told, 0),
    doubled: sequences.reduce((sum, { doubled }) => sum + doubled, 0),
    isCompared: !crowd.parseAll,
    different: viewers.filter(({ isDifferent }) => isDifferent).length,
    latenciesMs: Float64Array.from(latenciesMs),
    cpuSeconds: (user + system) / 1e6
  }
}
