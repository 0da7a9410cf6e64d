import t, { type Test } from 'tap'
import { build } from '../fixtures/build.js'
import { eventually } from '../fixtures/eventually.js'
import { chatMessage, startPages } from '../fixtures/chat-page.js'

/** Most items the list ever holds, see message-list.js. */
const LIST_LIMIT = 300
const FLOOD_MS = 4000

const { app, url } = await build(t)
const join = await startPages(t)

/** A page whose room gets a thousand messages a second, `message 1` and so on, until `stop` tells how many there were. */
async function startFlood (t: Test) {
  const room = crypto.randomUUID()
  const chat = await join(t, url, room)
  const startedAt = performance.now()
  let sent = 0
  const timer = setInterval(() => {
    while (sent < performance.now() - startedAt) app.broker.publish(room, chatMessage(`message ${++sent}`))
  }, 20)
  const stop = () => {
    clearInterval(timer)
    return sent
  }
  t.teardown(stop)
  return { chat, page: chat.page, stop }
}

t.test('in a flood the list stays short, typing goes on, and every message is counted', async (t) => {
  const { chat, page, stop } = await startFlood(t)
  const watched = await page.evaluateHandle(() => {
    const watched = { mostItems: 0 }
    const list = document.querySelector('#list')
    requestAnimationFrame(function look () {
      watched.mostItems = Math.max(watched.mostItems, list?.childElementCount ?? Infinity)
      requestAnimationFrame(look)
    })
    return watched
  })
  await page.locator('#message').pressSequentially('Still here? 네!', { delay: 100 })
  t.equal(await page.inputValue('#message'), 'Still here? 네!')
  await eventually('it has lasted', async () => await chat.received() > FLOOD_MS)
  const sent = stop()
  await chat.untilLast(`message ${sent}`)
  t.equal(await chat.received(), sent)
  t.ok(await chat.isAtBottom(), 'the newest is in view')
  const { mostItems } = await watched.jsonValue()
  t.comment(`${sent} messages, at most ${mostItems} items, ${await page.locator('*').count()} elements`)
  t.ok(mostItems <= LIST_LIMIT)
})

t.test('who scrolls up in a flood stays there, and a click leads to the new messages', async (t) => {
  const { chat, page, stop } = await startFlood(t)
  const newMessages = page.locator('#new-messages')
  await page.mouse.move(300, 400)
  await eventually('it is scrolled up', async () => {
    await page.mouse.wheel(0, -1000)
    return await newMessages.isVisible()
  })
  /** Where the messages are that are in the list now. */
  const places = () => page.locator('#list .text').evaluateAll((texts) =>
    texts.slice(0, 100).map((text) => `${text.textContent} ${text.getBoundingClientRect().top}`).join())
  let before = ''
  await eventually('the scrolling has come to rest', async () => {
    const last = before
    before = await places()
    return before === last
  })
  const then = await chat.received()
  await eventually('a thousand more have come', async () => await chat.received() > then + 1000)
  t.equal(await places(), before)
  t.ok(await page.locator('#list > *').count() <= LIST_LIMIT)
  t.match(await newMessages.textContent(), /^New messages below \([\d,]+\)$/)
  await newMessages.click()
  await chat.untilLast(`message ${stop()}`)
  t.ok(await chat.isAtBottom())
  t.notOk(await newMessages.isVisible())
})
