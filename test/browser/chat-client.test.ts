import t, { type Test } from 'tap'
import { servePage, startBrowser } from '../fixtures/browser.js'
import { build } from '../fixtures/build.js'
import { eventually } from '../fixtures/eventually.js'
import { Front } from '../fixtures/front.js'

/** What a script in the page was told, in its order. */
type Told = [kind: 'state' | 'messages' | 'gap' | 'end' | 'error', ...values: unknown[]]

const UNAVAILABLE = 'HTTP/1.1 503 Service Unavailable\r\nAccess-Control-Allow-Origin: *\r\nConnection: close\r\nContent-Length: 0\r\n\r\n'

const server = await build(t, { RETRY_MS: '100' })
const { broker } = server.app
const openPage = await startBrowser(t)
/** As a tenant's, it is of another origin. */
const emptyPage = await servePage(t, '<!doctype html>')
const page = await openPage(t, emptyPage)
let told: Told[] = []
await page.exposeFunction('tell', (...values: Told) => { told.push(values) })

/** Empties the page. Its streams go through a front, which is another origin, as a tenant's page has it. */
async function start (t: Test) {
  const front = await Front.start(t, server.url)
  const room = crypto.randomUUID()
  await page.goto(emptyPage)
  const toldNow: Told[] = told = []
  const streamUrl = `${front.url}/api/v1/chats/sse-connect/${room}`
  return {
    front,
    streamUrl,
    room,
    told: toldNow,
    messages: () => toldNow.flatMap(([kind, messages]) => kind === 'messages' ? messages as string[] : []),
    async publish (...messages: string[]) {
      for (const message of messages) await broker.publish(room, message)
    },
    hears: (kind: Told[0], value?: string) =>
      eventually(`${kind} ${value ?? ''}`, () => toldNow.some(([k, v]) => k === kind && (value === undefined || JSON.stringify(v).includes(value)))),
    /** Breaks the streams, and answers with 503 until the client has been refused so often. */
    async refuse (times: number) {
      front.answer = UNAVAILABLE
      front.cut()
      // Each time is two requests: for the stream, and for the reason.
      const enough = front.requests.length + 2 * times
      await eventually('refused', () => front.requests.length >= enough)
    },

    /** Watches with the client module. */
    watch: (url = streamUrl, options: { recent?: number } = {}) => page.evaluateHandle(async ({ url, options, module }) => {
      const { ChatClient } = await import(module)
      const tell = (globalThis as unknown as { tell (...values: unknown[]): void }).tell // exposed above
      return new ChatClient(url, {
        ...options,
        onMessages: (messages: string[]) => tell('messages', messages),
        onGap: (gap: object) => tell('gap', gap),
        onEnd: (payload: string | null) => tell('end', payload),
        onStateChange: (state: string, failure?: object) => failure ? tell('state', state, failure) : tell('state', state)
      }) as { state: string, lastEventId: string | null, close (): void }
    }, { url, options, module: `${server.url}/chat-client.js` }),

    /** Watches with nothing but what the browser has. */
    watchNatively: () => page.evaluateHandle((url) => {
      const tell = (globalThis as unknown as { tell (...values: unknown[]): void }).tell // exposed above
      const source = new EventSource(url)
      source.onopen = () => tell('state', 'open')
      source.onerror = () => tell('error', source.readyState)
      source.onmessage = ({ data }) => tell('messages', JSON.parse(data))
      source.addEventListener('gap', ({ data }) => tell('gap', JSON.parse(data)))
      source.addEventListener('end', ({ data }) => tell('end', data))
      return source
    }, streamUrl)
  }
}

t.test('EventSource alone gets batches, JSON arrays of strings, in publishing order and to the byte', async (t) => {
  const { watchNatively, hears, publish, told, messages } = await start(t)
  await watchNatively()
  await hears('state', 'open')
  const published = ['{"message":"안녕 👋"}', 'not JSON', '', '[1]', 'two\nlines', '{ "spaces" : 1.0 }', 'last']
  await publish(...published)
  await hears('messages', 'last')
  t.same(messages(), published)
  t.ok(told.filter(([kind]) => kind === 'messages').length < published.length, 'what came together is one event')
})

t.test('EventSource alone goes on after a dropped connection, without loss or repetition', async (t) => {
  const { watchNatively, hears, publish, messages, front, told } = await start(t)
  await watchNatively()
  await hears('state', 'open')
  front.cut() // before the first message
  await publish('1', '2')
  await hears('messages', '2')
  for (const [one, other] of [['3', '4'], ['5', '6'], ['7', '8']] as const) {
    await publish(one)
    front.cut()
    await publish(other)
    await hears('messages', other)
  }
  t.same(messages(), ['1', '2', '3', '4', '5', '6', '7', '8'])
  t.notOk(told.some(([kind]) => kind === 'gap'))
  t.match(front.requests.at(-1), /^Last-Event-ID: \d+-\d+\r$/mi)
})

t.test('EventSource alone stops for good when the room has ended', async (t) => {
  const { watchNatively, hears, room, told, front } = await start(t)
  const source = await watchNatively()
  await hears('state', 'open')
  await broker.end(room, '{"reason":"over"}')
  await eventually('it has stopped', async () => await source.evaluate(({ readyState }) => readyState) === 2)
  t.same(told, [['state', 'open'], ['end', '{"reason":"over"}'], ['error', 0], ['error', 2]])
  t.equal(front.requests.length, 2, 'the second is answered with 204')
})

t.test('the client resumes after a refusal that passes, without loss or repetition', async (t) => {
  const { watch, hears, refuse, publish, messages, front, told } = await start(t)
  const client = await watch()
  await hears('state', 'open')
  await publish('1', '2')
  await hears('messages', '2')
  const lastEventId = await client.evaluate(({ lastEventId }) => lastEventId)
  await refuse(1)
  await publish('3')
  await refuse(1)
  await publish('4')
  front.answer = undefined
  await hears('messages', '4')
  t.same(messages(), ['1', '2', '3', '4'])
  t.same(told.filter(([kind]) => kind !== 'messages'), [['state', 'open'], ['state', 'reconnecting'], ['state', 'open']])
  t.match(front.requests.at(-1), `?lastEventId=${lastEventId} HTTP`)
})

t.test('the client says that messages may be lost when it was refused before it could know its place', async (t) => {
  const { watch, hears, refuse, publish, front, told } = await start(t)
  await watch()
  await hears('state', 'open')
  await refuse(1)
  await publish('lost')
  front.answer = undefined
  await hears('gap')
  await publish('live')
  await hears('messages', 'live')
  t.same(told, [
    ['state', 'open'], ['state', 'reconnecting'], ['state', 'open'],
    ['gap', { reason: 'unknown-id', from: null, to: null, missed: null }],
    ['messages', ['live']]
  ])
})

t.test('the client speaks of no gap when it was refused before its first stream, or resumes after a known event', async (t) => {
  const { watch, hears, publish, front, streamUrl, messages, told } = await start(t)
  front.answer = UNAVAILABLE
  const first = await watch()
  await hears('state', 'reconnecting')
  front.answer = undefined
  await hears('state', 'open')
  await publish('1')
  await hears('messages', '1')
  const lastEventId = await first.evaluate(({ lastEventId }) => lastEventId)
  await publish('2')
  await watch(`${streamUrl}?lastEventId=${lastEventId}`)
  await eventually('both have both', () => messages().length >= 3)
  t.same(messages().filter((message) => message === '2').length, 2)
  t.notOk(told.some(([kind]) => kind === 'gap'))
})

t.test('the client passes a repeated batch on once', async (t) => {
  const { watch, hears, front, messages } = await start(t)
  const batch = (id: string, message: string) => `id:${id}\ndata:["${message}"]\n\n`
  front.answer = 'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nAccess-Control-Allow-Origin: *\r\nConnection: close\r\n\r\n' +
    batch('5-1', 'one') + batch('5-2', 'two') + batch('5-2', 'two') + batch('5-1', 'one') + batch('6-1', 'new term')
  await watch()
  await hears('messages', 'new term')
  t.same(messages().slice(0, 3), ['one', 'two', 'new term'])
})

t.test('the client asks for the last messages, and passes on the end with its payload', async (t) => {
  const { watch, hears, publish, room, told, front } = await start(t)
  await watch()
  await hears('state', 'open')
  await publish('1', '2', '3')
  await hears('messages', '3')
  told.length = 0
  await watch(undefined, { recent: 2 })
  await hears('messages', '2')
  await broker.end(room, 'over')
  await eventually('both have ended', () => told.filter(([kind]) => kind === 'end').length === 2)
  t.same(told.slice(0, 2), [['state', 'open'], ['messages', ['2', '3']]])
  t.same(told.slice(-2), [['state', 'ended'], ['end', 'over']])
  t.equal(front.requests.length, 2, 'it does not ask again')
})

t.test('the client takes 204 as the end', async (t) => {
  const { watch, hears, room, told } = await start(t)
  await broker.end(room, 'over')
  await watch()
  await hears('end')
  t.same(told.slice(-2), [['state', 'ended'], ['end', null]])
})

t.test('the client fails with what the server says when it is refused for good', async (t) => {
  const { watch, hears, front, told } = await start(t)
  await watch(`${front.url}/api/v1/chats/sse-connect/nonsense`)
  await hears('state', 'failed')
  t.same(told.at(-1), ['state', 'failed', { status: 400, code: 'BAD_REQUEST', message: 'Bad request.' }])
})

t.test('the client that is closed lets its stream go and says nothing more', async (t) => {
  const { watch, hears, publish, told } = await start(t)
  const client = await watch()
  await hears('state', 'open')
  await client.evaluate((client) => {
    client.close()
    client.close()
  })
  await eventually('the server is rid of it', () => server.app.rooms.viewers === 0)
  await publish('too late')
  t.equal(await client.evaluate(({ state }) => state), 'closed')
  t.same(told, [['state', 'open'], ['state', 'closed']])
})
