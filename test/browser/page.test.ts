import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join as joinPath } from 'node:path'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { freePort, ManagedProcess } from '../../deploy/local-cluster/managed-process.js'
import { build } from '../fixtures/build.js'
import { chatMessage, startPages } from '../fixtures/chat-page.js'

const SERVER = fileURLToPath(new URL('../../dist/src/server.js', import.meta.url))

const { app, url } = await build(t, { RETRY_MS: '100' })
const join = await startPages(t)

async function publish (room: string, ...messages: string[]) {
  for (const message of messages) await app.broker.publish(room, message)
}

t.test('two browsers chat with each other', async (t) => {
  const room = crypto.randomUUID()
  const [mina, jun] = await Promise.all([join(t, url, room), join(t, url, room)])
  await mina.page.fill('#nickname', 'Mina')
  await mina.say('hi Jun')
  await jun.untilLast('hi Jun')
  t.equal(await jun.page.textContent('#list .name'), 'Mina')
  await jun.page.fill('#message', '안녕 👋')
  await jun.page.click('#send')
  await mina.untilLast('안녕 👋')
  for (const chat of [mina, jun]) t.same(await chat.texts(), ['hi Jun', '안녕 👋'])
  t.same(await mina.page.locator('#list .own .text').allTextContents(), ['hi Jun'])
})

t.test('who comes late sees the recent messages', async (t) => {
  const room = crypto.randomUUID()
  await join(t, url, room)
  await publish(room, ...Array.from({ length: 120 }, (_, n) => chatMessage(`message ${n + 1}`)))
  const late = await join(t, url, room)
  await late.untilLast('message 120')
  t.same(await late.texts(), Array.from({ length: 100 }, (_, n) => `message ${n + 21}`))
})

t.test('whatever is published is shown as text', async (t) => {
  const room = crypto.randomUUID()
  const chat = await join(t, url, room)
  const html = '<img src=x onerror="document.title = 1"><b>bold</b>'
  const odd = ['{"message":', '5', 'null', '[]', '', html, '{"message":5}']
  await publish(room, ...odd, JSON.stringify({ nickname: html, message: html, createdAt: html }), chatMessage('last'))
  await chat.untilLast('last')
  t.same(await chat.texts(), [...odd, html, 'last'])
  t.equal(await chat.page.locator('#list .name').first().textContent(), html)
  t.equal(await chat.page.locator('#list :is(img, b)').count(), 0)
})

t.test('the end of the room is shown, and the page asks for nothing more', async (t) => {
  const room = crypto.randomUUID()
  const [mina, jun] = await Promise.all([join(t, url, room), join(t, url, room)])
  const requests: string[] = []
  jun.page.on('request', (request) => requests.push(request.url()))
  await mina.page.fill('#nickname', 'Mina')
  await mina.page.click('#end-room')
  await mina.page.click('#end-confirm')
  for (const { page } of [mina, jun]) {
    await page.waitForSelector('#list [data-kind=end]')
    t.equal(await page.textContent('#list [data-kind=end]'), 'This room has ended.Ended by Mina')
    t.equal(await page.getAttribute('#state', 'data-state'), 'ended')
    t.equal(await page.isVisible('#composer'), false)
    t.equal(await page.isVisible('#closed-bar'), true)
  }
  // A stream that merely broke would be opened again within 150 ms.
  await jun.page.waitForTimeout(1000)
  t.same(requests, [])
})

t.test('a room that has ended is shown as ended, and a new one is a click away', async (t) => {
  const room = crypto.randomUUID()
  const chat = await join(t, url, room)
  await chat.page.click('#end-room')
  await chat.page.click('#end-confirm')
  await chat.untilState('ended')
  await chat.page.reload()
  await chat.untilState('ended')
  t.equal(await chat.page.textContent('#closed-text'), 'This room has ended.')
  await chat.page.click('#closed-new-room')
  await chat.untilState('open')
  t.not(new URL(chat.page.url()).searchParams.get('room'), room)
  await chat.page.goBack()
  await chat.untilState('ended')
})

t.test('an id that is none is refused in words, and a link to a room can be pasted instead', async (t) => {
  const room = crypto.randomUUID()
  const chat = await join(t, url, room)
  await chat.page.goto(`${url}/?room=nonsense`)
  await chat.untilState('failed')
  t.equal(await chat.page.textContent('#closed-text'), 'The server refused this room. Bad request.')
  await chat.page.fill('#room', 'nonsense')
  await chat.page.click('#join')
  t.match(await chat.page.textContent('#room-error'), 'not a room id')
  await chat.page.fill('#room', `${url}/?room=${room.toUpperCase()}&more`)
  await chat.page.click('#join')
  await chat.untilState('open')
  t.equal(await chat.page.inputValue('#room'), room)
})

t.test('a message that could not be sent goes back into the field, with the reason', async (t) => {
  const { url } = await build(t, { PUBLISH_API_KEYS: 'secret' })
  const chat = await join(t, url, crypto.randomUUID())
  await chat.say('hello')
  await chat.page.waitForSelector('#error:not(:empty)')
  t.match(await chat.page.textContent('#error'), 'publish key')
  t.equal(await chat.page.inputValue('#message'), 'hello')
  await chat.page.fill('#publish-key', 'secret')
  await chat.page.click('#send')
  await chat.untilLast('hello')
  t.equal(await chat.page.textContent('#error'), '')
})

/** A server process that can be killed and started again on its port. */
async function startProcess (t: Test) {
  const folder = mkdtempSync(joinPath(tmpdir(), 'chat-page-'))
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const launch = () => ManagedProcess.start({
    command: 'node',
    args: [SERVER],
    cwd: folder,
    env: { HOST: '127.0.0.1', PORT: String(port), RETRY_MS: '200' },
    isReady: async () => (await fetch(`${url}/health/live`)).ok
  })
  let server = await launch()
  t.teardown(async () => {
    await server.stop('SIGKILL')
    rmSync(folder, { recursive: true })
  })
  return {
    url,
    kill: () => server.stop('SIGKILL'),
    async restart () { server = await launch() }
  }
}

t.test('the page shows how many watch, and nothing where the server does not say so', async (t) => {
  const { url: telling } = await build(t, { VIEWER_COUNTS: 'on' })
  const room = crypto.randomUUID()
  const first = await join(t, telling, room)
  await first.page.waitForFunction(() => document.querySelector('#viewers')?.textContent === 'Viewers 1')
  t.ok(await first.page.isVisible('#viewers'))
  const second = await join(t, telling, room)
  for (const chat of [first, second]) await chat.page.waitForFunction(() => document.querySelector('#viewer-count')?.textContent === '2')
  const silent = await join(t, url, room)
  await silent.say('hi')
  await silent.untilLast('hi')
  t.notOk(await silent.page.isVisible('#viewers'))
})

t.test('when the server was killed and is back, so is the page, which shows nothing twice and says that something may be missing', async (t) => {
  const { url, kill, restart } = await startProcess(t)
  const chat = await join(t, url, crypto.randomUUID())
  await chat.say('before')
  await chat.untilLast('before')
  await kill()
  await chat.untilState('reconnecting')
  await restart()
  await chat.untilState('open')
  await chat.page.waitForSelector('#list [data-kind=gap]')
  t.equal(await chat.page.textContent('#list [data-kind=gap]'), 'Some messages may be missing herehistory-exceeded')
  await chat.say('after')
  await chat.untilLast('after')
  t.same(await chat.texts(), ['before', 'after'])
})
