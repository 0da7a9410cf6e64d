import { parseArgs } from 'node:util'
import { LocalCluster } from './cluster.js'

function usage (): never {
  console.error('usage: npm run cluster -- [--instances 3] [--port 8080]; 1 to 16 instances')
  process.exit(2)
}

function readArguments () {
  try {
    const { values } = parseArgs({
      options: {
        instances: { type: 'string', default: '3' },
        port: { type: 'string', default: '8080' }
      }
    })
    return { instances: Number(values.instances), port: Number(values.port) }
  } catch {
    return usage()
  }
}

const { instances, port } = readArguments()
if (!Number.isInteger(instances) || instances < 1 || instances > 16 || !Number.isInteger(port) || port < 1 || port > 65_535) usage()

const PUBLISH_KEY = 'local-cluster'

// Until the cluster is up, a signal just ends this process, and with it its children.
const exit = () => process.exit(1)
process.on('SIGINT', exit).on('SIGTERM', exit)

const cluster = await LocalCluster.start({
  instances,
  port,
  env: { PUBLISH_API_KEYS: PUBLISH_KEY },
  onOutput: (source, text) => process.stdout.write(text.replace(/^(?=.)/gm, `${source} | `))
}).catch((error: Error) => {
  console.error(error.message)
  process.exit(1)
})

let stopping = false
async function stop () {
  if (stopping) return
  stopping = true
  await cluster.stop()
  process.exit(0)
}
process.off('SIGINT', exit).off('SIGTERM', exit)
process.on('SIGINT', stop).on('SIGTERM', stop)

const room = crypto.randomUUID()
console.log(`
  page         ${cluster.url}/?room=${room}
               (publish key: ${PUBLISH_KEY})
  publish      redis-cli -p ${cluster.redis.port} PUBLISH ${room} '{"nickname":"mina","message":"hi"}'
  API          ${cluster.url}/docs
  balancer     ${cluster.adminUrl}/
  instances    ${cluster.instances.map(({ url }) => url).join('  ')}
  metrics      ${[...cluster.instances.map(({ metricsUrl }) => metricsUrl), `${cluster.adminUrl}/metrics`].join('  ')}

  Ctrl-C stops all of it.
`)
