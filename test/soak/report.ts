import type { SoakReport } from './soak.js'

const VIOLATIONS_TOLD = 30

/** What came of a soak, as a Markdown table, and what went wrong below it. */
export function markdown ({ options, findings, vitals, bill }: SoakReport): string {
  const counts = (of: ReadonlyMap<string, number>) => [...of].sort(([, a], [, b]) => b - a).map(([name, number]) => `${name} ${number}`).join(', ') || 'none'
  const rows: Array<[string, string]> = [
    ['minutes, viewers, instances, seed', `${options.minutes}, ${options.viewers}, ${options.instances}, ${options.seed}`],
    [`faults: ${[...findings.faults.values()].reduce((sum, number) => sum + number, 0)}`, counts(findings.faults)],
    ['messages published', `${findings.published}; ${findings.unheard} of them while no instance listened; besides ${findings.unsure} of which nobody knows`],
    ['deliveries', `${findings.deliveries}; ${findings.late} of them late, ${findings.repeated} again behind a gap`],
    ['told as missing', `${findings.missed}`],
    ['gaps', counts(findings.gaps)],
    ['streams', `${findings.connects}, ${findings.reconnects} of them reconnects`],
    ['told to come back later', counts(findings.refusals)],
    ['rooms ended', `${findings.ended}`],
    ['billed / logged', `${bill.billed} / ${bill.logged} messages, in ${bill.requests} requests`],
    ...vitals.map(({ name, seconds, rssMiB, heapMiB, descriptors }): [string, string] =>
      [name, `${seconds === 0 ? 'too young to tell its memory' : `RSS ${rssMiB.join(' → ')} MiB, heap ${heapMiB.join(' → ')} MiB in ${seconds} s`}; descriptors ${descriptors.join(' → ')}`]),
    ['warnings and errors logged', counts(findings.complaints)],
    ['**violations**', `**${findings.violationCount}**`]
  ]
  const told = findings.violations.slice(0, VIOLATIONS_TOLD).map(({ kind, detail, atSeconds, fault }) => `- ${kind} at ${Math.round(atSeconds)} s, after ${fault}: ${detail}`)
  return ['| | |', '|---|---|', ...rows.map(([name, value]) => `| ${name} | ${value} |`), '', ...told, ''].join('\n')
}
