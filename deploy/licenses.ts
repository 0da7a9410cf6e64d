import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const ROOT = new URL('../', import.meta.url)
export const LICENSES_FILE = fileURLToPath(new URL('LICENSES.md', import.meta.url))

/** Licences that ask for no more than to be named. Any other one is for a person to decide on. */
export const ALLOWED = ['0BSD', 'Apache-2.0', 'BlueOak-1.0.0', 'BSD-2-Clause', 'BSD-3-Clause', 'ISC', 'MIT']

/** What npm writes of a package. */
interface LockedPackage {
  readonly dev?: boolean
  readonly devOptional?: boolean
  readonly optional?: boolean
}

function readJson (path: string) {
  return JSON.parse(readFileSync(new URL(path, ROOT), 'utf8'))
}

/**
 * The packages that the image is made of, by licence: what the lockfile has besides development, as each says of itself.
 *
 * @throws Error when a package is not installed
 */
export function packagesByLicense (): Map<string, string[]> {
  const packages: Array<[string, LockedPackage]> = Object.entries(readJson('package-lock.json').packages)
  const byLicense = new Map<string, Set<string>>()
  for (const [path, { dev, devOptional, optional }] of packages) {
    // An optional package is for some other system; the first of all is this project.
    if (path === '' || dev || devOptional || optional) continue
    const { name, license = 'none' } = readJson(`${path}/package.json`)
    const names = byLicense.get(String(license)) ?? new Set()
    byLicense.set(String(license), names.add(name))
  }
  return new Map([...byLicense].sort().map(([license, names]) => [license, [...names].sort()]))
}

/** The list as it is kept. */
export function licensesText (): string {
  const sections = [...packagesByLicense()].map(([license, names]) => `## ${license}\n\n${names.join(', ')}\n`)
  return `# Licences

What the server and its image use of others, by licence. Made by \`npm run licenses\`; a test compares it with what is installed, and knows the licences that
may be used. Each package has the text of its licence with it, in \`node_modules\`.

${sections.join('\n')}`
}

if (process.argv[1] === fileURLToPath(import.meta.url)) writeFileSync(LICENSES_FILE, licensesText())
