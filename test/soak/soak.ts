import { setTimeout as pause } from 'node:timers/promises'
import { eventually } from '../fixtures/eventually.js'
import { seededRandom } from '../fixtures/random.js'
import type { Teardowns } from '../fixtures/teardowns.js'
import { descriptors } from '../bench/procfs.js'
import { Crowd } from './crowd.js'
import { checkBilling, type Bill } from './billing.js'
import { FAULTS, faultOrder, type Scene } from './faults.js'
import { Findings } from './findings.js'
import type { SoakOptions } from './options.js'
import { Publisher } from './publisher.js'
import { Rooms } from './rooms.js'
import { SoakStage } from './stage.js'
import { openDescriptors, VitalSigns, type Vitals } from './vitals.js'

const SETTLE_TIMEOUT_MS = 90_000
const LAST_WORD_INTERVAL_MS = 1000
/** Connections that are kept for the next request, and probes. */
const SPARE_DESCRIPTORS = 10

export interface SoakReport {
  readonly options: SoakOptions
  readonly findings: Findings
  readonly vitals: readonly Vitals[]
  readonly bill: Bill
}

/**
 * Lets viewers watch while one fault after another happens, and accounts for every message at every viewer.
 *
 * @param log is told of each fault
 */
export async function soak (t: Teardowns, options: SoakOptions, log: (line: string) => void): Promise<SoakReport> {
  const findings = new Findings()
  const stage = await SoakStage.start(t, options, findings)
  const { cluster } = stage
  const idle = { instance: Math.max(...stage.instances.map(openDescriptors)), balancer: balancerDescriptors(stage) }
  // What Redis did not answer is never published a second time by the client.
  const redis = cluster.redis.connect({ autoResendUnfulfilledCommands: false, enableOfflineQueue: false, maxRetriesPerRequest: 0, retryStrategy: () => 50 })
  t.teardown(() => redis.disconnect())
  await eventually('the tenant is connected', () => redis.status === 'ready')

  const publisher = new Publisher({ redis, url: cluster.url, key: stage.key, findings })
  const rooms = new Rooms(options.viewers, seededRandom(options.seed), publisher)
  const crowd = new Crowd({ port: cluster.port, findings, random: seededRandom(options.seed + 1), longestAbsenceMs: 8 * options.leaseMs })
  t.teardown(() => crowd.close())
  t.teardown(() => publisher.stop().catch(() => {}))
  await crowd.populate(rooms.places)
  await eventually('everyone watches', () => crowd.connected >= rooms.places.length, SETTLE_TIMEOUT_MS)
  log(`${rooms.places.length} viewers of ${rooms.open.length} rooms watch`)
  publisher.start()
  crowd.start()
  const vitalSigns = new VitalSigns(stage.instances)
  t.teardown(() => vitalSigns.stop())
  vitalSigns.start()

  await happen({ stage, crowd, publisher, rooms, random: seededRandom(options.seed + 2) }, log)
  await settle({ stage, crowd, publisher, rooms }, log)
  vitalSigns.stop()
  const bill = await checkBilling(redis, stage.tenant, rooms.all, findings)

  crowd.close()
  log('everyone has left')
  await eventually('nothing is left open', () => stage.instances.every((instance) => openDescriptors(instance) <= idle.instance + SPARE_DESCRIPTORS) &&
    cluster.balancerWorkers().length === 1 && balancerDescriptors(stage) <= idle.balancer + SPARE_DESCRIPTORS * options.instances, SETTLE_TIMEOUT_MS)
    .catch(({ message }: Error) => findings.violate('leak', `${message}: descriptors of instances ${stage.instances.map(openDescriptors)}, ` +
      `of the balancer ${balancerDescriptors(stage)}; when idle ${idle.instance} and ${idle.balancer}; ${cluster.balancerWorkers().length} workers`))
  const vitals = stage.instances.map((instance) => vitalSigns.judge(instance, idle.instance, findings))
  stage.dismissAll()
  return { options, findings, vitals, bill }
}

/** Fault after fault. */
async function happen (scene: Scene, log: (line: string) => void) {
  const { stage: { findings, options, cluster }, crowd, random } = scene
  const order = faultOrder(random, options.faults)
  const endsAtMs = performance.now() + options.minutes * 60_000
  // Viewers come and go for a while before.
  await pause(options.faultIntervalMs)
  while (performance.now() + options.faultIntervalMs <= endsAtMs) {
    const interval = pause(options.faultIntervalMs)
    const fault = order.next().value
    findings.begin(fault)
    await FAULTS[fault](scene, (detail) => findings.note(detail))
    await cluster.settled()
    log(`${findings.fault}; ${crowd.connected} of ${crowd.viewers.length} connected, ${findings.deliveries} deliveries, ${findings.violationCount} violations`)
    await interval
  }
}

/** Everybody comes back, gets the last message, and nothing follows. */
async function settle ({ stage, crowd, publisher, rooms }: Omit<Scene, 'random'>, log: (line: string) => void) {
  const { findings } = stage
  findings.calm()
  await stage.cluster.settled()
  await crowd.settle()
  await publisher.stop()
  const watching = () => crowd.viewers.filter(({ isDone }) => !isDone)
  const deadline = performance.now() + SETTLE_TIMEOUT_MS
  const goals = new Map(rooms.open.map((room) => [room, room.count + 1]))
  do {
    for (const room of rooms.open) publisher.say(room)
    await pause(LAST_WORD_INTERVAL_MS)
  } while (performance.now() < deadline && !watching().every(({ account, room }) => account.highest >= (goals.get(room) ?? 0)))
  await publisher.stop()
  const isComplete = (viewer: typeof crowd.viewers[number]) => viewer.account.highest === viewer.room.count || viewer.room.unsure.has(viewer.room.count)
  await eventually('everyone has the last message', () => watching().every(isComplete), SETTLE_TIMEOUT_MS).catch(({ message }: Error) => {
    for (const viewer of watching()) if (!isComplete(viewer)) findings.violate('stuck', `${message}: ${viewer.state}`)
  })
  for (const { account } of watching()) account.finish()
  for (const { account } of [...crowd.viewers, ...crowd.departed]) account.close()
  for (const room of rooms.all) {
    for (const n of room.lateWithoutReason()) findings.violate('reordered', `${n} of room ${room.index} (${room.path}, ${room.id}) came late`)
  }
  log(`all is said; ${findings.violationCount} violations`)
}

function balancerDescriptors ({ cluster }: SoakStage): number {
  return Math.max(...cluster.balancerWorkers().map(descriptors))
}
