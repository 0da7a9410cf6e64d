import t, { type Test } from 'tap'
import { historyOf } from '../fixtures/account.js'
import { build, type Server } from '../fixtures/build.js'
import { eventually } from '../fixtures/eventually.js'
import { startCluster, type ClusterNode } from '../fixtures/redis-cluster.js'
import type { SseStream } from '../fixtures/sse-stream.js'
import { TenantApi } from '../fixtures/tenant-api.js'

const cluster = await startCluster(t)
const { masters, masterOf, roomAt, move, env } = cluster

/** A master that does not have the room. */
function elsewhere (room: string): ClusterNode {
  const other = masters.find((master) => master !== masterOf(room))
  if (other === undefined) throw new Error('one master only')
  return other
}

async function watchAll (servers: readonly Server[], room: string, query = ''): Promise<SseStream[]> {
  const streams = []
  for (const { watch } of servers) streams.push(await watch(room, query))
  return streams
}

const startTwo = async (t: Test, more: Record<string, string> = {}) => [await build(t, { ...env, ...more }), await build(t, { ...env, ...more })] as const

t.test('rooms of all masters are served by two instances alike: published at any master, numbered, counted, billed, ended', async (t) => {
  const api = await TenantApi.start(t)
  const servers = await startTwo(t, { TENANT_BASE_URL: api.url, BILLING_INTERVAL_MS: '100', VIEWER_COUNTS: 'on', PUBLISH_API_KEYS: 'key' })
  const post = async (path: string, body: string) => await fetch(`${servers[1].url}/api/v1/chats/${path}`, { method: 'POST', headers: { Authorization: 'Bearer key', 'Content-Type': 'application/json' }, body })
  for (const master of masters) {
    const room = roomAt(master)
    t.equal((await post(`${room}/messages`, '{"n":0}')).status, 202, 'parked')
    const [first, second] = await watchAll(servers, room, '?recent=1')
    if (first === undefined || second === undefined) return
    await elsewhere(room).admin.publish(room, 'at another master')
    await first.untilMessages(2)
    await master.admin.publish(room, 'at its master')
    await first.untilMessages(3)
    await post(`${room}/messages`, '{"n":3}')
    for (const stream of [first, second]) t.same(await stream.untilMessages(4), ['{"n":0}', 'at another master', 'at its master', '{"n":3}'])
    await first.until(() => first.named('viewers').some(({ data }) => data === '{"count":2}'), 'the number of viewers')
    const state = await fetch(`${servers[0].url}/api/v1/chats/${room}`, { headers: { Authorization: 'Bearer key' } })
    t.match(await state.json(), { viewers: 2, lastEventId: first.lastEventId, ended: false })
    await eventually('all is billed', () => api.total(room) === 4)
    await elsewhere(room).admin.publish(`${room}_END`, '{}')
    for (const stream of [first, second]) {
      await stream.untilClosed()
      t.same(stream.named('gap'), [])
      t.equal(stream.named('end').length, 1)
    }
    t.same(historyOf(first.events), historyOf(second.events), 'the same events under the same ids')
  }
  const backlogs = await Promise.all(servers.map(({ app }) => app.billing?.backlog()))
  t.match(backlogs.find((backlog) => backlog !== undefined), { messages: 0, parkedRooms: 0 })
})

t.test('what is published at two masters at a time has one order, also for who takes the room over, and nothing is lost or said twice', async (t) => {
  const servers = await startTwo(t, { HANDOVER_MS: '5000' })
  const rooms = masters.map(roomAt)
  const streams = await Promise.all(rooms.map((room) => watchAll(servers, room)))
  const published = rooms.map((): string[] => [])
  const publishAll = async (from: number, to: number) => {
    for (let n = from; n < to; n++) {
      await Promise.all(rooms.flatMap((room, index) => masters.map(({ admin }, which) => {
        published[index]?.push(`${which} ${n}`)
        return admin.publish(room, `${which} ${n}`)
      })))
    }
  }
  await publishAll(0, 100)
  const closing = servers[0].app.close()
  await publishAll(100, 200)
  await closing
  for (const [index, pair] of streams.entries()) {
    const [first, second] = pair
    if (first === undefined || second === undefined) return
    await second.untilMessages(600)
    t.same([...second.messages].sort(), published[index]?.sort(), 'each once')
    t.same(second.named('gap'), [])
    t.same(first.events, second.events.slice(0, first.events.length), 'the same events under the same ids')
  }
  t.same(servers.flatMap(({ log }) => log.filter(({ level }) => level >= 40)), [], 'both have heard the same')
})

t.test('a room whose slot moves to another master goes on there, and back again', async (t) => {
  const servers = await startTwo(t)
  const [from, to] = masters
  if (from === undefined || to === undefined) return
  const [room, other] = [roomAt(from), roomAt(from)]
  const streams = await watchAll(servers, room)
  const others = await watchAll(servers, other)
  await from.admin.publish(room, '0')
  for (const stream of streams) await stream.untilMessages(1)
  const isHeardAt = async (master: ClusterNode) => (await master.admin.call('PUBSUB', 'SHARDNUMSUB', `chat:{${room}}:signals`) as unknown[])[1] === 2
  for (const [n, [source, target]] of ([[from, to], [to, from]] as const).entries()) {
    await move(room, source, target)
    await eventually('both instances listen there', () => isHeardAt(target))
    t.equal(await target.admin.publish(room, `${n + 1}`), 2)
    for (const stream of streams) await stream.untilMessages(n + 2)
    t.equal(await target.admin.hget(`chat:{${room}}:owner`, 'tail'), streams[0]?.lastEventId, 'logged there')
  }
  // Maybe before anybody has noticed.
  await move(room, from, to)
  await move(room, to, from)
  await eventually('both instances listen again', () => isHeardAt(from))
  await from.admin.publish(room, '3')
  for (const stream of streams) {
    t.same(await stream.untilMessages(4), ['0', '1', '2', '3'])
    for (const { data } of stream.named('gap')) t.match(JSON.parse(data), { reason: 'broker-reconnect' })
  }
  t.same(streams[0]?.events, streams[1]?.events, 'the same events under the same ids')
  await to.admin.publish(other, 'here')
  for (const stream of others) {
    t.same(await stream.untilMessages(1), ['here'])
    t.same(stream.named('gap'), [], 'a room whose slot did not move is not concerned')
  }
})

t.test('when a master is replaced or killed its rooms go on at its replica, after a gap if need be, and other rooms notice nothing', async (t) => {
  const cluster = await startCluster(t, { hasReplica: true })
  const [replaced, other] = cluster.masters
  const killed = cluster.replica
  if (replaced === undefined || killed === undefined || other === undefined) return
  const servers = [await build(t, { ...cluster.env, REDIS_TIMEOUT_MS: '1000' }), await build(t, { ...cluster.env, REDIS_TIMEOUT_MS: '1000' })]
  const [lost, kept] = [cluster.roomAt(replaced), cluster.roomAt(other)]
  const streams = await watchAll(servers, lost)
  const keptStreams = await watchAll(servers, kept)
  for (const room of [lost, kept]) await other.admin.publish(room, 'before')
  for (const stream of [...streams, ...keptStreams]) await stream.untilMessages(1)
  await killed.admin.call('CLUSTER', 'FAILOVER')
  await eventually('both instances are at the other master', async () => (await killed.admin.call('PUBSUB', 'NUMSUB', lost) as unknown[])[1] === 2)
  await other.admin.publish(lost, 'between')
  for (const stream of streams) await stream.untilMessages(2)
  await eventually('the one replaced is in step', async () => String(await replaced.admin.info('replication')).includes('master_link_status:up'))
  const gaps = streams.map((stream) => stream.named('gap').length)
  await killed.server.kill()
  await other.admin.publish(kept, 'meanwhile')
  for (const stream of keptStreams) await stream.untilMessages(2)
  for (const [index, stream] of streams.entries()) await stream.until(() => stream.named('gap').length > (gaps[index] ?? 0), 'the gap')
  await other.admin.publish(lost, 'after')
  for (const stream of streams) {
    t.same(await stream.untilMessages(3), ['before', 'between', 'after'])
    for (const { data } of stream.named('gap')) t.match(JSON.parse(data), { reason: 'broker-reconnect' })
  }
  t.same(streams[0]?.events, streams[1]?.events, 'the same events under the same ids')
  await other.admin.publish(kept, 'after')
  for (const stream of keptStreams) {
    t.same(await stream.untilMessages(3), ['before', 'meanwhile', 'after'])
    t.same(stream.named('gap'), [])
  }
})
