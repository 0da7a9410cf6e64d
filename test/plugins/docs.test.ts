import t from 'tap'
import { build } from '../fixtures/build.js'

t.test('the OpenAPI document describes every route, its parameters, events and errors', async (t) => {
  const { app, url } = await build(t, { PUBLISH_API_KEYS: 'key' })
  const document = await (await fetch(`${url}/docs/json`)).json()
  t.equal(document.openapi, '3.1.0')
  const described = Object.entries<Record<string, Record<string, unknown>>>(document.paths)
    .flatMap(([path, methods]) => Object.entries(methods).map(([method, operation]) => ({ route: `${method.toUpperCase()} ${path}`, operation })))
  t.same(described.map(({ route }) => route).sort(), [
    'GET /api/v1/chats/sse-connect/{sessionId}',
    'GET /api/v1/chats/{sessionId}',
    'GET /health/live',
    'GET /health/ready',
    'POST /api/v1/chats/{sessionId}/end',
    'POST /api/v1/chats/{sessionId}/messages'
  ])
  for (const { route, operation } of described) {
    t.ok(operation['summary'], `${route} has a summary`)
    for (const [status, response] of Object.entries(operation['responses'] as Record<string, { description: string, content?: object }>)) {
      t.ok(response.description, `${route} says what ${status} means`)
      if (Number(status) >= 400) t.ok(JSON.stringify(response.content).includes('"code"'), `${route} shows the body of ${status}`)
    }
  }
  const watch = document.paths['/api/v1/chats/sse-connect/{sessionId}'].get
  t.same(watch.parameters.map(({ name }: { name: string }) => name).sort(), ['last-event-id', 'lastEventId', 'recent', 'sessionId'])
  t.ok(watch.parameters.every(({ description }: { description?: string }) => description))
  for (const word of ['gap', 'viewers', 'end', 'broker-reconnect', 'slow-viewer', 'history-exceeded', 'unknown-id', 'draining', 'max-viewers', 'max-viewers-per-address', 'max-rooms', 'too-many-connects']) t.ok(watch.description.includes(word), word)
  t.ok(watch.responses['200'].content['text/event-stream'])
  t.same(document.paths['/api/v1/chats/{sessionId}/messages'].post.security, [{ publishKey: [] }])
  for (const [path, method] of [['/messages', 'post'], ['/end', 'post'], ['', 'get']] as const) t.ok(document.paths[`/api/v1/chats/{sessionId}${path}`][method].responses['429'], path)
  t.same(document.paths['/api/v1/chats/{sessionId}'].get.security, [{ publishKey: [] }])
  t.ok(app.hasRoute({ method: 'GET', url: '/docs' }))
})

t.test('the OpenAPI document asks for keys and tokens where they are needed, and speaks of them nowhere else', async (t) => {
  const [watch, publish] = ['/api/v1/chats/sse-connect/{sessionId}', '/api/v1/chats/{sessionId}/messages']
  const documentOf = async (env: Record<string, string>) => await (await fetch(`${(await build(t, env)).url}/docs/json`)).json()
  const open = await documentOf({})
  t.same(open.components.securitySchemes, {})
  for (const operation of [open.paths[watch].get, open.paths[publish].post]) t.notOk('security' in operation || '401' in operation.responses)
  t.notOk('403' in open.paths[watch].get.responses)
  t.notMatch(open.paths[watch].get.description, /unauthorized/)

  const guarded = await documentOf({ VIEWER_AUTH: 'jwt', VIEWER_JWT_SECRET: 'x'.repeat(32), VIEWER_JWT_COOKIE: 'chat', PUBLISH_API_KEYS: 'key' })
  t.match(guarded.components.securitySchemes, {
    publishKey: { type: 'http', scheme: 'bearer' },
    viewerToken: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT' },
    viewerTokenQuery: { type: 'apiKey', in: 'query', name: 'access_token' },
    viewerTokenCookie: { type: 'apiKey', in: 'cookie', name: 'chat' }
  })
  t.same(guarded.paths[watch].get.security, [{ viewerToken: [] }, { viewerTokenQuery: [] }, { viewerTokenCookie: [] }])
  t.same(guarded.paths[publish].post.security, [{ publishKey: [] }])
  for (const operation of [guarded.paths[watch].get, guarded.paths[publish].post]) t.ok(operation.responses['401'] && operation.responses['403'])
  for (const word of ['unauthorized', 'token-expired', '401', '403', 'WWW-Authenticate', 'keys-unavailable']) t.ok(guarded.paths[watch].get.description.includes(word), word)
  t.notOk('security' in guarded.paths['/health/live'].get)
})

t.test('the documentation page loads nothing from elsewhere', async (t) => {
  const { url } = await build(t)
  const page = await fetch(`${url}/docs`)
  t.equal(page.status, 200)
  t.notMatch((await page.text()), /(src|href)="https?:/)
  t.match(page.headers.get('content-security-policy'), /default-src 'none'/)
})
