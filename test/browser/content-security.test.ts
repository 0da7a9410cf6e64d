import type { Page } from 'playwright-core'
import t from 'tap'
import { servePage, startBrowser } from '../fixtures/browser.js'
import { build } from '../fixtures/build.js'
import { ChatPage } from '../fixtures/chat-page.js'

const { app, url } = await build(t)
const open = await startBrowser(t)

/** Loads the page again. @returns what it complains of, from then on */
async function complaints (page: Page): Promise<string[]> {
  const said: string[] = []
  page.on('console', (message) => { if (['error', 'warning'].includes(message.type())) said.push(message.text()) })
  page.on('pageerror', ({ message }) => said.push(message))
  await page.reload()
  return said
}

t.test('the page does all it does under its policy', async (t) => {
  const room = crypto.randomUUID()
  const page = await open(t, `${url}/?room=${room}`)
  const said = await complaints(page)
  const chat = new ChatPage(page)
  await chat.untilState('open')
  await chat.say('hello')
  await chat.untilLast('hello')
  await app.broker.publish(room, JSON.stringify({ nickname: 'x', profileImgUrl: 'https://elsewhere.example/x.png', message: '<img src=x onerror="alert(1)"><script>alert(1)</script>' }))
  await chat.untilLast('<img src=x onerror="alert(1)"><script>alert(1)</script>')
  t.ok(await page.locator('#list [style*=hue]').count() > 0, 'colours of names are set by its script')
  await page.click('#end-room')
  await page.click('#end-confirm')
  await chat.untilState('ended')
  t.same(said, [])
})

t.test('the documentation can be read, and tried, under its policy', async (t) => {
  const page = await open(t, `${url}/docs`)
  const said = await complaints(page)
  await page.click('#operations-operators-get_health_live .opblock-summary-control')
  await page.click('.try-out__btn')
  await page.click('.execute')
  await page.waitForSelector('.live-responses-table .response-col_status:has-text("200")')
  await page.click('#operations-publishers-post_api_v1_chats__sessionId__messages .opblock-summary-control')
  await page.waitForSelector('#operations-publishers-post_api_v1_chats__sessionId__messages .responses-table')
  t.same(said, [])
})

for (const path of ['/', '/docs']) {
  t.test(`what is inline, or from elsewhere, does not run in ${path}`, async (t) => {
    const page = await open(t, url + path)
    const said = await complaints(page)
    const ran = await page.evaluate(async () => {
      const script = document.createElement('script')
      const inline = () => { Reflect.set(window, 'ran', true) }
      try { script.text = `(${inline})()` } catch { /* Refused as well. */ }
      document.body.append(script)
      const image = new Image()
      const loaded = new Promise((resolve) => {
        image.onload = () => resolve(true)
        image.onerror = () => resolve(false)
      })
      image.src = 'http://127.0.0.1:1/x.png'
      const fetched = await fetch('http://127.0.0.1:1/').then(() => true, () => false)
      return [Reflect.get(window, 'ran') ?? false, await loaded, fetched]
    })
    t.same(ran, [false, false, false])
    for (const directive of ['script', 'img-src', 'connect-src']) t.ok(said.some((text) => text.toLowerCase().includes(directive) && /Content Security Policy|TrustedScript/.test(text)), directive)
  })
}

t.test('no page of another origin may show it in a frame', async (t) => {
  for (const path of ['/', '/docs', '/health/live']) {
    const page = await open(t, await servePage(t, `<!doctype html><iframe src="${url}${path}"></iframe>`))
    const said = await complaints(page)
    t.ok(said.some((text) => text.includes('frame-ancestors')), `${path} ${said.join()}`)
  }
})

t.test('a page of another origin may use the client and the API, also one that wants what it loads to allow that', async (t) => {
  const page = await open(t, await servePage(t, `<!doctype html><link rel="stylesheet" href="${url}/page.css">`, { 'Cross-Origin-Embedder-Policy': 'require-corp' }))
  const said = await complaints(page)
  const room = crypto.randomUUID()
  const got = await page.evaluate(async ({ url, room }) => {
    // A variable, so that the compiler does not look for it.
    const client = `${url}/chat-client.js`
    const { ChatClient } = await import(client)
    return await new Promise((resolve) => {
      const chat = new ChatClient(`${url}/api/v1/chats/sse-connect/${room}`, {
        onMessages: (messages: string[]) => resolve(messages[0]),
        onStateChange: (state: string) => { if (state === 'open') fetch(`${url}/api/v1/chats/${room}/messages`, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: '{"n":1}' }) }
      })
      Reflect.set(window, 'chat', chat)
    })
  }, { url, room })
  t.equal(got, '{"n":1}')
  t.same(said, [])
})
