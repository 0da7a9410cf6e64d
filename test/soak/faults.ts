import { setTimeout as pause } from 'node:timers/promises'
import type { Random } from '../fixtures/random.js'
import type { Crowd } from './crowd.js'
import type { Publisher } from './publisher.js'
import type { Rooms } from './rooms.js'
import type { SoakStage } from './stage.js'

/** What faults happen to. */
export interface Scene {
  readonly stage: SoakStage
  readonly crowd: Crowd
  readonly publisher: Publisher
  readonly rooms: Rooms
  readonly random: Random
}

/** Something that goes wrong, and is right again when it resolves. `note` is told what exactly, for the report of what comes of it. */
export type Fault = (scene: Scene, note: (detail: string) => void) => Promise<void>

/** Some time from `least` to `most` leases: what is shorter than one is not even noticed by the others. */
function someLeases ({ stage, random }: Scene, least: number, most: number): number {
  return Math.round((least + random(1000) / 1000 * (most - least)) * stage.options.leaseMs)
}

/** An instance's link to Redis fails, and then either lets all through that was held back, or has broken all connections. */
function linkFault (fail: 'cut' | 'mute'): Fault {
  return async (scene, note) => {
    const { stage, random } = scene
    const instance = stage.pick(random)
    const link = stage.linkOf(instance)
    const durationMs = someLeases(scene, 0.1, 2.5)
    const mend = random(2) === 0 ? 'heal' : 'reset'
    note(`${instance.address} for ${durationMs} ms, then ${mend}`)
    link[fail]()
    await pause(durationMs)
    link[mend]()
  }
}

export const FAULTS = {
  async 'kill instance' ({ stage, random }, note) {
    const instance = stage.pickMortal(random)
    note(instance.address)
    await stage.removeInstance(instance, 'SIGKILL')
    await stage.addInstance()
  },

  async 'freeze instance' (scene, note) {
    const instance = scene.stage.pick(scene.random)
    const durationMs = someLeases(scene, 1.5, 2.5)
    note(`${instance.address} for ${durationMs} ms`)
    instance.process.signal('SIGSTOP')
    await pause(durationMs)
    instance.process.signal('SIGCONT')
  },

  async 'kill redis' (scene, note) {
    const { redis } = scene.stage.cluster
    const durationMs = scene.random(2) * someLeases(scene, 0, 2)
    note(`for ${durationMs} ms`)
    await redis.kill()
    await pause(durationMs)
    await redis.restart()
  },

  'cut link': linkFault('cut'),

  'mute link': linkFault('mute'),

  async 'delay link' (scene, note) {
    const { stage, random } = scene
    const instance = stage.pick(random)
    const [delayMs, durationMs] = [someLeases(scene, 0.01, 0.4), someLeases(scene, 1, 2.5)]
    note(`${instance.address} by ${delayMs} ms for ${durationMs} ms`)
    stage.linkOf(instance).delay(delayMs)
    await pause(durationMs)
    stage.linkOf(instance).heal()
  },

  async 'stall viewers' (scene, note) {
    const durationMs = someLeases(scene, 1, 6)
    note(`${scene.crowd.stall(0.2, durationMs)} for ${durationMs} ms`)
  },

  async 'reload balancer' ({ stage }) {
    await stage.cluster.reloadBalancer()
  },

  async 'scale up' ({ stage }) {
    if (stage.instances.length < 2 * stage.options.instances) await stage.addInstance()
  },

  async 'scale down' ({ stage, random }, note) {
    if (stage.instances.length <= 2) return
    const instance = stage.pickMortal(random)
    note(instance.address)
    await stage.removeInstance(instance, 'SIGTERM')
    await stage.cluster.settled()
  },

  async 'end rooms' ({ rooms, crowd, publisher, random }, note) {
    const few = Math.ceil(rooms.open.length / 10)
    const ending = new Set(Array.from({ length: few }, () => rooms.pick(random)))
    note(`${[...ending].map(({ index }) => index)}`)
    await Promise.all([...ending].map(async (room) => {
      await publisher.end(room)
      crowd.move(room, rooms.replace(room))
    }))
  },

  async 'tenant away' (scene, note) {
    const durationMs = someLeases(scene, 0.5, 2)
    note(`for ${durationMs} ms`)
    await scene.stage.tenant.down()
    await pause(durationMs)
    await scene.stage.tenant.up()
  }
} satisfies Record<string, Fault>

export type FaultName = keyof typeof FAULTS

// The names are the keys of the table.
export const FAULT_NAMES = Object.keys(FAULTS) as FaultName[]

/** Fault after fault, in an order that the seed decides: each once before any comes again. */
export function * faultOrder (random: Random, names: readonly FaultName[]): Generator<FaultName, never> {
  while (true) {
    const left = [...names]
    while (left.length > 0) yield * left.splice(random(left.length), 1)
  }
}
