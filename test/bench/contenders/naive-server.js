// A rival: the SSE route one writes first. JSON, text and bytes are made anew for each viewer and each message.
import Fastify from 'fastify'
import { Redis } from 'ioredis'

const redis = new Redis({ host: process.env.REDIS_IP, port: Number(process.env.REDIS_PORT) })
const rooms = new Map()
redis.on('message', (channel, message) => {
  for (const response of rooms.get(channel) ?? []) response.write(`data:${JSON.stringify([message])}\n\n`)
})

const app = Fastify()
app.get('/health/ready', async () => ({}))
app.get('/rooms/:room', async (request, reply) => {
  const { room } = request.params
  reply.hijack()
  const response = reply.raw
  response.removeHeader('Transfer-Encoding')
  response.writeHead(200, { 'Content-Type': 'text/event-stream;charset=UTF-8' })
  response.write('retry:2000\n\n')
  response.on('close', () => rooms.get(room).delete(response))
  if (!rooms.has(room)) {
    rooms.set(room, new Set())
    await redis.subscribe(room)
  }
  rooms.get(room).add(response)
})
await app.listen({ host: process.env.HOST, port: Number(process.env.PORT) })
