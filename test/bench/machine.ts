import { spawnSync } from 'node:child_process'
import { cpus, release, totalmem } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { CORES_NOTE } from './cores.js'
import { nginxFiles, npmVersion } from './rivals.js'

const ROOT = join(fileURLToPath(new URL('.', import.meta.url)), '../..')

export interface Machine {
  readonly date: string
  readonly commit: string
  readonly processors: string
  readonly memoryGiB: number
  readonly kernel: string
  readonly cores: string
  readonly versions: Record<string, string>
}

/** @returns the first line that a command prints; empty when it cannot be run */
function ask (command: string, ...args: string[]): string {
  const { stdout, stderr } = spawnSync(command, args, { cwd: ROOT, encoding: 'utf8' })
  return `${stdout ?? ''}${stderr ?? ''}`.split('\n')[0] ?? ''
}

/** Where, and with what, it was measured: without that a number says nothing. */
export function describeMachine (): Machine {
  const isChanged = spawnSync('git', ['diff', '--quiet', 'HEAD', '--', 'src', 'plugins'], { cwd: ROOT }).status !== 0
  const files = nginxFiles()
  return {
    date: new Date().toISOString(),
    commit: ask('git', 'rev-parse', '--short=12', 'HEAD') + (isChanged ? ' with changes' : ''),
    processors: `${cpus().length} × ${cpus()[0]?.model ?? 'unknown'}`,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    kernel: release(),
    cores: CORES_NOTE,
    versions: {
      node: process.version,
      redis: /v=(\S+)/.exec(ask('redis-server', '--version'))?.[1] ?? 'unknown',
      nginx: files === undefined ? 'not installed' : /nginx\/(\S+)/.exec(ask(files.nginx, '-v'))?.[1] ?? 'unknown',
      nchan: files === undefined ? 'not installed' : debianVersion('libnginx-mod-nchan'),
      'socket.io': npmVersion('socket.io') ?? 'not installed',
      '@socket.io/redis-adapter': npmVersion('@socket.io/redis-adapter') ?? 'not installed',
      'better-sse': npmVersion('better-sse') ?? 'not installed'
    }
  }
}

function debianVersion (name: string): string {
  const { stdout } = spawnSync('apt-cache', ['policy', name], { encoding: 'utf8' })
  return /Candidate: (\S+)/.exec(stdout ?? '')?.[1] ?? 'unknown'
}
