import t from 'tap'
import { build } from '../fixtures/build.js'
import { sendRaw } from '../fixtures/http.js'

const BAD_REQUEST = '{"code":"BAD_REQUEST","message":"잘못된 요청입니다."}'

t.test('an unknown route has an error of the same shape as all', async (t) => {
  const { url } = await build(t)
  const response = await fetch(`${url}/nowhere`)
  t.equal(response.status, 404)
  t.equal(response.headers.get('content-type'), 'application/json; charset=utf-8')
  t.same(await response.json(), { code: 'NOT_FOUND', message: '찾을 수 없습니다.' })
})

t.test('a path that cannot be decoded is a bad request', async (t) => {
  const { url } = await build(t)
  for (const path of ['/%', '/api/v1/chats/sse-connect/%E0%A4%A', '/%C0%AE/']) {
    const answer = await sendRaw(url, `GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`)
    t.match(answer, /^HTTP\/1.1 400 /, path)
    t.ok(answer.endsWith(BAD_REQUEST), path)
  }
})

t.test('what is not HTTP is answered with 400 and the connection is closed', async (t) => {
  const { url } = await build(t)
  for (const bytes of ['hello\r\n\r\n', Buffer.from([0, 1, 2, 255, 13, 10, 13, 10]), 'GET / HTTP/9.9\r\n\r\n', 'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n']) {
    t.match(await sendRaw(url, bytes), /^HTTP\/1.1 400 [^]*"code":"BAD_REQUEST"/, JSON.stringify(bytes))
  }
})

t.test('an error of our own is a 500 that tells nothing, and is logged', async (t) => {
  const { app, url, log } = await build(t)
  app.broker.publish = () => { throw new Error('secret detail') }
  const response = await fetch(`${url}/api/v1/chats/${crypto.randomUUID()}/messages`, { method: 'POST', body: '{}', headers: { 'Content-Type': 'application/json', 'Accept-Language': 'en' } })
  t.same([response.status, await response.json()], [500, { code: 'INTERNAL_SERVER_ERROR', message: 'Internal server error.' }])
  t.ok(log.some(({ level, msg }) => level === 50 && msg === 'request failed'))
})

t.test('an expectation that nobody knows is ignored', async (t) => {
  const { url } = await build(t)
  const answer = await sendRaw(url, 'GET /health/live HTTP/1.1\r\nHost: x\r\nExpect: the-impossible\r\nConnection: close\r\n\r\n')
  t.match(answer, /^HTTP\/1.1 200 [^]*"up"/)
})

t.test('an OPTIONS request that is no preflight is no error', async (t) => {
  const { url } = await build(t)
  t.equal((await fetch(`${url}/health/live`, { method: 'OPTIONS' })).status, 204)
})

t.test('browsers of any origin may read, unless origins are named', async (t) => {
  const { url } = await build(t)
  const preflight = await fetch(`${url}/api/v1/chats/${crypto.randomUUID()}/messages`, {
    method: 'OPTIONS',
    headers: { Origin: 'https://a.example', 'Access-Control-Request-Method': 'POST', 'Access-Control-Request-Headers': 'authorization,content-type' }
  })
  t.equal(preflight.status, 204)
  t.equal(preflight.headers.get('access-control-allow-origin'), '*')
  t.match(preflight.headers.get('access-control-allow-headers'), /Authorization/)
  const { url: strict } = await build(t, { CORS_ORIGIN: 'https://a.example, https://b.example' })
  for (const [origin, allowed] of [['https://b.example', 'https://b.example'], ['https://c.example', null]] as const) {
    const response = await fetch(`${strict}/health/live`, { headers: { Origin: origin } })
    t.equal(response.headers.get('access-control-allow-origin'), allowed)
  }
})
