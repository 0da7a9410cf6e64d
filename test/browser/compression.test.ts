import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import t, { type Test } from 'tap'
import { LocalCluster } from '../../deploy/local-cluster/cluster.js'
import { startBrowser } from '../fixtures/browser.js'
import { eventually } from '../fixtures/eventually.js'
import { connectTenant } from '../fixtures/redis.js'
import { SseStream } from '../fixtures/sse-stream.js'

const MESSAGES = 300
/** Browsers start slowly on a busy machine. */
const START_MS = 60_000

const message = (n: number) => JSON.stringify({ id: `u${n % 7}`, nickname: `시청자 ${n % 7}`, message: `this is what they say, number ${n} 🙂` })

/** One instance behind the load balancer, and a room whose every batch is compressed. Viewers who came at other times would be told other counts. */
async function start (t: Test) {
  const cluster = await LocalCluster.start({ instances: 1, env: { COMPRESS_MIN_VIEWERS: '1', KEYFRAME_MS: '200', FLUSH_INTERVAL_MS: '5', VIEWER_COUNTS: 'off' } })
  t.teardown(() => cluster.stop())
  const tenant = connectTenant(t, cluster.redis)
  await eventually('the tenant is connected', () => tenant.status === 'ready')
  const [instance] = cluster.instances
  const room = crypto.randomUUID()
  const path = `/api/v1/chats/sse-connect/${room}`
  return {
    throughBalancer: cluster.url + path,
    direct: `${instance?.url}${path}`,
    async talk () {
      for (let n = 1; n <= MESSAGES; n++) await tenant.publish(room, message(n))
      await tenant.publish(`${room}_END`, '{"reason":"over"}')
    }
  }
}

/** What a stream without compression holds. */
async function watchPlain (t: Test, url: string) {
  const stream = await SseStream.open(url)
  t.teardown(() => stream.close())
  return stream
}

function stopWithTest (t: Test, child: ChildProcess) {
  t.teardown(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return
    const exited = once(child, 'exit')
    child.kill('SIGKILL')
    await exited
  })
}

/** A page that watches streams, and reports what EventSource tells it. */
async function startWatchingPage (t: Test, urls: readonly string[]) {
  const page = `<script>
    const urls = ${JSON.stringify(urls)}
    const events = urls.map(() => [])
    let open = 0
    let ended = 0
    const report = (path, body) => fetch(path, { method: 'POST', body: JSON.stringify(body) })
    urls.forEach((url, index) => {
      const source = new EventSource(url)
      source.onopen = () => { if (++open === urls.length) report('/open') }
      source.onerror = () => { events[index].push('error') }
      const add = ({ type, lastEventId, data }) => events[index].push({ id: lastEventId, event: type === 'message' ? '' : type, data })
      source.onmessage = add
      source.addEventListener('gap', add)
      source.addEventListener('end', (event) => {
        source.close()
        add(event)
        if (++ended === urls.length) report('/ended', events)
      })
    })
  </script>`
  const reports = new Map<string, string>()
  const server = createServer(async (request, response) => {
    if (request.method === 'POST') reports.set(request.url ?? '', await text(request))
    response.setHeader('Content-Type', 'text/html').end(request.method === 'POST' ? '' : page)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.close()
    server.closeAllConnections()
  })
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    untilOpen: async () => await eventually('the streams are open', () => reports.has('/open'), START_MS),
    async untilEnded (): Promise<unknown[][]> {
      await eventually('the streams have ended', () => reports.has('/ended'), START_MS)
      return JSON.parse(reports.get('/ended') ?? '')
    }
  }
}

/** Lets a browser watch, directly and through the load balancer, and compares with what a plain stream holds. */
async function watchWithBrowser (t: Test, launch: (url: string) => Promise<void>) {
  const { direct, throughBalancer, talk } = await start(t)
  const plain = await watchPlain(t, direct)
  const page = await startWatchingPage(t, [direct, throughBalancer])
  await launch(page.url)
  await page.untilOpen()
  await talk()
  const seen = await page.untilEnded()
  await plain.untilClosed()
  t.equal(plain.messages.length, MESSAGES)
  t.same(seen, [plain.events, plain.events])
}

t.test('Chromium decodes it exactly', async (t) => {
  const open = await startBrowser(t)
  const encodings: Array<string | undefined> = []
  await watchWithBrowser(t, async (url) => {
    const page = await open(t, 'about:blank')
    page.on('response', (response) => { if (response.url().includes('sse-connect')) encodings.push(response.headers()['content-encoding']) })
    await page.goto(url)
  })
  t.same(encodings, ['gzip', 'gzip'])
})

t.test('Firefox decodes it exactly', async (t) => {
  const profile = mkdtempSync(join(tmpdir(), 'firefox-'))
  t.teardown(() => rmSync(profile, { recursive: true, force: true, maxRetries: 5 }))
  await watchWithBrowser(t, async (url) => {
    // Its own sandbox needs rights that a container may not have.
    const env = { ...process.env, HOME: profile, MOZ_DISABLE_CONTENT_SANDBOX: '1' }
    stopWithTest(t, spawn('firefox-esr', ['--headless', '--no-remote', '--profile', profile, url], { stdio: 'ignore', env }))
  })
})

t.test('curl decodes it exactly', async (t) => {
  const { direct, throughBalancer, talk } = await start(t)
  const plain = await watchPlain(t, direct)
  const outputs = [direct, throughBalancer].map((url) => {
    const child = spawn('curl', ['--silent', '--no-buffer', '--compressed', '--include', url], { stdio: ['ignore', 'pipe', 'inherit'] })
    stopWithTest(t, child)
    const output = { text: '' }
    child.stdout.setEncoding('utf8').on('data', (chars: string) => { output.text += chars })
    return output
  })
  await eventually('the streams are open', () => outputs.every(({ text }) => text.includes('\n\n')))
  t.ok(outputs.every(({ text }) => /^content-encoding: gzip\r$/im.test(text)))
  await talk()
  await plain.untilClosed()
  await eventually('all has come', () => outputs.every(({ text }) => text.includes('event:end')))
  // The first block holds each viewer's own reconnection time.
  const events = (stream: string) => stream.slice(stream.indexOf('\n\n'))
  for (const { text } of outputs) t.equal(events(text), events(plain.body))
})

t.test('through the load balancer, Node.js decodes it exactly', async (t) => {
  const { direct, throughBalancer, talk } = await start(t)
  const plain = await watchPlain(t, direct)
  const stream = await SseStream.open(throughBalancer, { 'Accept-Encoding': 'gzip' })
  t.teardown(() => stream.close())
  t.equal(stream.headers.get('content-encoding'), 'gzip')
  await talk()
  await Promise.all([plain.untilClosed(), stream.untilClosed()])
  t.same(stream.events, plain.events)
})
