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
  for (const word of ['gap', 'viewers', 'end', 'broker-reconnect', 'slow-viewer', 'history-exceeded', 'unknown-id', 'draining', 'max-viewers', 'max-rooms']) t.ok(watch.description.includes(word), word)
  t.ok(watch.responses['200'].content['text/event-stream'])
  t.same(document.paths['/api/v1/chats/{sessionId}/messages'].post.security, [{ publishKey: [] }])
  t.same(document.paths['/api/v1/chats/{sessionId}'].get.security, [{ publishKey: [] }])
  t.ok(app.hasRoute({ method: 'GET', url: '/docs' }))
})

t.test('the documentation page loads nothing from elsewhere', async (t) => {
  const { url } = await build(t)
  const page = await fetch(`${url}/docs`)
  t.equal(page.status, 200)
  t.notMatch((await page.text()), /(src|href)="https?:/)
  t.match(page.headers.get('content-security-policy'), /default-src 'none'/)
})
