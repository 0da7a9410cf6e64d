import { generateKeyPairSync } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { SignJWT } from 'jose'
import t, { type Test } from 'tap'
import { build } from '../fixtures/build.js'
import { eventually } from '../fixtures/eventually.js'
import { ReconnectingViewer } from '../fixtures/reconnecting-viewer.js'
import { deadUrl, makeKeys, makeToken, nowS, SECRET, TestKeyServer } from '../fixtures/tokens.js'

const JWT = { VIEWER_AUTH: 'jwt', VIEWER_JWT_SECRET: SECRET }
/** A token with this `exp` is refused after 3 to 4 s. */
const soon = () => nowS() - 5 + 4

async function buildGuarded (t: Test, env: Record<string, string> = {}) {
  const server = await build(t, { ...JWT, ...env })
  const path = (room: string) => `${server.url}/api/v1/chats/sse-connect/${room}`
  return {
    ...server,
    path,
    /** What a request is answered with; a stream is given up. */
    async get (room: string, headers: Record<string, string> = {}, query = '') {
      const abort = new AbortController()
      const response = await fetch(path(room) + query, { headers, signal: abort.signal })
      const body = response.status === 200 ? '' : await response.text()
      abort.abort()
      return { status: response.status, headers: response.headers, body }
    }
  }
}

t.test('a token may come in the header, the query or a cookie', async (t) => {
  const { app, watch } = await buildGuarded(t)
  const room = crypto.randomUUID()
  const token = await makeToken({ rooms: [room.toUpperCase()] })
  const streams = await Promise.all([
    watch(room, '', { Authorization: `Bearer ${token}` }),
    watch(room, '', { Authorization: `bearer  ${token}` }),
    watch(room, `?access_token=${token}`),
    watch(room.toUpperCase(), '', { Cookie: `theme=dark; access_token=${token}; x=y` }),
    watch(room, `?access_token=${token}`, { Authorization: 'Basic dXNlcjpwYXNz' })
  ])
  await app.broker.publish(room, 'x')
  for (const stream of streams) t.same([stream.status, await stream.untilMessages(1)], [200, ['x']])
})

t.test('the cookie may have another name', async (t) => {
  const { get } = await buildGuarded(t, { VIEWER_JWT_COOKIE: 'chat-token' })
  const token = await makeToken()
  const room = crypto.randomUUID()
  t.same([(await get(room, { Cookie: `access_token=${token}` })).status, (await get(room, { Cookie: `chat-token=${token}` })).status], [401, 200])
})

t.test('the header goes before the query, and that before the cookie', async (t) => {
  const { get } = await buildGuarded(t)
  const room = crypto.randomUUID()
  const [good, bad] = [await makeToken(), 'bad']
  const status = async (headers: Record<string, string>, query = '') => (await get(room, headers, query)).status
  t.equal(await status({ Authorization: `Bearer ${bad}` }, `?access_token=${good}`), 401)
  t.equal(await status({ Authorization: `Bearer ${good}`, Cookie: `access_token=${bad}` }, `?access_token=${bad}`), 200)
  t.equal(await status({ Cookie: `access_token=${bad}` }, `?access_token=${good}`), 200)
  t.equal(await status({ Cookie: `access_token=${good}` }, '?access_token='), 200, 'an empty one is none')
  t.equal(await status({}, `?access_token=${good}&access_token=${good}`), 401, 'nor are two one')
})

t.test('who is refused is told why, in the shape of the API', async (t) => {
  const { get } = await buildGuarded(t, { CORS_ORIGIN: 'https://tenant.example' })
  const room = crypto.randomUUID()
  const unauthorized = ['{"code":"UNAUTHORIZED","message":"인증이 필요합니다."}', '{"code":"UNAUTHORIZED","message":"Authentication is required."}']
  const forbidden = ['{"code":"FORBIDDEN","message":"접근 권한이 없습니다."}', '{"code":"FORBIDDEN","message":"Access is denied."}']
  const cases: Array<[token: string | undefined, status: number, bodies: string[], challenge: string]> = [
    [undefined, 401, unauthorized, 'Bearer'],
    ['nonsense', 401, unauthorized, 'Bearer error="invalid_token", error_description="The token is not valid"'],
    [await makeToken({ exp: 1 }), 401, unauthorized, 'Bearer error="invalid_token", error_description="The token has expired"'],
    [await makeToken({ rooms: [crypto.randomUUID()] }), 403, forbidden, 'Bearer error="insufficient_scope", error_description="The token is not for this room"'],
    [await makeToken({ rooms: [] }), 403, forbidden, 'Bearer error="insufficient_scope", error_description="The token is not for this room"']
  ]
  for (const [token, status, bodies, challenge] of cases) {
    for (const [index, language] of ['ko', 'en'].entries()) {
      const answer = await get(room, { 'Accept-Language': language, Origin: 'https://tenant.example', ...(token !== undefined && { Authorization: `Bearer ${token}` }) })
      t.same([answer.status, answer.body, answer.headers.get('www-authenticate')], [status, bodies[index], challenge])
      t.equal(answer.headers.get('access-control-allow-origin'), 'https://tenant.example', 'a script may read it')
    }
  }
})

t.test('a token that is forged, out of time or for others opens nothing, wherever it comes', async (t) => {
  const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const pem = publicKey.export({ type: 'spki', format: 'pem' }).toString()
  const other = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey
  const { app, get } = await buildGuarded(t, { VIEWER_JWT_SECRET: '', VIEWER_JWT_PUBLIC_KEY: pem, VIEWER_JWT_AUDIENCE: 'chat', VIEWER_JWT_ISSUER: 'https://tenant.example' })
  const room = crypto.randomUUID()
  const good = { rooms: [room], exp: nowS() + 60, aud: 'chat', iss: 'https://tenant.example' }
  const sign = async (claims: Record<string, unknown> = {}, key: Parameters<SignJWT['sign']>[0] = privateKey, alg = 'RS256') => {
    const defined = Object.entries({ ...good, ...claims }).filter(([, value]) => value !== undefined)
    return await new SignJWT(Object.fromEntries(defined)).setProtectedHeader({ alg }).sign(key)
  }
  const unsigned = `${Buffer.from('{"alg":"none"}').toString('base64url')}.${Buffer.from(JSON.stringify(good)).toString('base64url')}.`
  const cases: Array<[name: string, token: string, status: number]> = [
    ['as it should be', await sign(), 200],
    ['for all rooms', await sign({ rooms: '*' }), 200],
    ['alg none', unsigned, 401],
    ['another key', await sign({}, other), 401],
    ['another algorithm, with the same key', await sign({}, privateKey, 'PS256'), 401],
    ['the public key as a secret', await sign({}, Buffer.from(pem), 'HS256'), 401],
    ['expired', await sign({ exp: nowS() - 10 }), 401],
    ['never to expire', await sign({ exp: undefined }), 401],
    ['not yet valid', await sign({ nbf: nowS() + 60 }), 401],
    ['another audience', await sign({ aud: 'shop' }), 401],
    ['no audience', await sign({ aud: undefined }), 401],
    ['another issuer', await sign({ iss: 'https://else.example' }), 401],
    ['another room', await sign({ rooms: [crypto.randomUUID()] }), 403],
    ['no rooms', await sign({ rooms: undefined }), 403],
    ['all rooms, but as a list', await sign({ rooms: ['*'] }), 403]
  ]
  for (const [name, token, status] of cases) {
    t.equal((await get(room, { Authorization: `Bearer ${token}` })).status, status, `${name}, in the header`)
    t.equal((await get(room, {}, `?access_token=${token}`)).status, status, `${name}, in the query`)
    t.equal((await get(room, { Cookie: `access_token=${token}` })).status, status, `${name}, in a cookie`)
  }
  await eventually('nobody watches', () => app.rooms.viewers === 0)
})

t.test('a token opens its room and no other, however their ids are written', async (t) => {
  const { app, get, watch } = await buildGuarded(t)
  const [mine, other] = [crypto.randomUUID(), crypto.randomUUID()]
  const mixed = (id: string) => [...id].map((letter, index) => index % 2 === 0 ? letter.toUpperCase() : letter).join('')
  const encoded = (id: string) => [...id].map((letter) => `%${letter.charCodeAt(0).toString(16)}`).join('')
  const spellings = [(id: string) => id, (id: string) => id.toUpperCase(), mixed, encoded]
  for (const claimed of [mine, mine.toUpperCase(), mixed(mine)]) {
    const headers = { Authorization: `Bearer ${await makeToken({ rooms: [claimed] })}` }
    for (const spell of spellings) {
      t.equal((await get(spell(mine), headers)).status, 200)
      t.equal((await get(spell(other), headers)).status, 403)
    }
  }
  const stream = await watch(mixed(mine), `?access_token=${await makeToken({ rooms: [mine.toUpperCase()] })}`)
  await app.broker.publish(other, 'not for you')
  await app.broker.publish(mine, 'for you')
  t.same(await stream.untilMessages(1), ['for you'])
})

t.test('what was said before is given only to those who may watch', async (t) => {
  const { app, get, watch } = await buildGuarded(t)
  const room = crypto.randomUUID()
  const good = { Authorization: `Bearer ${await makeToken({ rooms: [room] })}` }
  const witness = await watch(room, '', good)
  const first = witness.lastEventId
  await app.broker.publish(room, 'secret')
  await witness.untilMessages(1)
  const wrong = await makeToken({ rooms: [crypto.randomUUID()] })
  const strangers: Array<[headers: Record<string, string>, status: number]> = [[{}, 401], [{ Authorization: `Bearer ${await makeToken({ exp: 1 })}` }, 401], [{ Authorization: `Bearer ${wrong}` }, 403]]
  for (const query of ['?recent=9', `?lastEventId=${first}`, '?lastEventId=nonsense', '']) {
    for (const [headers, status] of strangers) {
      const answer = await get(room, { ...headers, ...(query === '' && { 'Last-Event-ID': first }) }, query)
      t.equal(answer.status, status, query)
      t.notMatch(answer.body, /secret/)
    }
  }
  for (const [headers, query] of [[good, '?recent=9'], [good, `?lastEventId=${first}`], [{ ...good, 'Last-Event-ID': first }, '']] as Array<[Record<string, string>, string]>) {
    t.same(await (await watch(room, query, headers)).untilMessages(1), ['secret'])
  }
})

t.test('who has no token for a room does not learn that it has ended', async (t) => {
  const { app, get } = await buildGuarded(t)
  const [ended, unknown] = [crypto.randomUUID(), crypto.randomUUID()]
  await app.broker.end(ended, '{}')
  const mine = { Authorization: `Bearer ${await makeToken({ rooms: [ended] })}` }
  t.equal((await get(ended, mine)).status, 204)
  for (const headers of [{}, { Authorization: 'Bearer x' }, { Authorization: `Bearer ${await makeToken({ rooms: [crypto.randomUUID()] })}` }] as Array<Record<string, string>>) {
    const [one, other] = [await get(ended, headers), await get(unknown, headers)]
    t.same([one.status, one.body], [other.status, other.body])
    t.ok(one.status === 401 || one.status === 403)
  }
  t.equal(app.rooms.viewers, 0)
})

for (const encoding of ['identity', 'gzip']) {
  t.test(`when its token expires, a viewer (${encoding}) is told so and its stream ends`, async (t) => {
    const { app, get, watch, log } = await buildGuarded(t, { COMPRESS_MIN_VIEWERS: '1' })
    const room = crypto.randomUUID()
    const [short, long] = [await makeToken({ exp: soon() }), await makeToken()]
    const [stream, witness] = [await watch(room, `?access_token=${short}`, { 'Accept-Encoding': encoding }), await watch(room, `?access_token=${long}`, { 'Accept-Encoding': encoding })]
    t.equal(stream.headers.get('content-encoding'), encoding === 'gzip' ? 'gzip' : undefined)
    await app.broker.publish(room, '1')
    await stream.untilMessages(1)
    await stream.untilClosed()
    t.same(stream.messages, ['1'])
    t.same(stream.named('unauthorized').map(({ data, id }) => [JSON.parse(data), id]), [[{ reason: 'token-expired' }, stream.lastEventId]])
    t.ok(stream.body.endsWith('\n\nevent:unauthorized\ndata:{"reason":"token-expired"}\n\n'))
    await eventually('it has left', () => log.some(({ msg, reason }) => msg === 'viewer disconnected' && reason === 'token-expired'))
    t.equal(app.rooms.viewers, 1)
    t.equal((await get(room, {}, `?access_token=${short}`)).status, 401, 'coming back is refused at once')
    await app.broker.publish(room, '2')
    t.same(await witness.untilMessages(2), ['1', '2'], 'nobody else is concerned')
    const again = await watch(room, `?access_token=${await makeToken()}`, { 'Last-Event-ID': stream.lastEventId })
    t.same(await again.untilMessages(1), ['2'], 'with a new token it goes on where it was')
  })
}

t.test('an EventSource whose token expires stops, after all that was said before', async (t) => {
  const { app, path } = await buildGuarded(t, { RETRY_MS: '50' })
  const room = crypto.randomUUID()
  const viewer = ReconnectingViewer.start(t, `${path(room)}?access_token=${await makeToken({ exp: soon() })}`)
  await eventually('it watches', () => viewer.isOpen)
  await app.broker.publish(room, 'x')
  await eventually('it has stopped', () => viewer.fatalStatus !== undefined)
  t.same([viewer.fatalStatus, viewer.connects], [401, 2])
  t.same(viewer.events.map(({ event, data }) => [event, data]), [['', '["x"]'], ['unauthorized', '{"reason":"token-expired"}']])
})

t.test('a key server that is away costs no viewer its stream for good', async (t) => {
  const { jwk, token } = await makeKeys('one')
  const late = await makeKeys('late')
  const keyServer = await TestKeyServer.start(t, jwk)
  const { app, path, watch } = await buildGuarded(t, { VIEWER_JWT_SECRET: '', VIEWER_JWT_JWKS_URL: keyServer.url, RETRY_MS: '300' })
  const room = crypto.randomUUID()
  keyServer.isDown = true
  const known = await watch(room, `?access_token=${await token()}`)
  await app.broker.publish(room, 'x')
  t.same(await known.untilMessages(1), ['x'], 'known keys stay in force')
  const refused = await watch(room, `?access_token=${await late.token()}`)
  await refused.untilClosed()
  t.equal(refused.status, 200)
  t.same(refused.comments, ['keys-unavailable'])
  t.ok(refused.retryMs >= 150 && refused.retryMs <= 450)

  const viewer = ReconnectingViewer.start(t, `${path(room)}?access_token=${await late.token()}`)
  const stranger = ReconnectingViewer.start(t, `${path(room)}?access_token=${await (await makeKeys('stranger')).token()}`)
  await eventually('they come back', () => viewer.connects > 2 && stranger.connects > 2)
  keyServer.keys = [jwk, late.jwk]
  keyServer.isDown = false
  await eventually('the stranger is refused for good', () => stranger.fatalStatus === 401)
  await eventually('the other watches', async () => {
    await app.broker.publish(room, 'y')
    return viewer.messages.includes('y')
  })
  t.equal(viewer.fatalStatus, undefined)
})

t.test('a server whose key server is away at the start starts all the same', async (t) => {
  const { get, log, watch } = await buildGuarded(t, { VIEWER_JWT_SECRET: '', VIEWER_JWT_JWKS_URL: await deadUrl() })
  const stream = await watch(crypto.randomUUID(), `?access_token=${await (await makeKeys('one')).token()}`)
  t.same([stream.status, stream.comments], [200, ['keys-unavailable']])
  t.equal((await get(crypto.randomUUID())).status, 401, 'without a token nothing is open')
  t.equal(log.filter(({ level }) => level >= 40).length, 1)
})

t.test('no token is logged, wherever it comes from and whatever is wrong', async (t) => {
  const { get, url, log } = await buildGuarded(t, { LOG_LEVEL: 'debug' })
  const token = await makeToken({ rooms: [] })
  for (const value of [token, 'eyJ-not-a-token', `${token}x`]) {
    for (const room of [crypto.randomUUID(), 'nonsense', '%ff']) {
      for (const [headers, query] of [[{}, `?access_token=${value}`], [{ Cookie: `access_token=${value}` }, ''], [{ Authorization: `Bearer ${value}` }, '?recent=x']] as Array<[Record<string, string>, string]>) await get(room, headers, query)
    }
    await fetch(`${url}/nowhere?access_token=${value}`)
    await fetch(`${url}/%ff?access_token=${value}`)
  }
  t.ok(log.some(({ msg }) => msg === 'request refused'))
  t.notMatch(JSON.stringify(log), /eyJ/)
})

t.test('cookies are let through only for origins that are listed', async (t) => {
  const credentials = async (env: Record<string, string>, origin: string) => {
    const { path } = await buildGuarded(t, env)
    const preflight = await fetch(path(crypto.randomUUID()), { method: 'OPTIONS', headers: { Origin: origin, 'Access-Control-Request-Method': 'GET' } })
    const refused = await fetch(path(crypto.randomUUID()), { headers: { Origin: origin } })
    return [preflight, refused].map(({ headers }) => [headers.get('access-control-allow-origin'), headers.get('access-control-allow-credentials')])
  }
  const listed = { CORS_ORIGIN: 'https://a.example, https://b.example' }
  t.same(await credentials(listed, 'https://b.example'), Array(2).fill(['https://b.example', 'true']))
  for (const [allowOrigin] of await credentials(listed, 'https://evil.example')) t.equal(allowOrigin, null)
  t.same(await credentials({}, 'https://a.example'), Array(2).fill(['*', null]))
  t.same(await credentials({ ...listed, VIEWER_AUTH: 'off' }, 'https://a.example').then(([preflight]) => preflight), ['https://a.example', null], 'nor where no token is asked for')
})

t.test('a script of another origin may send a token in the header', async (t) => {
  for (const [env, origin, allowed] of [[{}, 'https://a.example', '*'], [{ CORS_ORIGIN: 'https://a.example' }, 'https://a.example', 'https://a.example'], [{ CORS_ORIGIN: 'https://a.example' }, 'https://evil.example', null]] as Array<[Record<string, string>, string, string | null]>) {
    const { path } = await buildGuarded(t, env)
    const preflight = await fetch(path(crypto.randomUUID()), {
      method: 'OPTIONS',
      headers: { Origin: origin, 'Access-Control-Request-Method': 'GET', 'Access-Control-Request-Headers': 'authorization,last-event-id' }
    })
    t.same([preflight.status, preflight.headers.get('access-control-allow-origin')], [204, allowed], 'it is asked for without a token')
    t.match(preflight.headers.get('access-control-allow-headers'), /^(?=.*Authorization)(?=.*Last-Event-ID)/)
    t.match(preflight.headers.get('access-control-allow-methods'), /GET/)
  }
})

t.test('settings that do not fit stop the start, and are named', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'chat-key-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const file = join(folder, 'key.pem')
  const { publicKey } = generateKeyPairSync('ed25519')
  const pem = publicKey.export({ type: 'spki', format: 'pem' }).toString()
  writeFileSync(file, pem)
  const bad: Array<[env: Record<string, string>, message: RegExp]> = [
    [{}, /^VIEWER_AUTH=jwt needs exactly one of VIEWER_JWT_SECRET, VIEWER_JWT_PUBLIC_KEY, VIEWER_JWT_PUBLIC_KEY_FILE, VIEWER_JWT_JWKS_URL$/],
    [{ VIEWER_JWT_SECRET: SECRET, VIEWER_JWT_PUBLIC_KEY: pem }, /^VIEWER_AUTH=jwt needs exactly one of/],
    [{ VIEWER_JWT_SECRET: 'secret-that-is-short' }, /^VIEWER_JWT_SECRET is too short: HS256 needs 32 bytes or more$/],
    [{ VIEWER_JWT_PUBLIC_KEY: 'x' }, /^VIEWER_JWT_PUBLIC_KEY is no public key in PEM format$/],
    [{ VIEWER_JWT_PUBLIC_KEY_FILE: '/nowhere.pem' }, /^VIEWER_JWT_PUBLIC_KEY_FILE ENOENT/],
    [{ VIEWER_JWT_JWKS_URL: 'ftp://x' }, /^VIEWER_JWT_JWKS_URL must match pattern/],
    [{ VIEWER_JWT_JWKS_URL: 'http://[' }, /^VIEWER_JWT_JWKS_URL Invalid URL/],
    [{ VIEWER_JWT_SECRET: SECRET, VIEWER_JWT_COOKIE: 'a b' }, /^VIEWER_JWT_COOKIE must match pattern/],
    [{ VIEWER_JWT_SECRET: SECRET, CORS_ORIGIN: 'https://a.example,null' }, /^CORS_ORIGIN must not list null/],
    [{ VIEWER_AUTH: 'on' }, /^VIEWER_AUTH must be equal to one of the allowed values: off, jwt/]
  ]
  for (const [env, message] of bad) {
    const error = await build(t, { VIEWER_AUTH: 'jwt', ...env }).then(() => undefined, (error: Error) => error)
    t.match(error?.message, message)
    t.notMatch(error?.message, /secret-that/)
  }
  for (const env of [{ VIEWER_JWT_PUBLIC_KEY: pem.replaceAll('\n', '\\n') }, { VIEWER_JWT_PUBLIC_KEY_FILE: file }]) await t.resolves(build(t, { VIEWER_AUTH: 'jwt', ...env }))
})

t.test('everybody may watch by default, and keys that are then not used are spoken of', async (t) => {
  const { app, get, log } = await buildGuarded(t, { VIEWER_AUTH: 'off' })
  t.equal((await get(crypto.randomUUID())).status, 200)
  t.equal((await get(crypto.randomUUID(), { Authorization: 'Bearer nonsense' })).status, 200)
  t.equal(app.viewerAuth, undefined)
  t.match(log.find(({ level }) => level === 40), { settings: ['VIEWER_JWT_SECRET'], msg: /VIEWER_AUTH is off/ })
})
