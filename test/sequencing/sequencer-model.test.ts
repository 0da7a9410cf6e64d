import t from 'tap'
import { seededRandom } from '../fixtures/random.js'
import { SimulatedCluster, type ClusterOptions, type Step, type StepType } from '../fixtures/simulated-cluster.js'

type Weights = Partial<Record<StepType, number>>

const WORK: Weights = { serve: 20, deliver: 20, tick: 8, turn: 8, pass: 8, live: 4, publish: 12, park: 4, join: 8, leave: 2 }
const FAULTS: Weights = { crash: 1, drain: 1, 'hand-over': 1, stall: 2, resume: 3, break: 4, bury: 2 }

interface Profile {
  readonly title: string
  readonly weights: Weights
  readonly runs: number
  /** Seeds beyond those that once found a fault. */
  readonly found?: readonly number[]
  readonly hasSteadyFollower: boolean
}

const PROFILES: readonly Profile[] = [
  { title: 'through crashes, stalls, hand-overs and broken connections', weights: { ...WORK, ...FAULTS, end: 0.3 }, runs: 250, hasSteadyFollower: false },
  { title: 'when Redis restarts with its data', weights: { ...WORK, ...FAULTS, restart: 3 }, runs: 150, found: [1442], hasSteadyFollower: false },
  { title: 'when Redis restarts without its data, or with older data', weights: { ...WORK, ...FAULTS, restart: 1, save: 2, 'restart-older': 1, 'restart-empty': 1 }, runs: 150, found: [512, 535, 563, 728], hasSteadyFollower: false },
  { title: 'without a gap while one instance hears everything', weights: { ...WORK, pass: 0, crash: 2, drain: 2, 'hand-over': 3, stall: 3, resume: 5, break: 4, bury: 4, live: 12 }, runs: 150, hasSteadyFollower: true }
]

function randomSteps (seed: number, weights: Weights): Step[] {
  const random = seededRandom(seed)
  const entries = Object.entries(weights) as Array<[StepType, number]>
  const total = entries.reduce((sum, [, weight]) => sum + weight, 0)
  const chooseType = () => {
    let left = random(1000) / 1000 * total
    for (const [type, weight] of entries) if ((left -= weight) < 0) return type
    return 'turn'
  }
  return Array.from({ length: 20 + random(100) }, () => ({ type: chooseType(), a: random(1000), b: random(1000) }))
}

/** @returns what went wrong, and after which step */
async function run (options: ClusterOptions, steps: readonly Step[]): Promise<{ wrong: string[], at: number, description: string }> {
  const cluster = new SimulatedCluster(options)
  if (options.hasSteadyFollower) await begin(cluster)
  for (const [at, step] of steps.entries()) {
    await cluster.take(step)
    if (step.type === 'live') await cluster.live([100, 1000, 3000, 6000][step.b % 4] ?? 0)
    const wrong = cluster.violations()
    if (wrong.length > 0) return { wrong, at, description: cluster.describe() }
  }
  await cluster.settle()
  const wrong = await cluster.settledViolations()
  if (options.hasSteadyFollower && cluster.gaps.length > 0) wrong.push(`gaps are said although nothing is lost: ${cluster.gaps}`)
  return { wrong, at: steps.length, description: cluster.describe() }
}

async function begin (cluster: SimulatedCluster) {
  // The second instance owns the room at first, and the first follows.
  await cluster.take({ type: 'join', a: 0, b: 0 })
  await cluster.live(3000)
  // Of a room where nothing was said yet it is not known whether it was open before.
  await cluster.take({ type: 'publish', a: 0, b: 0 })
  await cluster.joinSteady()
  await cluster.live(3000)
}

/** Leaves out steps, as long as it goes wrong without them. */
async function shrink (options: ClusterOptions, steps: readonly Step[], first: number): Promise<Step[]> {
  let shortest = steps.slice(0, first + 1)
  for (let length = Math.ceil(shortest.length / 2); length > 0; length = length === 1 ? 0 : Math.ceil(length / 2)) {
    for (let start = shortest.length - length; start >= 0; start -= length) {
      const candidate = [...shortest.slice(0, start), ...shortest.slice(start + length)]
      const { wrong } = await run(options, candidate)
      if (wrong.length > 0) shortest = candidate
    }
  }
  return shortest
}

for (const [index, { title, weights, runs, found = [], hasSteadyFollower }] of PROFILES.entries()) {
  t.test(`viewers are told everything once, in order, and of every loss, ${title}`, async (t) => {
    const [onlyProfile, onlySeed] = (process.env['SEQUENCER_SEED'] ?? '').split(':').map(Number)
    if (onlySeed !== undefined && onlyProfile !== index) return
    const factor = Number(process.env['SEQUENCER_RUNS'] ?? 1)
    const seeds = onlySeed === undefined ? [...Array.from({ length: runs * factor }, (_, run) => run + 1), ...found] : [onlySeed]
    for (const seed of seeds) {
      const options = { seed, hasTwins: seed % 3 === 0, hasSteadyFollower }
      const steps = randomSteps(seed, weights)
      const { wrong, at } = await run(options, steps)
      if (wrong.length === 0) continue
      const shortest = await shrink(options, steps, at)
      const again = await run(options, shortest)
      t.fail(`seed ${seed}`, { replay: `SEQUENCER_SEED=${index}:${seed}`, wrong: again.wrong.slice(0, 4), steps: shortest.map(({ type, a, b }) => `${type} ${a} ${b}`), description: again.description.split('\n') })
      return
    }
    t.pass('no run goes wrong')
  })
}
