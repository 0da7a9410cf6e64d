import { SUBJECT } from './contenders.js'
import { COMPARED, FIGURES, format, type FigureName, type Figures } from './figures.js'
import type { Machine } from './machine.js'
import { summary, type ScenarioResult } from './results.js'
import { title } from './scenarios.js'

/** Above this the load generator has no time to spare, and messages wait for it. */
const BUSY_LOAD_CORES = 0.9
/** Above this the figures are also those of whatever else ran on the machine. */
const MUCH_WAITING_PERCENT = 5

export function header (machine: Machine): string {
  const versions = Object.entries(machine.versions).map(([name, version]) => `${name} ${version}`).join(', ')
  return `${machine.processors}, ${machine.memoryGiB} GiB, Linux ${machine.kernel}; commit ${machine.commit}; ${machine.date}
${versions}
${machine.cores}
× says how many times the figure of ${SUBJECT} in the same run. A viewer-write is one event, or WebSocket frame, to one viewer; a delivery one message to one viewer.
CPU is what the operating system accounts to all threads of the server, kernel time included. Latency is from publish to receipt, and includes the load generator's own delay.
`
}

function cell (name: FigureName, figures: Figures | undefined, ours: Figures | undefined): string {
  const value = figures?.[name]
  const base = ours?.[name]
  const shown = format(name, value)
  if (value === undefined || figures === ours || !base || !COMPARED.has(name)) return shown
  const ratio = value / base
  return `${shown} (${ratio.toFixed(ratio < 10 ? 2 : 0)}×)`
}

/** @returns one column a contender, one row a figure */
export function table ({ scenario, outcomes }: ScenarioResult): string {
  const summaries = outcomes.map((outcome) => ({ ...outcome, figures: summary(outcome) }))
  const ours = summaries.find(({ contender }) => contender === SUBJECT)?.figures
  const columns = summaries.filter(({ figures }) => figures !== undefined)
  // The keys of FIGURES are its names.
  const names = (Object.keys(FIGURES) as FigureName[]).filter((name) => columns.some(({ figures }) => figures?.[name] !== undefined))
  const lines = [
    ['', ...columns.map(({ contender }) => contender)],
    ...names.map((name) => [FIGURES[name].label, ...columns.map(({ figures }) => cell(name, figures, ours))])
  ]
  const widths = lines[0]?.map((_, column) => Math.max(...lines.map((line) => line[column]?.length ?? 0))) ?? []
  const text = lines.map((line) => line.map((value, column) => column === 0 ? value.padEnd(widths[0] ?? 0) : value.padStart(widths[column] ?? 0)).join('  ').trimEnd()).join('\n')
  const remarks = summaries.flatMap(({ contender, reason, figures }) => [
    ...(reason === undefined ? [] : [`${contender}: ${reason}`]),
    ...((figures?.loadCores ?? 0) > BUSY_LOAD_CORES ? [`${contender}: the load generator was busy all the time; latencies are partly its own`] : []),
    ...((figures?.waitPercent ?? 0) > MUCH_WAITING_PERCENT ? [`${contender}: other processes used the server's core; measure again on a machine that is at rest`] : [])
  ])
  return [title(scenario), text, ...remarks, ''].join('\n')
}
