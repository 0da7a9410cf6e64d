/** What is measured: the label with its unit, and the decimals that mean something. */
export const FIGURES = {
  cpuCores: { label: 'CPU, cores', digits: 3 },
  cpuPerDelivery: { label: 'CPU per delivery, µs', digits: 2 },
  cpuPerWrite: { label: 'CPU per viewer-write, µs', digits: 2 },
  writesPerSecond: { label: 'viewer-writes/s', digits: 0 },
  headsSeconds: { label: 'all have their head, s', digits: 2 },
  headP99: { label: 'head p99, ms', digits: 0 },
  liveSeconds: { label: 'all live again, s', digits: 2 },
  cpuPerViewer: { label: 'CPU per connection, µs', digits: 0 },
  p50: { label: 'latency p50, ms', digits: 1 },
  p99: { label: 'latency p99, ms', digits: 1 },
  p999: { label: 'latency p99.9, ms', digits: 1 },
  p99Before: { label: 'latency p99 before, ms', digits: 1 },
  p99After: { label: 'latency p99 after, ms', digits: 1 },
  rssPerViewer: { label: 'RSS per viewer, KiB', digits: 1 },
  rssIdle: { label: 'RSS idle, MiB', digits: 0 },
  rssPeak: { label: 'RSS peak, MiB', digits: 0 },
  bytesPerDelivery: { label: 'bytes on the wire per delivery', digits: 0 },
  deliveredPercent: { label: 'delivered, %', digits: 2 },
  lost: { label: 'lost', digits: 0 },
  told: { label: '  of these said by a gap event', digits: 0 },
  doubled: { label: 'doubled', digits: 0 },
  parsed: { label: 'streams parsed', digits: 0 },
  different: { label: 'streams that differ', digits: 0 },
  missing: { label: 'not live again within 60 s', digits: 0 },
  refused: { label: 'refused or cut off', digits: 0 },
  waitPercent: { label: 'server waited for its core, % of the time', digits: 1 },
  redisCores: { label: 'Redis CPU, cores', digits: 3 },
  loadCores: { label: 'load generator and publisher CPU, cores', digits: 3 }
} as const

export type FigureName = keyof typeof FIGURES

/** What does not apply is left out. */
export type Figures = Partial<Record<FigureName, number>>

/** Of these a ratio says something. */
export const COMPARED: ReadonlySet<FigureName> = new Set<FigureName>([
  'cpuCores', 'cpuPerDelivery', 'cpuPerWrite', 'writesPerSecond', 'headsSeconds', 'headP99', 'liveSeconds', 'cpuPerViewer',
  'p50', 'p99', 'p999', 'rssPerViewer', 'rssPeak', 'bytesPerDelivery', 'redisCores'
])

export function percentile (sorted: readonly number[], share: number): number | undefined {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]
}

export function median (values: readonly number[]): number | undefined {
  return percentile([...values].sort((a, b) => a - b), 0.5)
}

/** @returns of each figure the median over the rounds */
export function medians (rounds: readonly Figures[]): Figures {
  const result: Figures = {}
  // The keys of FIGURES are its names.
  for (const name of Object.keys(FIGURES) as FigureName[]) {
    const value = median(rounds.flatMap((figures) => figures[name] ?? []))
    if (value !== undefined) result[name] = value
  }
  return result
}

/** Sums of fractions are off by less. */
const ROUNDING_ERROR = 1e-6

/** @returns the figure as it is shown; what falls short of 100 % is not rounded up to it */
export function format (name: FigureName, value: number | undefined): string {
  if (value === undefined) return 'n/a'
  const { digits } = FIGURES[name]
  const shown = name === 'deliveredPercent' ? Math.floor(value * 100 + ROUNDING_ERROR) / 100 : value
  return shown.toFixed(digits).replace(/\B(?=(\d{3})+(?=$|\.))/g, ',')
}
