import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import t, { type Test } from 'tap'
import { startBrowser } from '../fixtures/browser.js'
import { build } from '../fixtures/build.js'
import { eventually } from '../fixtures/eventually.js'
import { Front } from '../fixtures/front.js'
import { makeToken, nowS, SECRET } from '../fixtures/tokens.js'

const RENEWALS = 3

/** What a script in the page was told, in its order. */
type Told = [kind: 'state' | 'messages' | 'gap', ...values: unknown[]]

/** An empty page on another origin than the server's, but on the same host, so that a cookie for the host is no third party's. */
async function startTenant (t: Test): Promise<string> {
  const tenant = createServer((_, response) => response.setHeader('Content-Type', 'text/html').end('<!doctype html>'))
  await new Promise<void>((resolve) => tenant.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    tenant.closeAllConnections()
    tenant.close()
  })
  // A server that listens on TCP has an address of this shape.
  return `http://127.0.0.1:${(tenant.address() as AddressInfo).port}`
}

const tenantUrl = await startTenant(t)
const server = await build(t, { VIEWER_AUTH: 'jwt', VIEWER_JWT_SECRET: SECRET, CORS_ORIGIN: tenantUrl, RETRY_MS: '100' })
const openPage = await startBrowser(t)
const page = await openPage(t, 'about:blank')
let told: Told[] = []
await page.exposeFunction('tell', (...values: Told) => { told.push(values) })
let giveToken: () => Promise<unknown> = async () => null
let questions = 0
await page.exposeFunction('giveToken', () => {
  questions++
  return giveToken()
})

/** A token that is refused after 2 s, or a little later: the server allows for clocks that are 5 s off. */
const shortLived = async () => await makeToken({ exp: nowS() - 5 + 3 })

/** An empty page of the tenant; its streams go through a front. */
async function start (t: Test) {
  const front = await Front.start(t, server.url)
  const room = crypto.randomUUID()
  await page.goto(`${tenantUrl}/`)
  const toldNow: Told[] = told = []
  questions = 0
  return {
    front,
    room,
    told: toldNow,
    states: () => toldNow.filter(([kind]) => kind === 'state').slice(-3),
    messages: () => toldNow.flatMap(([kind, messages]) => kind === 'messages' ? messages as string[] : []),
    publish: (message: string) => server.app.broker.publish(room, message),
    isState: (state: string, times = 1) => eventually(`${state} ${times}`, () => toldNow.filter(([, value]) => value === state).length >= times),
    /** How many requests there were for the room. */
    requested: () => front.requests.length,

    /** Watches with the client module, and with tokens from `give`, if there is one. */
    watch (give?: () => Promise<unknown>, { query = '', withCredentials = false } = {}) {
      giveToken = give ?? giveToken
      return page.evaluateHandle(async ({ url, hasTokens, withCredentials, module }) => {
        const { ChatClient } = await import(module)
        const { tell, giveToken } = globalThis as unknown as { tell (...values: unknown[]): void, giveToken (): unknown } // exposed above
        return new ChatClient(url, {
          ...(hasTokens && { getToken: giveToken }),
          withCredentials,
          onMessages: (messages: string[]) => tell('messages', messages),
          onGap: (gap: object) => tell('gap', gap),
          onStateChange: (state: string, failure?: object) => failure ? tell('state', state, failure) : tell('state', state)
        }) as { state: string, close (): void }
      }, { url: `${front.url}/api/v1/chats/sse-connect/${room}${query}`, hasTokens: give !== undefined, withCredentials, module: `${server.url}/chat-client.js` })
    }
  }
}

t.test('the client renews tokens that expire, again and again, and gets each message exactly once', async (t) => {
  const { watch, isState, publish, messages, told } = await start(t)
  await watch(shortLived)
  await isState('open')
  let count = 0
  const talk = setInterval(() => publish(String(++count)), 20)
  t.teardown(() => clearInterval(talk))
  await isState('open', 1 + RENEWALS)
  clearInterval(talk)
  await eventually('all have come', () => messages().length >= count)
  t.same(messages(), Array.from({ length: count }, (_, index) => String(index + 1)))
  t.notOk(told.some(([kind]) => kind === 'gap'))
  t.ok(questions > RENEWALS)
})

t.test('the client that has seen nothing yet keeps its place while its token is renewed', async (t) => {
  const { watch, isState, publish, messages, told } = await start(t)
  let renew = (_token: string) => {}
  const later = new Promise<string>((resolve) => { renew = resolve })
  await watch(async () => questions === 1 ? await shortLived() : await later)
  await isState('reconnecting')
  await eventually('it asks for a token', () => questions === 2)
  await publish('meanwhile')
  renew(await makeToken())
  await isState('open', 2)
  await eventually('it has the message', () => messages().length > 0)
  t.same([messages(), told.filter(([kind]) => kind === 'gap')], [['meanwhile'], []])
})

t.test('the client without getToken fails when the token in its URL expires, and says so', async (t) => {
  const { watch, isState, states, requested } = await start(t)
  await watch(undefined, { query: `?access_token=${await shortLived()}` })
  await isState('failed')
  t.same(states(), [['state', 'open'], ['state', 'failed', { status: 401, code: 'TOKEN_EXPIRED', message: 'The viewer token has expired.' }]])
  t.equal(requested(), 1)
})

t.test('the client asks for a new token when the browser has reconnected with one that has expired', async (t) => {
  const { watch, isState, publish, messages, front, told } = await start(t)
  const expiredAtMs = (nowS() + 2) * 1000
  await watch(async () => await makeToken(questions === 1 ? { exp: expiredAtMs / 1000 - 5 } : {}))
  await isState('open')
  await publish('1')
  await eventually('it has a place', () => messages().length === 1)
  front.answer = 'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nAccess-Control-Allow-Origin: *\r\nConnection: close\r\n\r\nretry:100\n\n'
  front.cut()
  await publish('2')
  await eventually('its token has expired', () => Date.now() > expiredAtMs)
  front.answer = undefined
  await eventually('it has both', () => messages().length === 2)
  t.same([messages(), questions], [['1', '2'], 2])
  t.notOk(told.some(([kind]) => kind === 'gap'))
})

t.test('the client tries once more with a new token when one is refused, and then fails', async (t) => {
  const { watch, isState, states } = await start(t)
  await watch(async () => 'nonsense')
  await isState('failed')
  t.same(states().at(-1), ['state', 'failed', { status: 401, code: 'UNAUTHORIZED', message: 'Authentication is required.' }])
  t.equal(questions, 2)
})

t.test('a new token makes good for one that was refused', async (t) => {
  const { watch, isState, told } = await start(t)
  await watch(async () => questions === 1 ? 'nonsense' : await makeToken())
  await isState('open')
  t.same([told, questions], [[['state', 'reconnecting'], ['state', 'open']], 2])
})

t.test('the client whose token is not for the room fails at once', async (t) => {
  const { watch, isState, states } = await start(t)
  await watch(async () => await makeToken({ rooms: [crypto.randomUUID()] }))
  await isState('failed')
  t.same(states().at(-1), ['state', 'failed', { status: 403, code: 'FORBIDDEN', message: 'Access is denied.' }])
  t.equal(questions, 1)
})

t.test('the client asks again for a token that it could not get', async (t) => {
  const { watch, isState, told, requested } = await start(t)
  await watch(async () => {
    if (questions === 1) throw new Error('the tenant is away')
    return questions === 2 ? 7 : await makeToken()
  })
  await isState('open')
  t.same([told, questions, requested()], [[['state', 'reconnecting'], ['state', 'open']], 3, 1])
})

t.test('the client that is closed while it waits for a token asks for nothing more', async (t) => {
  const { watch, told, requested } = await start(t)
  let give = (_token: string) => {}
  const client = await watch(() => new Promise((resolve) => { give = resolve }))
  await eventually('it asks for a token', () => questions === 1)
  await client.evaluate((client) => client.close())
  give(await makeToken())
  // What it would do now, it would do before the other one watches.
  const other = await watch(makeToken)
  await eventually('the other watches', async () => await other.evaluate(({ state }) => state) === 'open')
  t.same([await client.evaluate(({ state }) => state), questions, requested()], ['closed', 2, 1])
  t.same(told, [['state', 'closed'], ['state', 'open']])
})

t.test('a getToken that hangs is told to stop after 10 s, and asked again; and is told when the client is closed', async (t) => {
  const hangingPage = await openPage(t, tenantUrl)
  await hangingPage.clock.install()
  const client = await hangingPage.evaluateHandle(async (module) => {
    const { ChatClient } = await import(module)
    const signals: AbortSignal[] = []
    const getToken = (signal: AbortSignal) => {
      signals.push(signal)
      return new Promise(() => {})
    }
    return { chat: new ChatClient(location.href, { getToken }) as { state: string, close (): void }, signals }
  }, `${server.url}/chat-client.js`)
  const look = () => client.evaluate(({ chat, signals }) => [chat.state, signals.map(({ aborted }) => aborted)])
  await eventually('it is asked', async () => (await look())[1]?.length === 1)
  await hangingPage.clock.runFor(9000)
  t.same(await look(), ['connecting', [false]])
  await hangingPage.clock.runFor(2500)
  t.same(await look(), ['reconnecting', [true, false]])
  await client.evaluate(({ chat }) => chat.close())
  t.same(await look(), ['closed', [true, true]])
  await hangingPage.clock.runFor(60_000)
  t.same(await look(), ['closed', [true, true]], 'nothing is left')
})

t.test('the client sends a cookie to another origin if it is told to', async (t) => {
  const { watch, isState, states } = await start(t)
  const context = page.context()
  await context.addCookies([{ name: 'access_token', value: await makeToken(), url: server.url }])
  t.teardown(() => context.clearCookies())
  await watch(undefined, { withCredentials: true })
  await isState('open')
  await watch()
  await isState('failed')
  t.match(states().at(-1), ['state', 'failed', { status: 401 }])
})
