import t from 'tap'
import { MemoryBroker } from '../../src/broker/memory-broker.js'
import { brokerContract } from '../fixtures/broker-contract.js'

brokerContract(t, async () => ({ broker: new MemoryBroker(60_000) }))
