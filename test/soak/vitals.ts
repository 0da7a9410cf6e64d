import type { Instance } from '../../deploy/local-cluster/cluster.js'
import { descriptors, rssKiB } from '../bench/procfs.js'
import { scrape } from '../fixtures/metrics.js'
import type { Findings } from './findings.js'

const SAMPLE_INTERVAL_MS = 5000
/** Memory moves up and down as it is collected: what counts is the least of so many samples. */
const WINDOW = 12
/** So many do not count, but at most the first third: code is compiled, viewers come, and the histories of the rooms fill. */
const WARM_UP = 100

interface Sample {
  readonly rssMiB: number
  readonly heapMiB: number
}

type Change = readonly [first: number, last: number]

/** Of one process: after it has warmed up, and in the end. */
export interface Vitals {
  readonly name: string
  readonly seconds: number
  readonly rssMiB: Change
  readonly heapMiB: Change
  readonly descriptors: Change
}

/** Watches the memory of instances while the soak runs. */
export class VitalSigns {
  readonly #samples = new Map<Instance, Sample[]>()
  #timer: NodeJS.Timeout | undefined

  constructor (private readonly instances: readonly Instance[]) {}

  start () {
    this.#timer = setInterval(() => {
      for (const instance of this.instances) this.#take(instance).catch(() => {})
    }, SAMPLE_INTERVAL_MS)
  }

  stop () {
    clearInterval(this.#timer)
  }

  /**
   * Looks whether an instance that has lived for long has become larger.
   *
   * @param idleDescriptors what one has open that nobody uses
   */
  judge (instance: Instance, idleDescriptors: number, findings: Findings): Vitals {
    const samples = this.#samples.get(instance) ?? []
    const counted = samples.slice(Math.min(WARM_UP, samples.length / 3))
    const window = Math.max(1, Math.min(WINDOW, Math.floor(counted.length / 2)))
    const least = (of: keyof Sample): Change => {
      const [first, last] = [counted.slice(0, window), counted.slice(-window)].map((samples) => Math.round(Math.min(...samples.map((sample) => sample[of]))))
      return [first ?? NaN, last ?? NaN]
    }
    const vitals = {
      name: instance.address,
      seconds: counted.length * SAMPLE_INTERVAL_MS / 1000,
      rssMiB: least('rssMiB'),
      heapMiB: least('heapMiB'),
      descriptors: [idleDescriptors, openDescriptors(instance)] as const
    }
    for (const [what, [first, last], growthMiB] of [['RSS', vitals.rssMiB, 64], ['heap', vitals.heapMiB, 24]] as const) {
      if (counted.length >= 3 * WINDOW && last > 1.25 * first + growthMiB) findings.violate('leak', `${what} of ${vitals.name} grew from ${first} to ${last} MiB in ${vitals.seconds} s`)
    }
    return vitals
  }

  async #take (instance: Instance) {
    // One that stands still does not answer; it is not asked again before it does.
    const heap = (await scrape(instance.metricsUrl)).get('nodejs_heap_size_used_bytes') ?? NaN
    const samples = this.#samples.get(instance) ?? []
    this.#samples.set(instance, samples)
    samples.push({ rssMiB: rssKiB([instance.process.pid]) / 1024, heapMiB: heap / 2 ** 20 })
  }
}

export const openDescriptors = ({ process }: Instance) => descriptors(process.pid)
