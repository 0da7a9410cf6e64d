import { parseArgs } from 'node:util'
import { CONTENDERS, SUBJECT, type Contender } from './contenders.js'
import { quick, QUICK_SCENARIOS, SCENARIOS, type Scenario } from './scenarios.js'

export interface Options {
  readonly scenarios: readonly Scenario[]
  /** The server itself comes first. */
  readonly contenders: readonly Contender[]
  readonly rounds: number
  /** Folder of the report. */
  readonly out: string
}

const USAGE = `usage: npm run bench -- [--quick] [--scenario name,name] [--rival name,name] [--rounds 1] [--out deploy/bench]

  --quick     a minute instead of twenty: ${QUICK_SCENARIOS.join(', ')} by default, 3 s each
  --rounds    by turns; the median of each figure counts

scenarios
${SCENARIOS.map(({ name, about }) => `  ${name.padEnd(20)}${about}`).join('\n')}

rivals
${CONTENDERS.filter(({ name }) => name !== SUBJECT).map(({ name, about, onRequest }) => `  ${name.padEnd(20)}${about}${onRequest ? ' (only when named)' : ''}`).join('\n')}
`

function usage (problem: string): never {
  console.error(`${problem}\n\n${USAGE}`)
  process.exit(2)
}

function named<T extends { readonly name: string }> (all: readonly T[], names: string): T[] {
  return names.split(',').map((name) => all.find((each) => each.name === name) ?? usage(`no such name: ${name}`))
}

export function readOptions (): Options {
  try {
    const { values } = parseArgs({
      options: {
        quick: { type: 'boolean', default: false },
        scenario: { type: 'string' },
        rival: { type: 'string' },
        rounds: { type: 'string', default: '1' },
        out: { type: 'string', default: 'deploy/bench' }
      }
    })
    const rounds = Number(values.rounds)
    if (!Number.isInteger(rounds) || rounds < 1) usage('--rounds takes a number from 1')
    const scenarios = named(SCENARIOS, values.scenario ?? (values.quick ? QUICK_SCENARIOS : SCENARIOS.map(({ name }) => name)).join(','))
    const rivals = CONTENDERS.filter(({ name }) => name !== SUBJECT)
    return {
      scenarios: values.quick ? scenarios.map(quick) : scenarios,
      contenders: [...named(CONTENDERS, SUBJECT), ...named(rivals, values.rival ?? rivals.filter(({ onRequest }) => !onRequest).map(({ name }) => name).join(','))],
      rounds,
      out: values.out
    }
  } catch (error) {
    return usage(String(error))
  }
}
