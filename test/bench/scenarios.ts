import type { FigureName } from './figures.js'

interface ScenarioBase {
  readonly name: string
  readonly about: string
  /** What the chart shows. */
  readonly headline: readonly [FigureName, FigureName]
}

/** Viewers watch, messages come, viewers may stall. */
export interface SteadyScenario extends ScenarioBase {
  readonly kind: 'steady'
  readonly rooms: number
  readonly viewersPerRoom: number
  /** Messages a second in each room. */
  readonly rate: number
  readonly bytes: number
  readonly seconds: number
  /** Of so many viewers one stops reading; 0: none. */
  readonly everyStalled: number
  /** Whether heartbeats and viewer counts go out as by default. Rivals have nothing like it, so this server is alone. */
  readonly isDefault: boolean
}

/** All connect at once, while a small room goes on. */
export interface StormScenario extends ScenarioBase {
  readonly kind: 'storm'
  readonly viewers: number
  readonly bystanders: number
  readonly rate: number
}

/** All viewers of a room lose their connections and come back at once, while messages go on. */
export interface ReconnectScenario extends ScenarioBase {
  readonly kind: 'reconnect'
  readonly viewers: number
  readonly rate: number
  readonly secondsBefore: number
  readonly secondsAway: number
  readonly secondsAfter: number
}

/** Little to do, then more than the server can, then little again. */
export interface OverloadScenario extends ScenarioBase {
  readonly kind: 'overload'
  readonly rooms: number
  readonly viewersPerRoom: number
  /** Messages a second in each room, before and after. */
  readonly lightRate: number
  /** Meanwhile. */
  readonly rate: number
  readonly secondsLight: number
  readonly seconds: number
}

export type Scenario = SteadyScenario | StormScenario | ReconnectScenario | OverloadScenario

/** A short chat message as JSON. */
export const MESSAGE_BYTES = 160

const STEADY = { kind: 'steady', rooms: 1, bytes: MESSAGE_BYTES, seconds: 10, everyStalled: 0, isDefault: false, headline: ['cpuPerDelivery', 'p99'] } as const

export const SCENARIOS: readonly Scenario[] = [
  { ...STEADY, name: 'busy', about: '1 room × 2,000 viewers × 100 messages/s', viewersPerRoom: 2000, rate: 100 },
  { ...STEADY, name: 'mega', about: '1 room × 10,000 viewers × 50 messages/s', viewersPerRoom: 10_000, rate: 50 },
  { ...STEADY, name: 'many', about: '1,000 rooms × 10 viewers × 1 message/s', rooms: 1000, viewersPerRoom: 10, rate: 1 },
  { ...STEADY, name: 'quiet', about: '200 rooms × 10 viewers × 2 messages/s', rooms: 200, viewersPerRoom: 10, rate: 2 },
  { ...STEADY, name: 'idle', about: '1 room × 15,000 viewers, no messages', viewersPerRoom: 15_000, rate: 0, headline: ['rssPerViewer', 'cpuCores'] },
  {
    ...STEADY,
    name: 'silent',
    about: '10,000 rooms × 1 viewer, no messages, heartbeats every 15 s and viewer counts',
    rooms: 10_000,
    viewersPerRoom: 1,
    rate: 0,
    seconds: 60,
    isDefault: true,
    headline: ['cpuCores', 'redisCores']
  },
  {
    kind: 'storm',
    name: 'storm',
    about: '10,000 viewers connect at once; meanwhile another room has 10 viewers and 10 messages/s',
    viewers: 10_000,
    bystanders: 10,
    rate: 10,
    headline: ['headsSeconds', 'p99']
  },
  {
    kind: 'reconnect',
    name: 'reconnect',
    about: '1 room × 5,000 viewers × 20 messages/s: all are cut off, are back at once 1 s later, resume',
    viewers: 5000,
    rate: 20,
    secondsBefore: 2,
    secondsAway: 1,
    secondsAfter: 3,
    headline: ['liveSeconds', 'cpuPerViewer']
  },
  {
    ...STEADY,
    name: 'stalled',
    about: '1 room × 1,000 viewers × 50 messages/s of 4 KB; 100 of the viewers have stopped reading',
    viewersPerRoom: 1000,
    rate: 50,
    bytes: 4000,
    everyStalled: 10,
    headline: ['p99', 'rssPeak']
  },
  {
    kind: 'overload',
    name: 'overload',
    // 20 flushes a second for each of 15,000 viewers would take two cores.
    about: '60 rooms × 250 viewers × 40 messages/s, twice what a core can write without adapting; 1 message/s before and after',
    rooms: 60,
    viewersPerRoom: 250,
    lightRate: 1,
    rate: 40,
    secondsLight: 4,
    seconds: 10,
    headline: ['p99', 'p99After']
  }
]

/** What a minute is enough for. */
export const QUICK_SCENARIOS = ['busy']
const QUICK_SECONDS = 3

export function quick (scenario: Scenario): Scenario {
  return scenario.kind === 'steady' ? { ...scenario, seconds: QUICK_SECONDS } : scenario
}

export function title (scenario: Scenario): string {
  return `${scenario.name}: ${scenario.about}${scenario.kind === 'steady' ? `, ${scenario.seconds} s` : ''}`
}
