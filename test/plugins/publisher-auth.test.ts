import { createHash } from 'node:crypto'
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { build } from '../fixtures/build.js'
import { eventually } from '../fixtures/eventually.js'

const [ROOM, OTHER] = [crypto.randomUUID(), crypto.randomUUID()]
const hashed = (key: string) => `sha256:${createHash('sha256').update(key).digest('hex')}`

/** A file of keys in a folder that goes with the test. */
function keyFile (t: Test, content: unknown) {
  const folder = mkdtempSync(join(tmpdir(), 'chat-keys-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const path = join(folder, 'keys.json')
  const write = (content: unknown) => {
    const text = typeof content === 'string' ? content : JSON.stringify(content)
    // As careful operators and orchestrators do it.
    writeFileSync(`${path}.new`, text)
    renameSync(`${path}.new`, path)
  }
  write(content)
  return { path, write }
}

async function buildWithFile (t: Test, content: unknown, env: Record<string, string> = {}) {
  const { path, write } = keyFile(t, content)
  const server = await build(t, { PUBLISH_KEYS_FILE: path, ...env })
  const post = async (key: string, room: string = ROOM, route = 'messages', headers: Record<string, string> = {}) =>
    await fetch(`${server.url}/api/v1/chats/${room}/${route}`, { method: 'POST', body: '{}', headers: { 'Content-Type': 'application/json', Authorization: `Bearer ${key}`, ...headers } })
  return { ...server, path, write, post, status: async (key: string, room?: string, route?: string) => (await post(key, room, route)).status }
}

t.test('a key opens its tenant\'s rooms, and is answered with 403 for others', async (t) => {
  const { status, post, log } = await buildWithFile(t, [
    { name: 'tenant-a', key: hashed('key-of-a'), rooms: [ROOM.toUpperCase()] },
    { name: 'operator', key: 'key-of-all', rooms: '*' }
  ])
  t.same([await status('key-of-a'), await status('key-of-a', ROOM.toUpperCase()), await status('key-of-a', OTHER), await status('key-of-a', OTHER, 'end')], [202, 202, 403, 403])
  t.same([await status('key-of-all'), await status('key-of-all', OTHER), await status('wrong')], [202, 202, 401])
  t.same(await (await post('key-of-a', OTHER)).json(), { code: 'FORBIDDEN', message: '접근 권한이 없습니다.' })
  t.same(await (await post('key-of-a', OTHER, 'end', { 'Accept-Language': 'en' })).json(), { code: 'FORBIDDEN', message: 'Access is denied.' })
  t.same([await status('key-of-a', 'nonsense'), await status('key-of-all', 'nonsense')], [403, 400], 'what is no room id')
  t.match(log.find(({ msg }) => msg === 'publisher refused'), { publisher: 'tenant-a', roomId: OTHER })
  t.notMatch(JSON.stringify(log), /key-of-|sha256:/, 'no key is logged')
})

t.test('a publisher that shows no known key is told how to authenticate', async (t) => {
  const { post } = await buildWithFile(t, [{ name: 'a', key: 'a', rooms: '*' }])
  const response = await post('wrong')
  t.same([response.status, response.headers.get('www-authenticate'), (await response.json()).code], [401, 'Bearer', 'UNAUTHORIZED'])
})

t.test('keys of the file and of PUBLISH_API_KEYS are valid together, hashed or not', async (t) => {
  const { status, write } = await buildWithFile(t, [], { PUBLISH_API_KEYS: `one, ${hashed('two')}` })
  t.same([await status('one'), await status('two'), await status('three'), await status(hashed('two'))], [202, 202, 401, 401])
  write([{ name: 'c', key: hashed('three'), rooms: '*' }])
  await eventually('the file is read', async () => await status('three') === 202)
  t.same([await status('one'), await status('two')], [202, 202])
})

t.test('keys are exchanged while the server runs', async (t) => {
  const { status, write, log } = await buildWithFile(t, [{ name: 'a', key: 'old', rooms: '*' }])
  write([{ name: 'a', key: 'old', rooms: '*' }, { name: 'a', key: 'new', rooms: '*' }])
  await eventually('the new one is valid', async () => await status('new') === 202)
  t.equal(await status('old'), 202)
  write([{ name: 'a', key: 'new', rooms: [OTHER] }])
  await eventually('the old one is not', async () => await status('old') === 401)
  t.same([await status('new'), await status('new', OTHER)], [403, 202], 'and rooms change too')
  t.equal(log.filter(({ level }) => level >= 40).length, 0)
})

t.test('a file that becomes broken or goes missing changes nothing, and is said once', async (t) => {
  const { status, write, path, log } = await buildWithFile(t, [{ name: 'a', key: 'key-of-a', rooms: '*' }])
  const errors = () => log.filter(({ level, setting }) => level === 50 && setting === 'PUBLISH_KEYS_FILE')
  for (const [index, spoil] of [() => write('[{"name":"a","key":"key-of-b"'), () => write([{ name: 'a', key: 'key-of-b' }]), () => rmSync(path)].entries()) {
    spoil()
    await eventually('it is said', () => errors().length === index + 1)
    t.same([await status('key-of-a'), await status('key-of-b')], [202, 401])
  }
  write([{ name: 'b', key: 'key-of-b', rooms: '*' }])
  await eventually('a good one is in force', async () => await status('key-of-b') === 202)
  t.equal(errors().length, 3, 'each trouble once')
  t.notMatch(JSON.stringify(log), /key-of-/)
})

t.test('keys that cannot be used stop the start with a message that names the setting', async (t) => {
  const same = keyFile(t, [{ name: 'a', key: hashed('key'), rooms: [] }])
  const bad: Array<[Record<string, string>, RegExp]> = [
    [{ PUBLISH_KEYS_FILE: '/nowhere/keys.json' }, /^PUBLISH_KEYS_FILE: ENOENT/],
    [{ PUBLISH_KEYS_FILE: keyFile(t, '[').path }, /^PUBLISH_KEYS_FILE: it is not JSON/],
    [{ PUBLISH_KEYS_FILE: keyFile(t, [{}]).path }, /^PUBLISH_KEYS_FILE: \/0 must have required properties/],
    [{ PUBLISH_KEYS_FILE: same.path, PUBLISH_API_KEYS: 'key' }, /^PUBLISH_KEYS_FILE: the keys PUBLISH_API_KEYS:1 and a are the same/],
    [{ PUBLISH_API_KEYS: 'a,sha256:abc' }, /^the key PUBLISH_API_KEYS:2 is not sha256: and 64 hex digits/]
  ]
  for (const [env, message] of bad) await t.rejects(build(t, env), { message }, JSON.stringify(env))
})

t.test('a file without keys opens nothing, not even on the loopback interface', async (t) => {
  const { status, log } = await buildWithFile(t, [])
  t.equal(await status('any'), 401)
  t.match(log.find(({ level }) => level === 40), { msg: /PUBLISH_KEYS_FILE has no keys/ })
})
