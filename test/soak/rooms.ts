import type { Random } from '../fixtures/random.js'
import type { Publisher } from './publisher.js'
import { Room, type Path } from './room.js'

interface RoomKind {
  /** Part of all viewers that are in rooms of this kind. */
  readonly share: number
  /** So many are in each; undefined: all in one room. */
  readonly viewers?: number
  readonly paths: readonly Path[]
  readonly messagesPerSecond: number
  readonly messageBytes: number
}

/** Large and small, busy and quiet; in the loud one a viewer that does not read falls behind soon, the lonely ones are empty now and then. */
const KINDS: readonly RoomKind[] = [
  { share: 0.4, paths: ['publish'], messagesPerSecond: 5, messageBytes: 160 },
  { share: 0.01, paths: ['publish'], messagesPerSecond: 25, messageBytes: 8000 },
  { share: 0.15, viewers: 50, paths: ['publish', 'script', 'http'], messagesPerSecond: 4, messageBytes: 200 },
  { share: 0.43, viewers: 20, paths: ['publish', 'script', 'publish', 'http'], messagesPerSecond: 1, messageBytes: 120 },
  { share: 0.01, viewers: 1, paths: ['publish', 'script', 'http'], messagesPerSecond: 1, messageBytes: 120 }
]

/** All rooms there are and were. */
export class Rooms {
  readonly open: Room[] = []
  readonly all: Room[] = []
  /** The room of each viewer, mixed. */
  readonly places: Room[] = []

  constructor (viewers: number, private readonly random: Random, private readonly publisher: Publisher) {
    for (const kind of KINDS) {
      const inAll = Math.max(1, Math.round(viewers * kind.share))
      const rooms = kind.viewers === undefined ? 1 : Math.max(kind.paths.length, Math.round(inAll / kind.viewers))
      const created = Array.from({ length: rooms }, (_, index) => this.#create(kind.paths[index % kind.paths.length] ?? 'publish', kind))
      for (let viewer = 0; viewer < Math.max(inAll, rooms); viewer++) this.places.push(...created.slice(viewer % rooms, viewer % rooms + 1))
    }
    for (let last = this.places.length - 1; last > 0; last--) this.places.push(...this.places.splice(random(last + 1), 1))
  }

  /** One that has not ended. */
  pick (random: Random): Room {
    const room = this.open[random(this.open.length)]
    if (room === undefined) throw new Error('no room is open')
    return room
  }

  /** Opens a room like one that has ended. */
  replace (room: Room): Room {
    this.open.splice(this.open.indexOf(room), 1)
    return this.#create(room.path, room)
  }

  #create (path: Path, { messagesPerSecond, messageBytes }: Pick<Room, 'messagesPerSecond' | 'messageBytes'>): Room {
    const room = new Room(this.all.length, this.#uuid(), path, messagesPerSecond, messageBytes)
    this.all.push(room)
    this.open.push(room)
    this.publisher.add(room)
    return room
  }

  /** The same ids for the same seed: so the load balancer takes them to the same instances. */
  #uuid (): string {
    const digits = Array.from({ length: 32 }, () => this.random(16).toString(16)).join('')
    return digits.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-')
  }
}
