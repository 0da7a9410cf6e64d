// The server as it is, but for what continuity costs: batches are neither logged nor told to other instances.
import { RedisBroker } from '../../../dist/src/broker/redis-broker.js'

RedisBroker.prototype.append = async () => true
await import('../../../dist/src/server.js')
