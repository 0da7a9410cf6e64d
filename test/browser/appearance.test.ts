import type { BrowserContextOptions, Page } from 'playwright-core'
import t, { type Test } from 'tap'
import { build } from '../fixtures/build.js'
import { chatMessage, startPages } from '../fixtures/chat-page.js'

const PHONE: BrowserContextOptions = { viewport: { width: 360, height: 740 }, isMobile: true, hasTouch: true }
/** WCAG 2.2, 1.4.3: text against its background. */
const LEAST_CONTRAST = 4.5

const { app, url } = await build(t)
const join = await startPages(t)

/** A page with one of everything: messages, one's own, one that is not JSON, very long ones. */
async function start (t: Test, options: BrowserContextOptions = {}) {
  const room = crypto.randomUUID()
  const chat = await join(t, url, room, options)
  await chat.say('my own')
  await chat.untilLast('my own')
  for (const message of [chatMessage('hi'), chatMessage('x'.repeat(500), 'y'.repeat(500)), `not JSON ${'z'.repeat(500)}`, chatMessage('last')]) {
    await app.broker.publish(room, message)
  }
  await chat.untilLast('last')
  return { room, chat, page: chat.page }
}

t.test('ordinary use leaves nothing in the console', async (t) => {
  const chat = await join(t, url, crypto.randomUUID())
  const { page } = chat
  const problems: string[] = []
  page.on('console', (message) => { if (['error', 'warning'].includes(message.type())) problems.push(message.text()) })
  page.on('pageerror', (error) => { problems.push(String(error)) })
  await page.reload()
  await chat.untilState('open')
  await chat.say('hello')
  await chat.untilLast('hello')
  await page.fill('#nickname', 'Mina')
  await page.selectOption('#language', 'ko')
  await page.click('#copy-link')
  await page.waitForSelector('text=복사됨')
  await page.click('#end-room')
  await page.click('#end-cancel')
  await app.broker.publish(new URL(page.url()).searchParams.get('room') ?? '', '<b onclick="x()">')
  await chat.untilLast('<b onclick="x()">')
  t.same(problems, [])
})

t.test('the page speaks the language of the browser, until the reader chooses the other', async (t) => {
  const { room, chat, page } = await start(t, { locale: 'ko-KR' })
  await app.broker.end(room, '')
  await chat.untilState('ended')
  await page.waitForSelector('#list [data-kind=end]')
  /** What readers and screen readers are told, also what was said before the language changed. */
  const told = () => page.evaluate(() => [
    document.documentElement.lang,
    document.title,
    document.querySelector('#list [data-kind=end]')?.textContent,
    document.querySelector('h1')?.textContent,
    document.querySelector('#state')?.textContent,
    document.querySelector('#list')?.getAttribute('aria-label'),
    document.querySelector('#message')?.getAttribute('placeholder')
  ])
  const inKorean = ['ko', '라이브 채팅', '종료된 채팅방입니다.', '라이브 채팅', '종료됨', '메시지 목록', /^손님 \d+ 이름으로 메시지 보내기$/]
  const inEnglish = ['en', 'Live chat', 'This room has ended.', 'Live chat', 'Ended', 'Messages', /^Message as Guest \d+$/]
  t.match(await told(), inKorean)
  await page.selectOption('#language', 'en')
  t.match(await told(), inEnglish)
  await page.reload()
  await page.waitForSelector('#list [data-kind=end]')
  t.match(await told(), inEnglish)
  const english = await join(t, url, crypto.randomUUID(), { locale: 'fr-FR' })
  t.equal(await english.page.title(), 'Live chat', 'English for all others')
})

/** Contrast of each text with what is behind it. */
const contrasts = (page: Page) => page.evaluate(() => {
  const context = document.createElement('canvas').getContext('2d', { willReadFrequently: true })
  if (!context) throw new Error('no canvas')
  /** Relative luminance, WCAG 2.2. */
  const luminance = (color: string) => {
    context.fillStyle = color
    context.fillRect(0, 0, 1, 1)
    const [r = 0, g = 0, b = 0] = [...context.getImageData(0, 0, 1, 1).data].map((value) => {
      const share = value / 255
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4
    })
    return 0.2126 * r + 0.7152 * g + 0.0722 * b
  }
  const backgroundOf = (element: Element | null): string => {
    const color = element ? getComputedStyle(element).backgroundColor : 'white'
    return color === 'rgba(0, 0, 0, 0)' ? backgroundOf(element?.parentElement ?? null) : color
  }
  const selectors = ['h1', '.figures', '#state', '#list .text', '#list .own .text', '#list .plain .text', '#list .name', '#list time', '#send', '#end-room', 'label', 'select']
  return selectors.map((selector) => {
    const element = [...document.querySelectorAll(selector)].at(-1)
    if (!element) throw new Error(`no ${selector}`)
    const background = luminance(backgroundOf(element))
    const [dark = 0, light = 0] = [background, luminance(getComputedStyle(element).color)].sort((a, b) => a - b)
    return { selector, contrast: (light + 0.05) / (dark + 0.05), isDark: background < 0.2 }
  })
})

for (const colorScheme of ['light', 'dark'] as const) {
  t.test(`in the ${colorScheme} colour scheme every text is legible`, async (t) => {
    const { page } = await start(t, { colorScheme })
    const measured = await contrasts(page)
    for (const { selector, contrast } of measured) t.ok(contrast >= LEAST_CONTRAST, `${selector} ${contrast.toFixed(1)}`)
    t.equal(measured.find(({ selector }) => selector === 'h1')?.isDark, colorScheme === 'dark')
  })
}

t.test('on a phone nothing is wider than the screen, and the panel is a sheet that opens and closes', async (t) => {
  const { page } = await start(t, PHONE)
  const overflow = () => page.evaluate(() => ['html', '#list', '#panel'].map((selector) => {
    const element = document.querySelector(selector)
    return element ? element.scrollWidth - element.clientWidth : NaN
  }))
  t.same(await overflow(), [0, 0, 0])
  t.equal(await page.isVisible('#nickname'), false)
  await page.tap('#menu')
  await page.waitForSelector('#nickname', { state: 'visible' })
  t.same(await overflow(), [0, 0, 0])
  await page.tap('#panel-close')
  await page.waitForSelector('#nickname', { state: 'hidden' })
  await page.tap('#message')
  t.equal(await page.evaluate(() => document.activeElement?.id), 'message')
})
