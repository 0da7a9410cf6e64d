import t, { type Test } from 'tap'
import { KeyServer } from '../../src/access/key-server.js'
import { ViewerTokens } from '../../src/access/viewer-tokens.js'
import { eventually } from '../fixtures/eventually.js'
import { ManualClock } from '../fixtures/manual-clock.js'
import { recordLog } from '../fixtures/redis.js'
import { deadUrl, makeKeys, makeToken, TestKeyServer } from '../fixtures/tokens.js'

/** Tokens are checked by the time of the manual clock, which begins now. */
function connect (url: string) {
  const clock = new ManualClock(Date.now())
  const { log, lines } = recordLog()
  const keys = new KeyServer(new URL(url), clock, log)
  const tokens = new ViewerTokens({ keys, clock })
  return {
    clock,
    lines,
    async check (token: string) {
      // No two are checked at the same moment.
      clock.advance(1)
      const permit = await tokens.check(token)
      return typeof permit === 'string' ? permit : 'ok'
    }
  }
}

async function start (t: Test) {
  const [one, two, stranger] = [await makeKeys('one'), await makeKeys('two', 'EdDSA'), await makeKeys('stranger')]
  const server = await TestKeyServer.start(t, one.jwk)
  return { one, two, stranger, server, ...connect(server.url) }
}

t.test('the keys are fetched once for many tokens', async (t) => {
  const { one, server, check } = await start(t)
  const token = await one.token()
  t.same(await Promise.all(Array.from({ length: 20 }, () => check(token))), Array(20).fill('ok'))
  t.equal(server.requests, 1)
})

t.test('a new key is fetched when a token names it; until the server may be asked again, its viewers are told to come back', async (t) => {
  const { one, two, server, check, clock } = await start(t)
  t.equal(await check(await one.token()), 'ok')
  server.keys = [one.jwk, two.jwk]
  t.equal(await check(await two.token()), 'keys-unavailable', 'too early to ask again')
  t.equal(server.requests, 1)
  clock.advance(10_000)
  t.equal(await check(await two.token()), 'ok')
  t.equal(await check(await one.token()), 'ok')
  t.equal(server.requests, 2)
})

t.test('a key that nobody knows is refused for good when the server was asked since, and does not make it ask for ever', async (t) => {
  const { one, stranger, server, check, clock } = await start(t)
  t.equal(await check(await one.token()), 'ok')
  clock.advance(1000)
  t.equal(await check(await stranger.token()), 'keys-unavailable')
  clock.advance(9000)
  t.equal(await check(await stranger.token()), 'token-invalid')
  t.equal(await check(await stranger.token()), 'token-invalid')
  for (let n = 0; n < 50; n++) await check(await makeToken({}, { key: Buffer.alloc(32), kid: `kid-${n}` }))
  const { token } = await makeKeys('y'.repeat(300))
  t.equal(await check(await token()), 'token-invalid', 'an id that is too long')
  t.equal(server.requests, 2)
  clock.advance(10_000)
  server.keys.push(stranger.jwk)
  t.equal(await check(await stranger.token()), 'ok', 'it may come into use later')
})

t.test('a viewer whose key id came first just after a question is answered by the next one, whoever asks it', async (t) => {
  const { one, stranger, check, clock } = await start(t)
  await check(await one.token())
  clock.advance(5000)
  t.equal(await check(await stranger.token()), 'keys-unavailable')
  clock.advance(6000)
  const other = await makeKeys('other')
  t.equal(await check(await other.token()), 'token-invalid', 'asks')
  clock.advance(1000)
  t.equal(await check(await stranger.token()), 'token-invalid', 'is answered without asking')
})

t.test('while the key server is away the keys it gave stay in force, and tokens with others are refused until it is back', async (t) => {
  const { one, two, server, check, clock, lines } = await start(t)
  t.equal(await check(await one.token()), 'ok')
  server.isDown = true
  for (let minute = 0; minute < 30; minute++) {
    clock.advance(60_000)
    t.equal(await check(await one.token({ exp: Math.floor(clock.epochMs() / 1000) + 60 })), 'ok')
  }
  t.equal(await check(await two.token({ exp: Math.floor(clock.epochMs() / 1000) + 60 })), 'keys-unavailable')
  t.match(lines, [{ level: 40, msg: /does not give keys/ }], 'said once')
  t.ok(server.requests < 60)
  server.isDown = false
  server.keys = [two.jwk]
  clock.advance(10_000)
  t.equal(await check(await two.token({ exp: Math.floor(clock.epochMs() / 1000) + 60 })), 'ok')
  t.match(lines[1], { level: 30, msg: /answers again/ })
  t.equal(await check(await one.token({ exp: Math.floor(clock.epochMs() / 1000) + 60 })), 'keys-unavailable', 'a withdrawn one is unknown, too')
})

t.test('a key that was withdrawn goes out of force although nobody asks for another', async (t) => {
  const { one, two, server, check, clock } = await start(t)
  const token = await one.token()
  t.equal(await check(token), 'ok')
  server.keys = [two.jwk]
  clock.advance(300_001)
  t.equal(await check(token), 'ok', 'the old keys are used while new ones are fetched')
  await eventually('it is out of force', async () => await check(token) !== 'ok')
  t.equal(server.requests, 2)
})

t.test('a key server that has never answered makes all come back, and is not asked at each of them', async (t) => {
  const { check, clock, lines } = connect(await deadUrl())
  const { token } = await makeKeys('one')
  for (let n = 0; n < 10; n++) t.equal(await check(await token()), 'keys-unavailable')
  clock.advance(10_000)
  t.equal(await check(await token()), 'keys-unavailable')
  t.equal(lines.length, 1)
})

t.test('answers that are no keys count as none', async (t) => {
  const { one, server, check, clock } = await start(t)
  t.equal(await check(await one.token()), 'ok')
  server.keys = 'nonsense' as never
  clock.advance(300_001)
  t.equal(await check(await one.token()), 'ok')
  clock.advance(10_000)
  t.equal(await check(await one.token()), 'ok')
})

t.test('neither a secret nor a public key used as one passes', async (t) => {
  const { one, server, check, clock } = await start(t)
  server.keys.push({ kty: 'oct', k: Buffer.alloc(32).toString('base64url'), kid: 'secret' })
  const token = await makeToken({}, { key: Buffer.alloc(32), kid: 'secret' })
  t.equal(await check(token), 'token-invalid')
  t.equal(await check(await makeToken({}, { key: Buffer.from(JSON.stringify(one.jwk)), kid: 'one' })), 'token-invalid')
  clock.advance(10_000)
  t.equal(await check(token), 'token-invalid')
})

t.test('a token without a key id is checked with each key that it may be of', async (t) => {
  const [one, two, stranger] = [await makeKeys(undefined), await makeKeys(undefined), await makeKeys(undefined)]
  const server = await TestKeyServer.start(t, one.jwk, two.jwk)
  const { check } = connect(server.url)
  t.same([await check(await one.token()), await check(await two.token()), await check(await stranger.token())], ['ok', 'ok', 'token-invalid'])
  t.equal(await check(await two.token({ exp: 1 })), 'token-expired')
})
