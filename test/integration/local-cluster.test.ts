import { connect } from 'node:net'
import { fileURLToPath } from 'node:url'
import { spawnSync } from 'node:child_process'
import t from 'tap'
import { freePort, ManagedProcess } from '../../deploy/local-cluster/managed-process.js'
import { eventually } from '../fixtures/eventually.js'
import { SseStream } from '../fixtures/sse-stream.js'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))

async function isListening (url: string) {
  const { hostname, port } = new URL(url)
  return await new Promise<boolean>((resolve) => {
    const socket = connect(Number(port), hostname, () => resolve(true))
    socket.once('error', () => resolve(false)).once('connect', () => socket.destroy())
  })
}

t.test('`npm run cluster` prints where everything is, works, and leaves nothing behind', async (t) => {
  const port = await freePort()
  const cluster = await ManagedProcess.start({
    command: 'node',
    args: ['--import', 'tsx', 'deploy/local-cluster/main.ts', '--instances', '2', '--port', String(port)],
    cwd: ROOT,
    isReady: async () => (await fetch(`http://127.0.0.1:${port}/lb/ready`)).ok
  })
  t.teardown(() => cluster.stop('SIGKILL'))
  await eventually('it has printed its help', () => cluster.output.includes('Ctrl-C'))
  const room = /room=([0-9a-f-]{36})/.exec(cluster.output)?.[1] ?? ''
  const redisPort = /redis-cli -p (\d+)/.exec(cluster.output)?.[1] ?? ''
  const urls = [...(/instances +(.*)/.exec(cluster.output)?.[1] ?? '').split(/ +/), /balancer +(\S+)/.exec(cluster.output)?.[1] ?? '', `http://127.0.0.1:${redisPort}`]
  t.equal(urls.length, 4)
  for (const url of urls) t.ok(await isListening(url), `${url} listens`)

  const stream = await SseStream.open(`http://127.0.0.1:${port}/api/v1/chats/sse-connect/${room}`)
  t.teardown(() => stream.close())
  t.equal(spawnSync('redis-cli', ['-p', redisPort, 'PUBLISH', room, '{"n":1}']).stdout.toString().trim(), '1')
  t.same(await stream.untilMessages(1), ['{"n":1}'])

  t.equal(await cluster.stop('SIGINT'), 0)
  for (const url of urls) await eventually(`${url} is closed`, async () => !await isListening(url))
})

t.test('a bad number of instances is refused with the usage', async (t) => {
  for (const args of [['--instances', '0'], ['--instances', 'x'], ['--port', '-1']]) {
    const { status, stderr } = spawnSync('node', ['--import', 'tsx', 'deploy/local-cluster/main.ts', ...args], { cwd: ROOT })
    t.equal(status, 2)
    t.match(stderr.toString(), /usage: npm run cluster/)
  }
})

t.test('haproxy.cfg is valid', async (t) => {
  const { status, stdout, stderr } = spawnSync('haproxy', ['-c', '-f', 'haproxy.cfg'], { cwd: ROOT, env: { ...process.env, PATH: `${process.env['PATH']}:/usr/sbin` } })
  t.equal(status, 0, `${stdout}${stderr}`)
  t.notMatch(`${stdout}${stderr}`, /WARNING/)
})
