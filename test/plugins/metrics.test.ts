import { readFileSync } from 'node:fs'
import t from 'tap'
import { freePort } from '../../deploy/local-cluster/managed-process.js'
import { build } from '../fixtures/build.js'
import { eventually } from '../fixtures/eventually.js'
import { scrape } from '../fixtures/metrics.js'
import { startRedis } from '../fixtures/redis.js'
import { TenantApi } from '../fixtures/tenant-api.js'

async function metricsPort () {
  const port = await freePort()
  return { METRICS_PORT: String(port), metricsUrl: `http://127.0.0.1:${port}/metrics` }
}

t.test('metrics are off by default, and never on the public port', async (t) => {
  const { app, url } = await build(t)
  t.equal(app.metrics, undefined)
  t.equal((await fetch(`${url}/metrics`)).status, 404)
  const { metricsUrl, ...env } = await metricsPort()
  const other = await build(t, env)
  t.equal((await fetch(`${other.url}/metrics`)).status, 404)
  t.equal((await fetch(metricsUrl)).status, 200)
  t.equal((await fetch(metricsUrl, { method: 'POST' })).status, 404)
  t.equal((await fetch(metricsUrl.replace('/metrics', '/'))).status, 404)
})

t.test('a metrics port that is the public one, or taken, stops the start with a message', async (t) => {
  await t.rejects(build(t, { PORT: '3000', METRICS_PORT: '3000' }), /METRICS_PORT must not be PORT/)
  const { metricsUrl, ...env } = await metricsPort()
  await build(t, env)
  await t.rejects(build(t, env), /EADDRINUSE/)
  await fetch(metricsUrl)
})

t.test('after the server has closed nothing listens any more', async (t) => {
  const { metricsUrl, ...env } = await metricsPort()
  const { app } = await build(t, env)
  await scrape(metricsUrl)
  await app.close()
  await t.rejects(fetch(metricsUrl))
})

t.test('messages, batches, deliveries and bytes are counted, in each encoding', async (t) => {
  const { metricsUrl, ...env } = await metricsPort()
  const { app, watch } = await build(t, env)
  const room = crypto.randomUUID()
  const streams = [await watch(room), await watch(room), await watch(room, '', { 'Accept-Encoding': 'gzip' })]
  await app.broker.publish(room, 'one')
  await app.broker.publish(room, 'two')
  await eventually('all is written', () => app.rooms.counters.deliveries === 6)
  const metrics = await scrape(metricsUrl)
  t.equal(metrics.get('chat_viewers'), 3)
  t.equal(metrics.get('chat_rooms{role="owner"}'), 1)
  t.equal(metrics.get('chat_rooms{role="follower"}'), 0)
  t.equal(metrics.get('chat_messages_heard_total'), 2)
  await eventually('it is logged', async () => (await scrape(metricsUrl)).get('chat_messages_logged_total') === 2)
  const batches = metrics.get('chat_batches_total') ?? 0
  t.ok(batches === 1 || batches === 2)
  t.equal(metrics.get('chat_deliveries_total'), 6)
  t.equal(metrics.get('chat_viewer_writes_total'), batches * 3)
  t.equal(metrics.get('chat_latency_seconds_count'), batches)
  t.equal(metrics.get('chat_latency_seconds_bucket{le="+Inf"}'), batches)
  const events = metrics.get('chat_event_bytes_total{encoding="gzip"}') ?? 0
  t.equal(metrics.get('chat_event_bytes_total{encoding="plain"}'), 2 * events)
  t.equal(metrics.get('chat_written_bytes_total{encoding="plain"}'), 2 * events)
  t.equal(metrics.get('chat_written_bytes_total{encoding="gzip"}'), events + 5 * batches, 'stored blocks: five bytes each')
  t.equal(metrics.get('chat_history_bytes'), events)
  t.ok((metrics.get('chat_flushes_total') ?? 0) > 0)
  t.equal(metrics.get('chat_flush_interval_seconds'), 0.05)
  t.ok([...metrics.keys()].every((series) => !series.includes(room)), 'no room is named')
  for (const stream of streams) stream.close()
})

t.test('why streams end, are refused, and what was missed is counted', async (t) => {
  const { metricsUrl, ...env } = await metricsPort()
  const { app, watch } = await build(t, { ...env, MAX_VIEWERS: '1' })
  const room = crypto.randomUUID()
  const first = await watch(room)
  await (await watch(room)).untilClosed()
  await app.broker.publish(room, 'one')
  await first.untilMessages(1)
  first.close()
  await eventually('it has left', () => app.rooms.viewers === 0)
  const second = await watch(room, '?recent=1')
  t.same(await second.untilMessages(1), ['one'])
  second.close()
  await eventually('it has left', () => app.rooms.viewers === 0)
  const third = await watch(room, '?lastEventId=1-1')
  await third.until(() => third.named('gap').length > 0, 'a gap')
  await app.broker.end(room, '{}')
  await third.untilClosed()
  await eventually('it has left', () => app.rooms.viewers === 0)
  const metrics = await scrape(metricsUrl)
  t.equal(metrics.get('chat_viewer_refusals_total{reason="max-viewers"}'), 1)
  t.equal(metrics.get('chat_viewer_disconnects_total{reason="viewer-left"}'), 2)
  t.equal(metrics.get('chat_viewer_disconnects_total{reason="room-ended"}'), 1)
  t.equal(metrics.get('chat_replays_total'), 2)
  t.equal([...metrics].filter(([series, value]) => series.startsWith('chat_gaps_total{scope="viewer"') && value === 1).length, 1)
  t.equal(metrics.get('chat_rooms_ended_total'), 1)
})

t.test('Redis, oversized messages and the billing are seen', async (t) => {
  const redis = await startRedis(t)
  const tenant = await TenantApi.start(t)
  const { metricsUrl, ...env } = await metricsPort()
  const { app, watch } = await build(t, { ...env, ...redis.env, TENANT_BASE_URL: tenant.url, BILLING_INTERVAL_MS: '100', MAX_MESSAGE_BYTES: '10' })
  const room = crypto.randomUUID()
  tenant.answer = () => ({ status: 400 })
  const stream = await watch(room)
  await app.broker.publish(room, 'x'.repeat(11))
  await app.broker.publish(room, 'small')
  t.same(await stream.untilMessages(1), ['small'])
  await eventually('the record is parked', async () => (await scrape(metricsUrl)).get('chat_billing_parked_rooms') === 1)
  tenant.answer = () => ({ status: 500 })
  await app.broker.publish(room, 'more')
  await eventually('it cannot be billed', async () => (await scrape(metricsUrl)).get('chat_billing_backlog_messages') === 1)
  await eventually('the room fails', async () => (await scrape(metricsUrl)).get('chat_billing_failing_rooms') === 1)
  const since = (await scrape(metricsUrl)).get('chat_billing_oldest_seconds') ?? NaN
  await eventually('it waits longer', async () => ((await scrape(metricsUrl)).get('chat_billing_oldest_seconds') ?? 0) > since + 0.2)
  tenant.answer = () => ({ status: 200 })
  await eventually('it is billed', async () => (await scrape(metricsUrl)).get('chat_billing_messages_total') === 1)
  await eventually('nothing is left', async () => (await scrape(metricsUrl)).get('chat_billing_backlog_messages') === 0)
  const before = await scrape(metricsUrl)
  t.equal(before.get('chat_messages_dropped_total{reason="oversized"}'), 1)
  t.equal(before.get('chat_billing_parked_records_total'), 1)
  t.equal(before.get('chat_redis_connects_total{connection="subscriber"}'), 1)

  await redis.kill()
  await eventually('the loss is seen', async () => (await scrape(metricsUrl)).get('chat_redis_up{connection="commands"}') === 0)
  t.equal((await scrape(metricsUrl)).get('chat_billing_backlog_messages'), undefined, 'what is not known is not told')
  await redis.restart()
  await eventually('it is back', async () => (await scrape(metricsUrl)).get('chat_redis_connects_total{connection="subscriber"}') === 2)
})

t.test('the runbook names every metric of the chat, its type and nothing else', async (t) => {
  const redis = await startRedis(t)
  const { METRICS_PORT } = await metricsPort()
  const { app } = await build(t, { ...redis.env, METRICS_PORT, TENANT_BASE_URL: 'http://127.0.0.1:1' })
  const told = app.metrics?.getMetricsAsArray().map((metric) => ({ ...metric })) as unknown as Array<{ name: string, type: string, labelNames: string[] }>
  const registered = told.filter(({ name }) => name.startsWith('chat_')).map(({ name, type }) => `${name} ${type}`)
  const rows = [...readFileSync('deploy/README.md', 'utf8').matchAll(/^\| `(chat_\w+)`.*?\| (counter|gauge|histogram) \|/gm)]
  t.same(rows.map(([, name, type]) => `${name} ${type}`).sort(), registered.sort())
  for (const metric of registered) t.equal(/_total counter$/.test(metric), metric.endsWith(' counter'), metric)
})
