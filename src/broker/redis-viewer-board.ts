import type { Redis } from 'ioredis'
import { parseEventId } from '../rooms/event-id.js'
import * as keys from './redis-keys.js'
import type { RedisNodes } from './redis-nodes.js'
import type { RoomState, ViewerCounts, ViewerReport } from './viewer-board.js'

/** What is on the board of a room is forgotten when nobody has said anything for so long: RENEW_MS in src/counting is shorter. */
const BOARD_TTL_MS = 86_400_000
/** Longer texts were not written by instances. */
const MAX_COUNTS_LENGTH = 65_536
const COUNT = /^\d{1,9}$/

type Command = Array<string | number>

/** Posts reports with one write to each server. @returns the rooms whose key was of another type */
export async function postViewers (nodes: RedisNodes, instance: string, reports: readonly ViewerReport[]): Promise<string[]> {
  const byServer = new Map<Redis, ViewerReport[]>()
  for (const report of reports) {
    const { commands } = nodes.nodeOf(report.roomId)
    const others = byServer.get(commands)
    if (others) others.push(report)
    else byServer.set(commands, [report])
  }
  const mended = await Promise.all([...byServer].map(async ([commands, reports]) => {
    const answers = await inOneWrite(commands, reports.map(({ roomId, viewers, dead }) => (
      ['reportViewers', keys.viewersKey(roomId), keys.signalsChannel(roomId), BOARD_TTL_MS, instance, viewers, ...dead]
    )))
    return reports.flatMap(({ roomId }, index) => answers[index] === 1 ? [roomId] : [])
  }))
  return mended.flat()
}

/** Asks Redis for a room: by single commands, for the keys of a room and that of the instances are not in one slot. */
export async function lookAtRoom (nodes: RedisNodes, roomId: string): Promise<RoomState> {
  const [[counts, owner, tail, hasEnded], living] = await Promise.all([
    inOneWrite(nodes.nodeOf(roomId).commands, [
      ['hgetall', keys.viewersKey(roomId)],
      ['hget', keys.ownerKey(roomId), 'instance'],
      ['hget', keys.ownerKey(roomId), 'tail'],
      ['exists', keys.endedKey(roomId)]
      // What Redis answers to these commands.
    ]) as Promise<[Record<string, string>, string | null, string | null, number]>,
    nodes.nodeOf(keys.INSTANCES_KEY).commands.living(keys.INSTANCES_KEY)
  ])
  const isLiving = (instance: string) => living.includes(instance)
  return {
    viewers: Object.entries(counts).reduce((sum, [instance, count]) => isLiving(instance) && COUNT.test(count) ? sum + Number(count) : sum, 0),
    tail: parseEventId(tail ?? ''),
    owner: owner !== null && isLiving(owner) ? owner : undefined,
    hasEnded: hasEnded === 1
  }
}

/** @returns undefined for what is something else: anybody may publish there */
export function parseViewerCounts (text: string): ViewerCounts | undefined {
  if (!text.startsWith('viewers ') || text.length > MAX_COUNTS_LENGTH) return undefined
  const counts = new Map<string, number>()
  const words = text.split(' ')
  for (let index = 1; index + 1 < words.length; index += 2) {
    const [instance = '', count = ''] = words.slice(index, index + 2)
    if (instance === '' || !COUNT.test(count)) return undefined
    counts.set(instance, Number(count))
  }
  return counts
}

/** @throws the first error that Redis answers, or that of the connection */
async function inOneWrite (commands: Redis, list: Command[]): Promise<unknown[]> {
  const answers = await commands.pipeline(list).exec() ?? []
  return answers.map(([error, answer]) => {
    if (error !== null) throw error
    return answer
  })
}
