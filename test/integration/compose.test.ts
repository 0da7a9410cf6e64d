import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { parse } from 'yaml'
import { freePort } from '../../deploy/local-cluster/managed-process.js'
import { ConfigSchema } from '../../src/config.js'
import { eventually } from '../fixtures/eventually.js'
import { ReconnectingViewer } from '../fixtures/reconnecting-viewer.js'
import { SseStream } from '../fixtures/sse-stream.js'

// Runs alone (package.json): networks that come and go make a browser on this machine drop its requests.
const ROOT = fileURLToPath(new URL('../../', import.meta.url))
const IMAGES = ['node:24-bookworm-slim', 'haproxy:3.2', 'redis:7.4']
/** A first build installs all dependencies, twice. */
const BUILD_TIMEOUT_MS = 300_000
const COMMAND_TIMEOUT_MS = 60_000
const PULL_TIMEOUT_MS = 60_000

/** One command for all rooms, because each start of docker-compose takes half a second. */
const PUBLISH_TO_ALL = "local got = 0; for _, room in ipairs(KEYS) do got = got + redis.call('PUBLISH', room, ARGV[1]) end; return got"

const execute = promisify(execFile)

/** What docker needs of the environment, and nothing else: a variable of the shell would win over the env file. */
const ENV = Object.fromEntries(Object.entries(process.env).filter(([name]) => /^(PATH|HOME|DOCKER_.*|XDG_.*|.*_proxy)$/i.test(name)))

/** @throws Error with the program's output when it fails or does not end in time */
async function run ([command = '', ...args]: readonly string[], timeoutMs = COMMAND_TIMEOUT_MS): Promise<string> {
  const { stdout } = await execute(command, args, { cwd: ROOT, env: ENV, timeout: timeoutMs, maxBuffer: 64 * 1024 * 1024 })
  return stdout.trim()
}

async function succeeds (...command: readonly string[]): Promise<boolean> {
  return await run(command, PULL_TIMEOUT_MS).then(() => true, () => false)
}

async function findCompose (): Promise<readonly string[] | undefined> {
  for (const command of [['docker-compose'], ['docker', 'compose']]) if (await succeeds(...command, 'version')) return command
  return undefined
}

async function isMissing (image: string): Promise<boolean> {
  return !(await succeeds('docker', 'image', 'inspect', image)) && !(await succeeds('docker', 'pull', '--quiet', image))
}

async function reasonToSkip (): Promise<string | undefined> {
  if (!(await succeeds('docker', 'info'))) return 'no Docker Engine answers'
  if (compose === undefined) return 'neither docker-compose nor docker compose is installed'
  const missing = await Promise.all(IMAGES.map(isMissing))
  const [image] = IMAGES.filter((_, index) => missing[index])
  return image === undefined ? undefined : `the image ${image} is neither here nor can it be pulled`
}

/** The stack of docker-compose.yml under a name of its own. It is taken down with the test. */
async function startStack (t: Test, command: readonly string[], instances: number) {
  const folder = mkdtempSync(join(tmpdir(), 'chat-compose-'))
  const envFile = join(folder, 'env')
  const port = await freePort()
  const password = randomBytes(24).toString('hex')
  // As an operator does: copy the example, set a password, and change some settings.
  writeFileSync(envFile, `${readFileSync(join(ROOT, '.env.example'), 'utf8').replace('change-me', password)}
HTTP_PORT=127.0.0.1:${port}
DRAIN_MS=1000
RETRY_MS=200
IP_REQ_PER_10S=100000
`)
  const project = `chat-test-${randomBytes(6).toString('hex')}`
  const inProject = async (args: readonly string[], timeoutMs?: number) =>
    await run([...command, '--project-name', project, '--env-file', envFile, ...args], timeoutMs)
  t.teardown(async () => {
    await inProject(['down', '--volumes', '--rmi', 'local', '--timeout', '5'])
    rmSync(folder, { recursive: true })
  })

  const inInstance = async (...args: string[]) => await inProject(['exec', '-T', 'chat', ...args])
  /** Waits until the load balancer has found so many instances, and each has passed a check. */
  const settled = async (count: number) => await eventually(`${count} instances are up`, async () => {
    const csv = await inInstance('node', '-e', 'fetch("http://haproxy:8404/;csv").then((response) => response.text()).then(console.log)').catch(() => '')
    return csv.split('\n').filter((line) => /^instances,chat\d+,.*,UP,.*,L7OK,/.test(line)).length === count
  }, COMMAND_TIMEOUT_MS)
  const roomUrl = (room: string) => `http://127.0.0.1:${port}/api/v1/chats/sse-connect/${room}`

  await inProject(['up', '--build', '--detach', '--scale', `chat=${instances}`], BUILD_TIMEOUT_MS)
  await settled(instances)
  return {
    inInstance,
    roomUrl,
    /** @returns how many instances got it, over all rooms */
    publish: async (rooms: readonly string[], message: string) =>
      Number(await inProject(['exec', '-T', 'redis', 'redis-cli', 'EVAL', PUBLISH_TO_ALL, String(rooms.length), ...rooms, message])),
    scale: async (count: number) => {
      await inProject(['up', '--detach', '--scale', `chat=${count}`])
      await settled(count)
    },
    stop: async (service: string) => await inProject(['stop', service]),
    containers: async (service: string) => (await inProject(['ps', '--quiet', service])).split('\n')
  }
}

/** A secret in each file that must not get into the image, in a copy of the project: it is built from the cache. It is removed with the test. */
function plantSecrets (t: Test, secret: string, files: readonly string[]): string {
  const folder = mkdtempSync(join(tmpdir(), 'chat-image-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const left = /^(node_modules|\.git|\.tap|dist)$/
  cpSync(ROOT, folder, { recursive: true, filter: (path) => !left.test(basename(path)) })
  for (const file of files) {
    mkdirSync(join(folder, dirname(file)), { recursive: true })
    writeFileSync(join(folder, file), secret)
  }
  return folder
}

/** Builds the image, and takes it apart. @returns the files of its own layers, and how often a text is in them or in what it says of itself */
async function buildAndSearch (t: Test, context: string, text: string) {
  const image = `chat-test-${randomBytes(6).toString('hex')}`
  await run(['docker', 'build', '--quiet', '--file', join(context, 'deploy/Dockerfile'), '--tag', image, context], BUILD_TIMEOUT_MS)
  t.teardown(() => run(['docker', 'rmi', image]))
  const folder = mkdtempSync(join(tmpdir(), 'chat-layers-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const count = async (name: string) => (JSON.parse(await run(['docker', 'image', 'inspect', '--format', '{{json .RootFS.Layers}}', name])) as unknown[]).length
  const below = await count('node:24-bookworm-slim')
  await run(['sh', '-c', `docker save ${image} | tar --extract --directory ${folder}`])
  const [{ Layers: layers }] = JSON.parse(readFileSync(join(folder, 'manifest.json'), 'utf8')) as [{ Layers: string[] }]
  const own = layers.slice(below).map((layer) => join(folder, layer))
  const files = (await Promise.all(own.map((layer) => run(['tar', '--list', '--file', layer])))).join('\n').split('\n')
  const found = await Promise.all(own.map((layer) => run(['sh', '-c', `tar --extract --to-stdout --file ${layer} | grep --text --count ${text} || true`])))
  const described = await run(['docker', 'image', 'inspect', image]) + await run(['docker', 'history', '--no-trunc', image])
  return { files, found: found.reduce((sum, lines) => sum + Number(lines), described.includes(text) ? 1 : 0) }
}

const compose = await findCompose()
const skip = await reasonToSkip()

t.test('docker-compose.yml hands every setting on to the instances', async (t) => {
  const file = readFileSync(join(ROOT, 'docker-compose.yml'), 'utf8')
  const chat = file.slice(file.indexOf('\n  chat:'), file.indexOf('\n  haproxy:'))
  for (const name of Object.keys(ConfigSchema.properties)) t.match(chat, new RegExp(`^ {6}${name}:`, 'm'), name)
})

t.test('docker-compose.yml hands the settings of the load balancer on, and .env.example has their defaults', async (t) => {
  const [file, example, config] = ['docker-compose.yml', '.env.example', 'haproxy.cfg'].map((name) => readFileSync(join(ROOT, name), 'utf8'))
  const haproxy = file?.slice(file.indexOf('\n  haproxy:')) ?? ''
  // What is the same in every container, and no setting.
  const fixed = /^(NAME|HAP_SOCK|DNS_ADDR|CHAT_ADDR|BIND_.*)$/
  const settings = [...(config ?? '').matchAll(/\$\{(\w+)-(.*?)\}/g)].filter(([, name = '']) => !fixed.test(name))
  t.ok(settings.length > 0)
  for (const [, name = '', fallback = ''] of settings) {
    t.match(haproxy, new RegExp(`^ {6}${name}:$`, 'm'), name)
    t.ok(example?.split('\n').includes(`# ${name}=${fallback}`), `${name}=${fallback}`)
  }
})

t.test('docker-compose.tls.yml gives the load balancer certificates that it cannot change, and publishes its port for TLS', async (t) => {
  const { services } = parse(readFileSync(join(ROOT, 'deploy/docker-compose.tls.yml'), 'utf8')) as { services: Record<string, { environment: Record<string, string>, ports: string[], volumes: string[] }> }
  t.same(Object.keys(services), ['haproxy'])
  const { environment = {}, ports = [], volumes = [] } = services['haproxy'] ?? {}
  const config = readFileSync(join(ROOT, 'haproxy.cfg'), 'utf8')
  for (const name of Object.keys(environment)) t.match(config, `defined(${name})`)
  t.match(ports, [/:8443$/])
  t.match(config, 'BIND_HTTPS-:8443')
  t.match(volumes, [new RegExp(`:${environment['TLS_PEM']?.replace(/\/$/, '')}:ro$`)])
})

// The runner's limit for the file is meant for tests that build nothing.
t.setTimeout(BUILD_TIMEOUT_MS + 180_000)

t.test('the stack of docker-compose', { ...(skip === undefined ? {} : { skip }), timeout: BUILD_TIMEOUT_MS + 180_000 }, async (t) => {
  if (compose === undefined) throw new Error('no compose')
  const { roomUrl, inInstance, publish, scale, stop, containers } = await startStack(t, compose, 2)
  const rooms = Array.from({ length: 20 }, () => crypto.randomUUID())
  // Of the whole test: they still watch when the last instance is stopped.
  const viewers = rooms.map((room) => ReconnectingViewer.start(t, roomUrl(room)))

  await t.test('a message published in Redis reaches a viewer behind the load balancer', async (t) => {
    const room = crypto.randomUUID()
    const stream = await SseStream.open(roomUrl(room))
    t.teardown(() => stream.close())
    t.equal(stream.status, 200)
    t.equal(await publish([room], '{"message":"안녕"}'), 1)
    t.same(await stream.untilMessages(1), ['{"message":"안녕"}'])
  })

  await t.test('when instances come and go, every viewer watches on', async (t) => {
    await eventually('all watch', () => viewers.every(({ isOpen }) => isOpen))
    await scale(3)
    await scale(1)
    await eventually('all watch again', () => viewers.every(({ isOpen }) => isOpen))
    t.ok(viewers.some(({ connects }) => connects > 1), 'some had to move')
    t.equal(await publish(rooms, 'after'), rooms.length, 'one instance has all rooms')
    await eventually('all have the message', () => viewers.every(({ messages }) => messages.includes('after')))
    t.ok(viewers.every(({ fatalStatus }) => fatalStatus === undefined), 'nobody was sent away for good')
  })

  await t.test('an instance is not root, cannot change its files, and is healthy', async (t) => {
    t.equal(await inInstance('id', '-un'), 'node')
    await t.rejects(inInstance('touch', '/app/file'), /Read-only file system/)
    const status = await inInstance('cat', '/proc/1/status')
    for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb']) t.match(status, new RegExp(`^${set}:\\s+0+$`, 'm'), `no capability: ${set}`)
    t.match(status, /^NoNewPrivs:\s+1$/m)
    const [id = ''] = await containers('chat')
    await eventually('it is healthy', async () => await run(['docker', 'inspect', '--format', '{{.State.Health.Status}}', id]) === 'healthy', COMMAND_TIMEOUT_MS)
  })

  await t.test('the image has the server and what it uses, and nothing else of the folder it was built in', async (t) => {
    const secret = randomBytes(24).toString('hex')
    const context = plantSecrets(t, secret, ['.env', '.git/config', 'keys.json', 'tls.pem', 'test/secret.txt', 'node_modules/secret.js', 'dist/secret.js'])
    const { files, found } = await buildAndSearch(t, context, secret)
    t.equal(found, 0, 'no secret is in a layer')
    t.ok(files.includes('app/dist/src/server.js'))
    const others = files.filter((file) => /^app\/./.test(file) && !/^app\/(node_modules\/|dist\/(src|plugins)\/|dist\/$|package\.json$)/.test(file))
    t.same(others, [])
    t.same(files.filter((file) => /^app\/(?!node_modules).*(\.env|\.pem|\.test\.js|\.git\/)/.test(file)), [])
    for (const name of ['tap', 'typescript', 'tsx']) t.notOk(files.some((file) => file.startsWith(`app/node_modules/${name}/`)), `${name} is for development`)
  })

  await t.test('an instance that is stopped while viewers watch exits by itself, with 0', async (t) => {
    const [id = ''] = await containers('chat')
    await stop('chat')
    t.equal(await run(['docker', 'inspect', '--format', '{{.State.ExitCode}}', id]), '0')
    t.match(await run(['docker', 'logs', id]), new RegExp(`"viewers":${rooms.length},.*"msg":"draining"`))
  })
})
