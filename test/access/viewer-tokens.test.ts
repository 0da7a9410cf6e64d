import { createHmac, createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto'
import { exportPKCS8, exportSPKI, generateKeyPair, importPKCS8, SignJWT } from 'jose'
import t from 'tap'
import { publicTokenKeys, secretTokenKeys, type TokenKeys } from '../../src/access/token-keys.js'
import { ViewerTokens, type ViewerTokenOptions } from '../../src/access/viewer-tokens.js'
import { systemClock } from '../../src/clock.js'
import { makeToken, nowS, SECRET } from '../fixtures/tokens.js'

const ROOM = '5f0c3a52-6c1d-4a3f-9d3e-0f6f1f0c9a11'

const checker = (keys: TokenKeys = secretTokenKeys(SECRET), options: Partial<ViewerTokenOptions> = {}) => new ViewerTokens({ keys, clock: systemClock, ...options })

/** Whether the token is for the room, or why it is refused. */
async function outcome (tokens: ViewerTokens, token: string, room = ROOM) {
  const permit = await tokens.check(token)
  return typeof permit === 'string' ? permit : permit.mayWatch(room)
}

const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url')

t.test('a token is for the rooms it names, in any letter case', async (t) => {
  const tokens = checker()
  const expected: Array<[rooms: unknown, allowed: boolean]> = [
    ['*', true], [[ROOM], true], [[ROOM.toUpperCase()], true], [[crypto.randomUUID(), ROOM], true],
    [[], false], [undefined, false], [[crypto.randomUUID()], false], [null, false], [ROOM, false], [['*'], false], [[ROOM, 7], false], [{ [ROOM]: true }, false], [true, false], ['', false]
  ]
  for (const [rooms, allowed] of expected) t.equal(await outcome(tokens, await makeToken({ rooms })), allowed, JSON.stringify(rooms))
  t.equal(await outcome(tokens, await makeToken({ rooms: [ROOM] }), ROOM.toUpperCase()), true)
})

t.test('a token is valid from nbf to exp, with 5 s for clocks that differ', async (t) => {
  const tokens = checker()
  const now = nowS()
  const expected: Array<[claims: Record<string, unknown>, result: unknown]> = [
    [{ exp: now - 10 }, 'token-expired'], [{ exp: now - 1 }, true], [{ exp: 0 }, 'token-expired'],
    [{ nbf: now + 60 }, 'token-invalid'], [{ nbf: now + 2 }, true], [{ nbf: now - 60 }, true],
    [{ exp: undefined }, 'token-invalid'], [{ exp: 'soon' }, 'token-invalid'], [{ exp: null }, 'token-invalid'], [{ exp: 1e300 }, true]
  ]
  for (const [claims, result] of expected) t.equal(await outcome(tokens, await makeToken(claims)), result, JSON.stringify(claims))
  const permit = await tokens.check(await makeToken({ exp: now + 100 }))
  t.match(permit, { expiresAtMs: (now + 105) * 1000 })
})

t.test('audience and issuer count when they are configured', async (t) => {
  const tokens = checker(undefined, { audience: 'chat', issuer: 'https://tenant.example' })
  const good = { aud: 'chat', iss: 'https://tenant.example' }
  t.equal(await outcome(tokens, await makeToken(good)), true)
  t.equal(await outcome(tokens, await makeToken({ ...good, aud: ['shop', 'chat'] })), true)
  for (const bad of [{ aud: 'shop' }, { aud: undefined }, { iss: 'https://else.example' }, { iss: undefined }]) {
    t.equal(await outcome(tokens, await makeToken({ ...good, ...bad })), 'token-invalid', JSON.stringify(bad))
  }
  t.equal(await outcome(checker(), await makeToken(good)), true, 'else they do not')
})

t.test('what is no token, or not signed with the secret, is refused', async (t) => {
  const tokens = checker()
  const good = await makeToken()
  const [head = '', body = '', signature = ''] = good.split('.')
  const bad: Record<string, string> = {
    'alg none': `${part({ alg: 'none' })}.${body}.`,
    'alg None with a signature': `${part({ alg: 'None' })}.${body}.${signature}`,
    'no signature': `${head}.${body}.`,
    'another body': `${head}.${part({ rooms: '*', exp: nowS() + 99999 })}.${signature}`,
    'another secret': await makeToken({}, { key: Buffer.from('another-secret-of-32-bytes-or-mo') }),
    'another algorithm': await makeToken({}, { key: Buffer.alloc(64, 'x'), alg: 'HS512' }),
    'a critical header': `${part({ alg: 'HS256', crit: ['x'], x: 1 })}.${body}.${signature}`,
    'a body that is no object': await (async () => { const text = `${head}.${part([1])}`; return `${text}.${createHmac('sha256', SECRET).update(text).digest('base64url')}` })(),
    nothing: '',
    dots: '..',
    'too few parts': `${head}.${body}`,
    'too many parts': `${good}.${body}.${body}`,
    nonsense: '\0 안녕 %%%',
    'too long': await makeToken({ text: 'x'.repeat(7000) })
  }
  for (const [name, token] of Object.entries(bad)) t.equal(await outcome(tokens, token), 'token-invalid', name)
  t.equal(await outcome(tokens, await makeToken({ text: 'x'.repeat(5000) })), true, 'long, but not too long')
})

for (const alg of ['RS256', 'ES256', 'EdDSA']) {
  t.test(`a public key for ${alg} takes tokens of its private key and of nothing else`, async (t) => {
    const pair = await generateKeyPair(alg, { extractable: true })
    const pem = await exportSPKI(pair.publicKey)
    const tokens = checker(publicTokenKeys(pem))
    t.equal(await outcome(tokens, await makeToken({}, { key: pair.privateKey, alg })), true)
    const escaped = checker(publicTokenKeys(pem.replaceAll('\n', '\\n')))
    t.equal(await outcome(escaped, await makeToken({}, { key: pair.privateKey, alg })), true, 'in one line')
    const other = await generateKeyPair(alg)
    t.equal(await outcome(tokens, await makeToken({}, { key: other.privateKey, alg })), 'token-invalid', 'another key')
    for (const secret of [pem, pem.trim(), createPublicKey(pem).export({ type: 'spki', format: 'der' })]) {
      t.equal(await outcome(tokens, await makeToken({}, { key: Buffer.from(secret) })), 'token-invalid', 'the public key as a secret')
    }
    if (alg === 'RS256') {
      // The same key, but another algorithm.
      const privateKey = await importPKCS8(await exportPKCS8(pair.privateKey), 'PS256')
      t.equal(await outcome(tokens, await new SignJWT({ rooms: '*', exp: nowS() + 60 }).setProtectedHeader({ alg: 'PS256' }).sign(privateKey)), 'token-invalid')
    }
  })
}

t.test('keys that are too weak, of another kind, or private are refused', async (t) => {
  t.throws(() => secretTokenKeys('x'.repeat(31)), { message: /too short: HS256 needs 32 bytes/ })
  t.doesNotThrow(() => secretTokenKeys('가'.repeat(11)), 'bytes count, not letters')
  const pem = (key: KeyObject) => key.export({ type: key.type === 'public' ? 'spki' : 'pkcs8', format: 'pem' }).toString()
  for (const { publicKey } of [generateKeyPairSync('rsa', { modulusLength: 1024 }), generateKeyPairSync('ec', { namedCurve: 'secp384r1' }), generateKeyPairSync('x25519')]) {
    t.throws(() => publicTokenKeys(pem(publicKey)), { message: /must be a key for RS256/ }, publicKey.asymmetricKeyType ?? '')
  }
  t.throws(() => publicTokenKeys(pem(generateKeyPairSync('ed25519').privateKey)), { message: /is a private key/ })
  for (const text of ['', 'x', '-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----']) t.throws(() => publicTokenKeys(text), { message: /is no public key in PEM format/ })
})
