import t from 'tap'
import { build } from '../fixtures/build.js'
import { sendRaw } from '../fixtures/http.js'

t.test('the page and its parts are served, with their types', async (t) => {
  const { url } = await build(t)
  const modules = ['browser', 'chat-client', 'item', 'message-list', 'page', 'panel', 'texts'].map((name) => [`/${name}.js`, 'javascript'] as const)
  for (const [path, type] of [['/', 'text/html'], ['/page.css', 'text/css'], ...modules] as const) {
    const response = await fetch(url + path)
    t.equal(response.status, 200, path)
    t.match(response.headers.get('content-type'), type)
    t.notMatch(await response.text(), /(src|href|from) ?=? ?["']https?:/, `${path} loads nothing from elsewhere`)
  }
})

t.test('nothing else of the disk is served', async (t) => {
  const { url } = await build(t)
  // Sent as they are written here: fetch would normalise them.
  for (const path of ['/../app.js', '/%2e%2e/app.js', '/..%2fapp.js', '/page.js/../../app.js', '/.env', '/tsconfig.json/', '//etc/passwd']) {
    const answer = await sendRaw(url, `GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`)
    t.match(answer, /^HTTP\/1.1 40[034] /, path)
  }
})
