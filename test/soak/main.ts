// Thousands of viewers of a real cluster to which one fault after another happens. See README.md.
//
//   npm run soak -- --minutes 5 --viewers 1500
import { TeardownList } from '../fixtures/teardowns.js'
import { readOptions } from './options.js'
import { markdown } from './report.js'
import { soak } from './soak.js'

// Ends the children too.
process.on('SIGINT', () => process.exit(1)).on('SIGTERM', () => process.exit(1))

const teardowns = new TeardownList()
const report = await soak(teardowns, readOptions(), (line) => console.log(line))
console.log(`\n${markdown(report)}`)
await teardowns.run()
process.exit(report.findings.violationCount === 0 ? 0 : 1)
