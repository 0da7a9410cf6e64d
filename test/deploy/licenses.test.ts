import { readFileSync } from 'node:fs'
import t from 'tap'
import { ALLOWED, LICENSES_FILE, licensesText, packagesByLicense } from '../../deploy/licenses.js'

t.test('everything that the server uses is under a licence that is allowed', async (t) => {
  const packages = packagesByLicense()
  t.ok(packages.get('MIT')?.includes('fastify'))
  t.notOk([...packages.values()].flat().includes('tap'), 'what only development needs does not count')
  for (const [license, names] of packages) t.ok(ALLOWED.includes(license), `${license}: ${names.join(', ')}`)
})

t.test('deploy/LICENSES.md lists what is installed', async (t) => {
  t.equal(readFileSync(LICENSES_FILE, 'utf8'), licensesText(), 'else: npm run licenses')
})
