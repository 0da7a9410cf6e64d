import { readFileSync } from 'node:fs'
import t, { type Test } from 'tap'
import type { Instance } from '../../deploy/local-cluster/cluster.js'
import { watchUrl } from '../fixtures/chat.js'
import { eventually } from '../fixtures/eventually.js'
import type { ReconnectingViewer } from '../fixtures/reconnecting-viewer.js'
import { startStage } from '../fixtures/stage.js'

const ENV = { LEASE_MS: '4000' }

const told = ({ events }: ReconnectingViewer) => {
  const last = events.findLast(({ event }) => event === 'viewers')
  return last && (JSON.parse(last.data) as { count: number }).count
}

/** A room with viewers at two instances: three, and two. */
async function start (t: Test) {
  const stage = await startStage(t, { env: ENV })
  const [one, other] = stage.pair()
  const chat = stage.chat()
  for (const { url } of [one, one, one, other, other]) chat.watch(url)
  await chat.watched()
  const told5 = () => chat.viewers.every((viewer) => told(viewer) === 5)
  await eventually('all are told of all', told5)
  return { stage, chat, one, other, told5 }
}

async function untilTold (t: Test, viewers: readonly ReconnectingViewer[], count: number) {
  const sinceMs = performance.now()
  await eventually(`all are told of ${count}`, () => viewers.every((viewer) => told(viewer) === count))
  t.comment(`told after ${Math.round(performance.now() - sinceMs)} ms`)
}

function isStopped ({ process }: Instance): boolean {
  return /\) T /.test(readFileSync(`/proc/${process.pid}/stat`, 'latin1'))
}

t.test('the viewers of an instance that is killed do not count any more, wherever they go', async (t) => {
  const { stage, chat, one, other } = await start(t)
  const [first, ...rest] = chat.at(one.url)
  for (const viewer of rest) viewer.close()
  chat.moveTo(other.url, first ? [first] : [])
  await stage.cluster.removeInstance(one, 'SIGKILL')
  await untilTold(t, [...chat.at(other.url)], 3)
  await eventually('it is struck', async () => JSON.stringify(Object.values(await stage.tenant.hgetall(`chat:{${chat.room}}:viewers`))) === '["3"]')
})

t.test('an instance that was stopped does not count, and counts again when it wakes up', async (t) => {
  const { chat, one, other, told5 } = await start(t)
  one.process.signal('SIGSTOP')
  await eventually('it is stopped', () => isStopped(one))
  await untilTold(t, chat.at(other.url), 2)
  one.process.signal('SIGCONT')
  await eventually('all are told of all', told5)
  const tellsOf = chat.at(one.url).map(({ events }) => events.filter(({ event }) => event === 'viewers').map(({ data }) => (JSON.parse(data) as { count: number }).count))
  t.notOk(tellsOf.flat().includes(3), 'it never told its own viewers of themselves alone')
})

t.test('the load balancer brings who asks for a room to an instance that knows it', async (t) => {
  const { stage, chat } = await start(t)
  const ask = async (headers: Record<string, string>) => await fetch(`${stage.cluster.url}/api/v1/chats/${chat.room}`, { headers })
  t.equal((await ask({})).status, 401)
  const response = await ask({ Authorization: 'Bearer test-key' })
  t.equal(response.status, 200)
  t.match(await response.json(), { sessionId: chat.room, viewers: 5, ended: false })
  t.equal((await fetch(watchUrl(stage.cluster.url, 'x'))).status, 400)
})
