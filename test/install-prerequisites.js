// The tests talk to real programs: this installs those that are missing from Debian's packages where it may,
// or says in one line what to install.
import { spawnSync } from 'node:child_process'
import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'

const PACKAGE_OF = {
  'redis-server': 'redis-server',
  haproxy: 'haproxy',
  curl: 'curl',
  openssl: 'openssl',
  prometheus: 'prometheus',
  promtool: 'prometheus',
  chromium: 'chromium',
  'firefox-esr': 'firefox-esr'
}

function isInstalled (program) {
  // Debian puts servers where an ordinary user's PATH does not look.
  const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/usr/local/sbin']
  return folders.some((folder) => {
    try {
      accessSync(join(folder, program), constants.X_OK)
      return true
    } catch {
      return false
    }
  })
}

function apt (...args) {
  return spawnSync('apt-get', args, { stdio: ['ignore', 'ignore', 'inherit'], env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' } }).status === 0
}

const missing = [...new Set(Object.keys(PACKAGE_OF).filter((program) => !isInstalled(program)).map((program) => PACKAGE_OF[program]))]
if (missing.length > 0) {
  const install = ['install', '--yes', '--no-install-recommends', ...missing]
  const mayInstall = process.getuid?.() === 0 && isInstalled('apt-get')
  if (mayInstall) console.log(`installing ${missing.join(', ')}`)
  const installed = mayInstall && (apt(...install) || (apt('update') && apt(...install)))
  if (!installed) {
    console.error(`The tests need these programs. Install them and try again: sudo apt-get ${install.join(' ')}`)
    process.exit(1)
  }
}
