// A rival: better-sse as its documentation has it, one channel a room, on Node's own HTTP server. It would make JSON
// of what is JSON already, for every viewer: its option `serializer` spares it that. Its ping is off, as is everyone's.
import { createServer } from 'node:http'
import { createRequire } from 'node:module'
import { Redis } from 'ioredis'

const { createChannel, createSession } = createRequire(process.env.RIVALS)('better-sse')

const redis = new Redis({ host: process.env.REDIS_IP, port: Number(process.env.REDIS_PORT) })
const channels = new Map()
redis.on('message', (room, message) => channels.get(room).broadcast(message))

function open (room) {
  const channel = createChannel()
  channels.set(room, channel)
  return redis.subscribe(room).then(() => channel)
}

createServer(async (request, response) => {
  const [, room] = /^\/rooms\/(.+)/.exec(request.url) ?? []
  if (room === undefined) return response.end()
  const channel = channels.get(room) ?? await open(room)
  channel.register(await createSession(request, response, { keepAlive: null, serializer: String }))
}).listen(Number(process.env.PORT), process.env.HOST)
