import t from 'tap'
import { build } from '../fixtures/build.js'
import { eventually } from '../fixtures/eventually.js'
import { startRedis } from '../fixtures/redis.js'

t.test('an instance is alive and ready, also while Redis is away', async (t) => {
  const redis = await startRedis(t)
  const { url, log } = await build(t, redis.env)
  await redis.kill()
  await eventually('the loss is noticed', () => log.some(({ msg }) => msg === 'redis is not available, retrying'))
  for (const path of ['/health/live', '/health/ready']) {
    const response = await fetch(url + path)
    t.same([response.status, await response.json()], [200, { status: 'up' }], path)
  }
})

t.test('an instance that drains is alive and not ready, and lets its viewers go with their place, spread over time', async (t) => {
  const { app, url, watch } = await build(t, { DRAIN_MS: '3000', RETRY_MS: '4000' })
  const room = crypto.randomUUID()
  const streams = await Promise.all(Array.from({ length: 40 }, () => watch(room)))
  await app.broker.publish(room, 'x')
  for (const stream of streams) await stream.untilMessages(1)
  const started = performance.now()
  const closing = app.close()
  await eventually('it drains', () => app.rooms.draining)
  t.equal((await fetch(`${url}/health/live`)).status, 200)
  const ready = await fetch(`${url}/health/ready`)
  t.same([ready.status, (await ready.json()).code], [503, 'SERVICE_UNAVAILABLE'])

  const late = await watch(room)
  await late.untilClosed()
  t.same([late.status, late.comments], [200, ['draining']], 'a new viewer is told to come back')

  const closedAt: number[] = []
  await Promise.all(streams.map(async (stream) => {
    await stream.untilClosed()
    closedAt.push(performance.now() - started)
  }))
  t.ok(streams.every(({ comments }) => comments.join() === 'draining'))
  t.ok(streams.every(({ lastEventId }) => lastEventId.endsWith('-1')))
  t.ok(streams.every(({ retryMs }) => retryMs >= 2000 && retryMs <= 6000))
  t.ok(new Set(streams.map(({ retryMs }) => retryMs)).size > 10, 'they do not come back all at once')
  t.ok(Math.max(...closedAt) - Math.min(...closedAt) > 1200, 'they do not leave all at once')
  await closing
})

t.test('messages that are still being gathered reach a viewer before it is let go', async (t) => {
  const { app, watch } = await build(t, { FLUSH_INTERVAL_MS: '60000' })
  const room = crypto.randomUUID()
  const stream = await watch(room)
  await app.broker.publish(room, 'at once')
  await stream.untilMessages(1)
  await app.broker.publish(room, 'held back')
  await app.close()
  await stream.untilClosed()
  t.same(stream.messages, ['at once', 'held back'])
})
