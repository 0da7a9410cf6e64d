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
  { command: 'claim', file: 'claim', numberOfKeys: 3 },
  { command: 'append', file: 'append', numberOfKeys: 4 },
  { command: 'finish', file: 'finish', numberOfKeys: 3 },
  { command: 'release', file: 'release', numberOfKeys: 1 },
  { command: 'mark', file: 'mark', numberOfKeys: 1 },
  { command: 'answerMark', file: 'answer-mark', numberOfKeys: 1 },
  { command: 'publishOrPark', file: 'publish', numberOfKeys: 2 },
  { command: 'endRoom', file: 'end-room', numberOfKeys: 1 },
  { command: 'announce', file: 'announce', numberOfKeys: 1 },
  { command: 'beat', file: 'beat', numberOfKeys: 1 },
  { command: 'reportViewers', file: 'report-viewers', numberOfKeys: 1 },
  { command: 'living', file: 'living', numberOfKeys: 1 }
].map((script) => ({ ...script, lua: luaScript(script.file) }))

/** Gives a connection the commands that are scripts; what each does stands in its file in `src/lua`. */
export function defineScripts (redis: Redis) {
  for (const { command, lua, numberOfKeys } of SCRIPTS) redis.defineCommand(command, { lua, numberOfKeys })
}

/**
 * Loads all scripts, before anything else is sent on a connection that is just ready. ioredis would send a script again
 * that Redis does not know, after what was sent behind it: appends would overtake each other.
 */
export function loadScripts (redis: Redis) {
  for (const { lua } of SCRIPTS) redis.script('LOAD', lua).catch(() => {})
}
