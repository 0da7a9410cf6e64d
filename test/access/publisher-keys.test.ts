import { createHash } from 'node:crypto'
import t from 'tap'
import { keysOfFile, keysOfList, PublisherKeys } from '../../src/access/publisher-keys.js'

const hashed = (key: string) => `sha256:${createHash('sha256').update(key).digest('hex')}`
const room = '5f0c3a52-6c1d-4a3f-9d3e-0f6f1f0c9a11'
const entry = (fields: object) => JSON.stringify([{ name: 'a', key: 'secret-key', rooms: '*', ...fields }])

t.test('a key is found by itself, whether it is configured as it is or by its hash', async (t) => {
  const keys = new PublisherKeys(keysOfList('KEYS', ['plain', hashed('비밀'), hashed('upper').toUpperCase().replace('SHA256', 'sha256')]))
  t.match(keys.find('plain'), { name: 'KEYS:1' })
  t.match(keys.find('비밀'), { name: 'KEYS:2' })
  t.match(keys.find('upper'), { name: 'KEYS:3' })
  for (const wrong of ['', 'plai', 'plain ', 'Plain', hashed('비밀'), hashed('plain'), hashed('비밀').slice('sha256:'.length)]) t.equal(keys.find(wrong), undefined, wrong)
})

t.test('a key of a file is for the rooms it names, in any letter case, and for no other', async (t) => {
  const keys = new PublisherKeys(keysOfFile(JSON.stringify([
    { name: 'some', key: 'a', rooms: [room.toUpperCase()] },
    { name: 'all', key: 'b', rooms: '*' },
    { name: 'none', key: 'c', rooms: [] }
  ])))
  const other = crypto.randomUUID()
  for (const [key, expected] of [['a', [true, true, false, false]], ['b', [true, true, true, true]], ['c', [false, false, false, false]]] as const) {
    const publisher = keys.find(key)
    t.same([room, room.toUpperCase(), other, ''].map((id) => publisher?.mayUse(id)), expected, key)
  }
})

t.test('two keys of one tenant may have its name while one replaces the other', async (t) => {
  const keys = new PublisherKeys(keysOfFile(JSON.stringify([{ name: 'a', key: 'old', rooms: '*' }, { name: 'a', key: hashed('new'), rooms: '*' }])))
  t.same([keys.find('old')?.name, keys.find('new')?.name], ['a', 'a'])
})

t.test('what is wrong with keys is said, without showing one', async (t) => {
  const bad: Array<[string, RegExp]> = [
    ['', /^it is not JSON$/],
    ['[{"name":"a","key":"secret-key', /^it is not JSON$/],
    ['{}', /^the list must be array/],
    [entry({ name: '' }), /^\/0\/name /],
    [entry({ name: 'with space' }), /^\/0\/name must match pattern/],
    [entry({ key: '' }), /^\/0\/key /],
    [entry({ key: 7 }), /^\/0\/key must be string/],
    [entry({ rooms: undefined }), /^\/0 must have required properties rooms/],
    [entry({ rooms: 'x' }), /^\/0\/rooms /],
    [entry({ rooms: ['x'] }), /^\/0\/rooms/],
    [entry({ room: [] }), /^\/0\/room /],
    [entry({ key: 'sha256:secret-key' }), /^the key a is not sha256: and 64 hex digits$/],
    [JSON.stringify([{ name: 'a', key: 'secret-key', rooms: [] }, { name: 'b', key: hashed('secret-key'), rooms: '*' }]), /^the keys a and b are the same$/]
  ]
  for (const [text, message] of bad) {
    const error = t.throws(() => new PublisherKeys(keysOfFile(text)), { message }, text)
    t.notMatch(String(error), /secret-key/)
  }
})
