import type { Broker } from '../broker/broker.js'
import type { Clock } from '../clock.js'
import type { Counters } from '../counters.js'
import type { FlushGovernor } from '../flush-governor.js'
import type { Log } from '../log.js'
import type { Gate } from './gate.js'
import type { Membership } from './membership.js'

/** What the sequencers of an instance share. */
export interface SequencerContext {
  readonly broker: Broker
  readonly membership: Membership
  /** How many rooms may ask for their owner at a time. */
  readonly gate: Gate
  readonly governor: FlushGovernor
  readonly counters: Counters
  readonly clock: Clock
  readonly log: Log
}
