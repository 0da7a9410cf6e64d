import { readFileSync } from 'node:fs'

/**
 * The text of a script that runs inside Redis. Each says its contract in its first lines.
 *
 * @param name of a file in `src/lua`, without its ending
 */
export function luaScript (name: string): string {
  return readFileSync(new URL(`./lua/${name}.lua`, import.meta.url), 'utf8')
}
