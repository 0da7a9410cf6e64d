import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'

/** The processors that this process may use, from a list such as `0-1,4`. */
function allowedCores (): number[] {
  const list = /Cpus_allowed_list:\s+(\S+)/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '0'
  return list.split(',').flatMap((range) => {
    const [first = 0, last = first] = range.split('-').map(Number)
    return Array.from({ length: last - first + 1 }, (_, index) => first + index)
  })
}

const [serverCore = 0, ...loadCores] = allowedCores()
/** Found by trying: this process, and what it starts from now on, leaves the first core to the server. */
const canPin = loadCores.length > 0 && spawnSync('taskset', ['-a', '-p', '-c', loadCores.join(','), String(process.pid)]).status === 0

/** The same command, bound to the server's core. */
export function pinned (command: string, args: readonly string[]): { command: string, args: readonly string[] } {
  return canPin ? { command: 'taskset', args: ['-c', String(serverCore), command, ...args] } : { command, args }
}

export const CORES_NOTE = canPin
  ? `server under test alone on core ${serverCore}; load generator, publisher and Redis on core ${loadCores.join(',')}`
  : 'NOT PINNED (needs two cores and taskset): server, load generator and Redis disturb each other'
