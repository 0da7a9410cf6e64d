// What fanning out costs, beside other ways to do it, in the same run. See options.ts for what can be chosen, scenarios.ts
// for what is measured and contenders.ts for the rivals.
//
//   npm run bench -- --quick
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { RedisServer } from '../../deploy/local-cluster/redis-server.js'
import { chart } from './chart.js'
import { SUBJECT, type Contender } from './contenders.js'
import { describeMachine } from './machine.js'
import { readOptions } from './options.js'
import { header, table } from './report.js'
import { summary, type Outcome, type ScenarioResult } from './results.js'
import { runScenario } from './runs/run.js'
import type { Scenario } from './scenarios.js'

const { scenarios, contenders, rounds, out } = readOptions()
// Ends the children too.
process.on('SIGINT', () => process.exit(1)).on('SIGTERM', () => process.exit(1))

const missing = new Map(contenders.map(({ name, install }) => [name, install?.()]))
const machine = describeMachine()
console.log(`\n${header(machine)}`)

/** @returns why there is nothing to measure */
function notApplicable (scenario: Scenario, contender: Contender): string | undefined {
  if (scenario.kind === 'reconnect' && !contender.resumes) return 'n/a: viewers do not get what they missed'
  if (scenario.kind === 'steady' && scenario.isDefault && contender.name !== SUBJECT) return 'n/a: no heartbeats'
  return undefined
}

const redis = await RedisServer.start()
const results: ScenarioResult[] = []
for (const scenario of scenarios) {
  const outcomes = contenders.map((contender) => {
    const reason = missing.get(contender.name) ?? notApplicable(scenario, contender)
    const outcome: Outcome = { contender: contender.name, rounds: [], ...(reason === undefined ? {} : { reason }) }
    return { contender, outcome }
  })
  // By turns, because the machine may be busier at one time than at another.
  for (let round = 0; round < rounds; round++) {
    for (const { contender, outcome } of outcomes) {
      if (outcome.reason !== undefined) continue
      try {
        outcome.rounds.push(await runScenario(scenario, contender, redis))
      } catch (error) {
        outcome.reason = `failed: ${String(error)}`
      }
    }
  }
  const result = { scenario, outcomes: outcomes.map(({ outcome }) => outcome) }
  results.push(result)
  console.log(table(result))
}
await redis.stop()

mkdirSync(out, { recursive: true })
const scenarioFigures = results.map(({ scenario, outcomes }) => ({ ...scenario, contenders: outcomes.map((outcome) => ({ ...outcome, median: summary(outcome) })) }))
const rounded = (_: string, value: unknown) => typeof value === 'number' ? Number(value.toPrecision(6)) : value
writeFileSync(join(out, 'latest.json'), `${JSON.stringify({ ...machine, rounds, scenarios: scenarioFigures }, rounded, 2)}\n`)
writeFileSync(join(out, 'latest.svg'), chart(machine, results))
console.log(`written: ${join(out, 'latest.json')} and latest.svg`)
// A run that failed may have left something behind that would keep the process alive.
process.exit()
