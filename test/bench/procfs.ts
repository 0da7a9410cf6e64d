import { readdirSync, readFileSync } from 'node:fs'

/** Linux counts a process's time in ticks of 10 ms. */
const TICKS_PER_SECOND = 100

/** @returns CPU time that the processes have used, all their threads together; the kernel's work for their calls is part of it */
export function cpuSeconds (pids: readonly number[]): number {
  return pids.reduce((sum, pid) => sum + (scheduledSeconds(pid) ?? tickedSeconds(pid)), 0)
}

/** Exact to the nanosecond, where the kernel keeps it. Each thread has a file of its own. */
function scheduledSeconds (pid: number): number | undefined {
  try {
    return readdirSync(`/proc/${pid}/task`).reduce((sum, thread) => {
      const [nanoseconds = NaN] = readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ').map(Number)
      return sum + nanoseconds / 1e9
    }, 0)
  } catch {
    return undefined
  }
}

/** @returns time for which the processes' main threads could have run, but something else had their core; 0 where the kernel does not say */
export function waitSeconds (pids: readonly number[]): number {
  try {
    return pids.reduce((sum, pid) => sum + Number(readFileSync(`/proc/${pid}/schedstat`, 'utf8').split(' ')[1]) / 1e9, 0)
  } catch {
    return 0
  }
}

function tickedSeconds (pid: number): number {
  // The second field is a name in parentheses and may hold spaces.
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/^.*\) /, '').split(' ')
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND
}

/** @returns resident memory of the processes. What they share counts once for each; compare differences */
export function rssKiB (pids: readonly number[]): number {
  return pids.reduce((sum, pid) => sum + Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? NaN), 0)
}

/** @returns how many file descriptors a process has open: sockets, files, pipes */
export function descriptors (pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).length
}
