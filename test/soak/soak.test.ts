import t from 'tap'
import { FAULT_NAMES } from './faults.js'
import { markdown } from './report.js'
import { soak } from './soak.js'

const seed = Number(process.env.SOAK_SEED ?? 21)

t.test('whatever happens to the cluster, every viewer gets each message once, or is told of a gap', async (t) => {
  const options = { minutes: 0.5, viewers: 300, instances: 3, seed, faultIntervalMs: 5000, faults: FAULT_NAMES, leaseMs: 2000 }
  const report = await soak(t, options, (line) => t.comment(line))
  const { findings, bill } = report
  if (findings.violationCount > 0) t.comment(`try again: SOAK_SEED=${seed} npx tap test/soak/soak.test.ts\n${markdown(report)}`)
  t.same(findings.violations, [], `seed ${seed}`)
  t.ok(findings.faults.size >= 3, `faults: ${[...findings.faults.keys()]}`)
  t.ok(findings.deliveries > 10_000, `${findings.deliveries} deliveries`)
  t.ok(bill.billed > 100, `${bill.billed} messages are billed`)
})
