import t from 'tap'
import { build } from '../fixtures/build.js'

t.test('the page and its parts are served, with their types', async (t) => {
  const { url } = await build(t)
  for (const [path, type] of [['/', 'text/html'], ['/page.css', 'text/css'], ['/page.js', 'javascript'], ['/chat-client.js', 'javascript']] as const) {
    const response = await fetch(url + path)
    t.equal(response.status, 200, path)
    t.match(response.headers.get('content-type'), type)
    t.notMatch(await response.text(), /(src|href|from) ?=? ?["']https?:/, `${path} loads nothing from elsewhere`)
  }
})

t.test('nothing else of the disk is served', async (t) => {
  const { url } = await build(t)
  for (const path of ['/../app.ts', '/%2e%2e/app.ts', '/..%2fapp.ts', '/.env']) t.equal((await fetch(url + path)).status, 404, path)
})
