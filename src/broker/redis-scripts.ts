import type { Redis, Result } from 'ioredis'
import { luaScript } from '../lua.js'

declare module 'ioredis' {
  interface RedisCommander<Context> {
    claim (owner: string, log: string, ended: string, ...args: Array<string | number>): Result<[string, string, number, string, number, string], Context>
    append (owner: string, log: string, pending: string, unbilled: string, ...args: Array<string | number>): Result<number, Context>
    finish (owner: string, log: string, ended: string, ...args: Array<string | number>): Result<number, Context>
    release (owner: string, ...args: Array<string | number>): Result<number, Context>
    mark (owner: string, ...args: Array<string | number>): Result<[string, number, string], Context>
    answerMark (owner: string, ...args: Array<string | number>): Result<number, Context>
    publishOrPark (pending: string, ended: string, ...args: Array<string | number>): Result<number, Context>
    endRoom (ended: string, ...args: Array<string | number>): Result<number, Context>
    announce (index: string, roomId: string): Result<null, Context>
    beat (instances: string, ...args: Array<string | number>): Result<string[], Context>
    reportViewers (viewers: string, ...args: Array<string | number>): Result<number, Context>
    living (instances: string): Result<string[], Context>
  }
}

const SCRIPTS = [
  { command: 'claim', file: 'claim', numberOfKeys: 3, tellsInstances: true },
  { command: 'append', file: 'append', numberOfKeys: 4, tellsInstances: true },
  { command: 'finish', file: 'finish', numberOfKeys: 3, tellsInstances: true },
  { command: 'release', file: 'release', numberOfKeys: 1, tellsInstances: true },
  { command: 'mark', file: 'mark', numberOfKeys: 1, tellsInstances: true },
  { command: 'answerMark', file: 'answer-mark', numberOfKeys: 1, tellsInstances: true },
  { command: 'reportViewers', file: 'report-viewers', numberOfKeys: 1, tellsInstances: true },
  { command: 'publishOrPark', file: 'publish', numberOfKeys: 2 },
  { command: 'endRoom', file: 'end-room', numberOfKeys: 1 },
  { command: 'announce', file: 'announce', numberOfKeys: 1 },
  { command: 'beat', file: 'beat', numberOfKeys: 1 },
  { command: 'living', file: 'living', numberOfKeys: 1 }
].map(({ command, file, numberOfKeys, tellsInstances = false }) => {
  const lua = luaScript(file)
  return { command, numberOfKeys, lua, sharded: tellsInstances ? sharded(lua) : lua }
})

/** In a cluster what instances tell each other stays at the server that has the room's keys, where all of them listen. */
function sharded (lua: string): string {
  return lua.replaceAll("'PUBLISH'", "'SPUBLISH'").replaceAll("'NUMSUB'", "'SHARDNUMSUB'")
}

/**
 * Gives a connection the commands that are scripts; what each does stands in its file in `src/lua`. All are loaded as soon as it is
 * ready, before anything else is sent: ioredis would send a script again that Redis does not know, after what was sent behind it,
 * and appends would overtake each other.
 */
export function addScripts (redis: Redis, isCluster: boolean) {
  const scripts = SCRIPTS.map(({ command, numberOfKeys, lua, sharded }) => ({ command, numberOfKeys, lua: isCluster ? sharded : lua }))
  for (const { command, lua, numberOfKeys } of scripts) redis.defineCommand(command, { lua, numberOfKeys })
  const load = () => { for (const { lua } of scripts) redis.script('LOAD', lua).catch(() => {}) }
  redis.on('ready', load)
  if (redis.status === 'ready') load()
}
