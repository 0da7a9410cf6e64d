import t from 'tap'
import { RedisBroker } from '../../src/broker/redis-broker.js'
import { RedisCluster } from '../../src/broker/redis-cluster.js'
import { systemClock } from '../../src/clock.js'
import { brokerContract } from '../fixtures/broker-contract.js'
import { eventually } from '../fixtures/eventually.js'
import { recordLog } from '../fixtures/redis.js'
import { startCluster } from '../fixtures/redis-cluster.js'

const { masters } = await startCluster(t)

brokerContract(t, async (t) => {
  const { log } = recordLog()
  // One of them is enough to find the others.
  const clusterNodes = masters.slice(0, 1).map(({ server: { port } }) => ({ host: '127.0.0.1', port }))
  const nodes = new RedisCluster({ clusterNodes, password: '', timeoutMs: 1000 }, systemClock, log)
  const broker = new RedisBroker({ nodes, clock: systemClock, log, endedTtlMs: 60_000, logTtlMs: 60_000, maxMessageBytes: 1_000_000, isMetered: false })
  t.teardown(() => {
    broker.close()
    nodes.close()
  })
  await eventually('the cluster is known', () => nodes.isReady)
  const [master] = masters
  return { broker, tell: async (channel, payload) => await master?.admin.publish(channel, payload) }
})
