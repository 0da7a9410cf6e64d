import type { RedisServer } from '../../../deploy/local-cluster/redis-server.js'
import type { Contender } from '../contenders.js'
import type { Figures } from '../figures.js'
import type { Scenario } from '../scenarios.js'
import { runOverload } from './overload.js'
import { runReconnect } from './reconnect.js'
import { withStage } from './stage.js'
import { runSteady } from './steady.js'
import { runStorm } from './storm.js'

/** Of load generators. One has a core to itself when there are more than two. */
const PROCESSES = 2

export async function runScenario (scenario: Scenario, contender: Contender, redis: RedisServer): Promise<Figures> {
  const isDefault = scenario.kind === 'steady' && scenario.isDefault
  return await withStage(contender, redis, PROCESSES, isDefault, async (stage) => {
    switch (scenario.kind) {
      case 'steady': return await runSteady(scenario, stage)
      case 'storm': return await runStorm(scenario, stage)
      case 'overload': return await runOverload(scenario, stage)
      case 'reconnect': return await runReconnect(scenario, stage)
    }
  })
}
