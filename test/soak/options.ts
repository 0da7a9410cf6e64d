import { parseArgs } from 'node:util'
import { FAULT_NAMES, type FaultName } from './faults.js'

export interface SoakOptions {
  /** How long faults happen. */
  readonly minutes: number
  readonly viewers: number
  readonly instances: number
  /** Decides on faults, rooms and viewers: the same seed tries the same. When exactly what happens, it does not decide. */
  readonly seed: number
  readonly faultIntervalMs: number
  readonly faults: readonly FaultName[]
  /** Folder for what each process writes, at the level debug; undefined: that is not kept. */
  readonly logs?: string
  /** LEASE_MS of the instances: most of what is waited for takes as long, or so many times longer. */
  readonly leaseMs: number
}

const USAGE = `usage: npm run soak -- [--minutes 30] [--viewers 5000] [--instances 3] [--seed 1] [--fault-seconds 20] [--faults 'kill redis,cut link'] [--logs folder]

faults, by default all: ${FAULT_NAMES.join(', ')}
`

function usage (problem: string): never {
  console.error(`${problem}\n\n${USAGE}`)
  process.exit(2)
}

export function readOptions (): SoakOptions {
  try {
    const { values } = parseArgs({
      options: {
        minutes: { type: 'string', default: '30' },
        viewers: { type: 'string', default: '5000' },
        instances: { type: 'string', default: '3' },
        seed: { type: 'string', default: '1' },
        'fault-seconds': { type: 'string', default: '20' },
        logs: { type: 'string' },
        faults: { type: 'string', default: FAULT_NAMES.join(',') }
      }
    })
    const [minutes = NaN, viewers = NaN, instances = NaN, seed = NaN, faultSeconds = NaN] =
      [values.minutes, values.viewers, values.instances, values.seed, values['fault-seconds']].map(Number)
    if (!(minutes > 0) || !(faultSeconds > 0)) usage('--minutes and --fault-seconds take numbers above 0')
    if (!Number.isInteger(viewers) || viewers < 50 || viewers > 8000) usage('--viewers takes 50 to 8000')
    if (!Number.isInteger(instances) || instances < 2 || instances > 8) usage('--instances takes 2 to 8')
    if (!Number.isInteger(seed)) usage('--seed takes a whole number')
    const faults = values.faults.split(',').map((name) => FAULT_NAMES.find((fault) => fault === name) ?? usage(`no such fault: ${name}`))
    return { minutes, viewers, instances, seed, faultIntervalMs: faultSeconds * 1000, faults, leaseMs: 4000, ...(values.logs === undefined ? {} : { logs: values.logs }) }
  } catch (error) {
    return usage(String(error))
  }
}
