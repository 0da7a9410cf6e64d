import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const SOURCE = fileURLToPath(new URL('fan-out.c', import.meta.url))
const FOLDER = fileURLToPath(new URL('../.rivals', import.meta.url))
/** The addon, once it is built. */
export const ADDON = join(FOLDER, 'fan-out.node')
/** Where Node.js' own headers are, which come with it. */
const HEADERS = join(dirname(process.execPath), '../include/node')

/** @returns why the addon cannot be had; undefined when it can */
export function buildFanOut (): string | undefined {
  mkdirSync(FOLDER, { recursive: true })
  const { status } = spawnSync('cc', ['-O2', '-shared', '-fPIC', `-I${HEADERS}`, SOURCE, '-o', ADDON], { stdio: 'ignore' })
  if (status === 0) return undefined
  return existsSync(join(HEADERS, 'node_api.h')) ? 'not built: needs a C compiler' : `not built: needs the headers of Node.js in ${HEADERS}`
}
