import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** What the rivals are made of, in the versions that are compared. */
const NPM_PACKAGES: Record<string, string> = {
  'better-sse': '0.16.1',
  'socket.io': '4.8.4',
  '@socket.io/redis-adapter': '8.3.0',
  '@socket.io/redis-emitter': '5.1.0'
}
/** In the version that Debian has. */
const DEBIAN_PACKAGES = ['nginx', 'libnginx-mod-nchan']

const FOLDER = fileURLToPath(new URL('.rivals', import.meta.url))
const NGINX_FOLDER = join(FOLDER, 'nginx')
/** From here the rivals' packages are resolved. */
export const RIVALS_RESOLVE_FROM = join(FOLDER, 'package.json')

const MODULE = 'usr/lib/nginx/modules/ngx_nchan_module.so'
const NGINX = 'usr/sbin/nginx'
/** Nchan wants nginx's own folder for bodies, whatever is configured; Debian's package would have made it. */
const NGINX_STATE = '/var/lib/nginx'
/** Where nginx and the module may be: on the system, or unpacked by us. */
const nginxRoots = ['/', join(NGINX_FOLDER, 'root')]

function run (command: string, args: readonly string[], cwd: string): boolean {
  return spawnSync(command, args, { cwd, stdio: ['ignore', 'ignore', 'ignore'], env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' } }).status === 0
}

export function npmVersion (name: string): string | undefined {
  const manifest = join(FOLDER, 'node_modules', name, 'package.json')
  if (!existsSync(manifest)) return undefined
  const { version } = JSON.parse(readFileSync(manifest, 'utf8')) as { version: string }
  return version
}

/** @returns why the package cannot be had; undefined when it can */
export function installNpmRivals (): string | undefined {
  const isComplete = () => Object.entries(NPM_PACKAGES).every(([name, version]) => npmVersion(name) === version)
  if (isComplete()) return undefined
  mkdirSync(FOLDER, { recursive: true })
  const wanted = Object.entries(NPM_PACKAGES).map(([name, version]) => `${name}@${version}`)
  console.log(`installing ${wanted.join(', ')}`)
  run('npm', ['install', '--prefix', FOLDER, '--save-exact', '--ignore-scripts', '--no-audit', '--no-fund', ...wanted], FOLDER)
  return isComplete() ? undefined : `not installed: npm install --prefix ${FOLDER} ${wanted.join(' ')}`
}

export function nginxFiles (): { nginx: string, module: string } | undefined {
  const root = nginxRoots.find((folder) => existsSync(join(folder, NGINX)) && existsSync(join(folder, MODULE)))
  return root === undefined ? undefined : { nginx: join(root, NGINX), module: join(root, MODULE) }
}

/**
 * Takes nginx and Nchan from Debian's packages, unpacked into a folder of ours: an installed nginx would be started
 * as a service.
 *
 * @returns why it cannot be had; undefined when it can
 */
export function installNchan (): string | undefined {
  const isComplete = () => nginxFiles() !== undefined && existsSync(NGINX_STATE)
  if (isComplete()) return undefined
  mkdirSync(NGINX_FOLDER, { recursive: true })
  console.log(`unpacking ${DEBIAN_PACKAGES.join(', ')}`)
  const download = () => run('apt-get', ['download', ...DEBIAN_PACKAGES], NGINX_FOLDER)
  if (!download() && process.getuid?.() === 0 && run('apt-get', ['update'], NGINX_FOLDER)) download()
  for (const file of readdirSync(NGINX_FOLDER).filter((name) => name.endsWith('.deb'))) run('dpkg-deb', ['-x', file, 'root'], NGINX_FOLDER)
  if (process.getuid?.() === 0) mkdirSync(NGINX_STATE, { recursive: true })
  return isComplete() ? undefined : `not installed: apt-get install ${DEBIAN_PACKAGES.join(' ')}`
}
