import { setTimeout as pause } from 'node:timers/promises'
import { eventually } from '../fixtures/eventually.js'
import type { Random } from '../fixtures/random.js'
import type { Findings } from './findings.js'
import type { Room } from './room.js'
import { Viewer } from './viewer.js'

const TICK_MS = 250
/** They come by portions: connecting is not what is looked at here. */
const PORTION = 50
const PORTION_PAUSE_MS = 25
/** Of so many viewers, each second, one goes and comes back, one goes for good, one stops reading for a while. */
const ONE_IN = { goesAndReturns: 150, isReplaced: 400, stalls: 300 }
/** One in so many viewers takes gzip, one in so many asks for the latest messages. */
const GZIP_EVERY = 8
const RECENT_EVERY = 6
const RECENT = 20
const MOVE_TIMEOUT_MS = 90_000

export interface CrowdOptions {
  readonly port: number
  readonly findings: Findings
  readonly random: Random
  /** Longest time for which somebody who comes back is away, or reads nothing, by itself. */
  readonly longestAbsenceMs: number
}

/** All who watch: they come, go, come back and fall asleep. */
export class Crowd {
  readonly viewers: Viewer[] = []
  /** Of those who are gone, whom something is missing to. */
  readonly departed: Viewer[] = []
  #created = 0
  #timer: NodeJS.Timeout | undefined
  readonly #moves: Array<Promise<void>> = []
  readonly #away = new Map<Viewer, NodeJS.Timeout>()

  constructor (private readonly options: CrowdOptions) {}

  get connected () { return this.viewers.filter(({ isConnected }) => isConnected).length }

  /** @param places the room of each viewer */
  async populate (places: readonly Room[]) {
    for (let start = 0; start < places.length; start += PORTION) {
      for (const room of places.slice(start, start + PORTION)) this.#come(room)
      await pause(PORTION_PAUSE_MS)
    }
  }

  /** Begins to come and go. */
  start () {
    let due = 0
    this.#timer = setInterval(() => {
      for (due += this.viewers.length * TICK_MS / 1000; due >= 1; due--) this.#happen()
    }, TICK_MS)
  }

  /** Whoever is away comes back, and stays. Resolves when all are in rooms that have not ended. */
  async settle () {
    clearInterval(this.#timer)
    for (const [viewer, timer] of this.#away) {
      clearTimeout(timer)
      if (viewer.isAway) viewer.watch()
    }
    this.#away.clear()
    await Promise.all(this.#moves)
  }

  /** Some stop reading for a while. @returns how many */
  stall (share: number, durationMs: number): number {
    const some = this.viewers.filter(() => this.options.random(1000) < share * 1000)
    for (const viewer of some) viewer.stall(durationMs)
    return some.length
  }

  /** When all viewers of a room have been told of its end, as many go into another room. */
  move (from: Room, to: Room) {
    // Who is away learns it when back, who sleeps when awake.
    for (const [viewer] of this.#away) if (viewer.room === from) this.#return(viewer)
    this.#moves.push(this.#move(from, to))
  }

  /** Everybody leaves, for good. */
  close () {
    for (const viewer of [...this.viewers]) this.#leave(viewer)
  }

  async #move (from: Room, to: Room) {
    const left = () => this.viewers.filter(({ room }) => room === from)
    await eventually(`everyone knows of the end of room ${from.index}`, () => left().every(({ isDone }) => isDone), MOVE_TIMEOUT_MS).catch(({ message }: Error) => {
      for (const { isDone, state } of left()) if (!isDone) this.options.findings.violate('stuck', `${message}: ${state}`)
    })
    for (const viewer of left()) {
      this.#leave(viewer)
      this.#come(to)
    }
  }

  #come (room: Room) {
    const number = ++this.#created
    const viewer = new Viewer(`viewer ${number}`, room, {
      port: this.options.port,
      findings: this.options.findings,
      isGzip: number % GZIP_EVERY === 0,
      recent: number % RECENT_EVERY === 0 ? RECENT : 0
    })
    this.viewers.push(viewer)
    viewer.watch()
  }

  #leave (viewer: Viewer) {
    viewer.goAway()
    viewer.account.leave()
    clearTimeout(this.#away.get(viewer))
    this.#away.delete(viewer)
    this.viewers.splice(this.viewers.indexOf(viewer), 1)
    if (viewer.account.isOpenToDoubt) this.departed.push(viewer)
  }

  #return (viewer: Viewer) {
    clearTimeout(this.#away.get(viewer))
    this.#away.delete(viewer)
    viewer.watch()
  }

  /** What may happen to one viewer in a second. */
  #happen () {
    const { random, longestAbsenceMs } = this.options
    const viewer = this.viewers[random(this.viewers.length)]
    if (viewer === undefined || viewer.isDone || this.#away.has(viewer)) return
    const durationMs = random(longestAbsenceMs)
    if (random(ONE_IN.goesAndReturns) === 0) {
      viewer.goAway()
      this.#away.set(viewer, setTimeout(() => this.#return(viewer), durationMs))
    } else if (random(ONE_IN.isReplaced) === 0) {
      this.#leave(viewer)
      this.#come(viewer.room)
    } else if (random(ONE_IN.stalls) === 0) viewer.stall(durationMs)
  }
}
