/**
 * Keys and channels in Redis. What stands in braces is what Redis Cluster hashes: all keys of a room share a slot.
 * `deploy/README.md` lists them with their bounds.
 */
export const ownerKey = (roomId: string) => `chat:{${roomId}}:owner`
export const logKey = (roomId: string) => `chat:{${roomId}}:log`
export const pendingKey = (roomId: string) => `chat:{${roomId}}:pending`
export const endedKey = (roomId: string) => `chat:{${roomId}}:ended`
export const viewersKey = (roomId: string) => `chat:{${roomId}}:viewers`
export const INSTANCES_KEY = 'chat:instances'

/** The channels of the contract with publishers. */
export const messageChannel = (roomId: string) => roomId
export const endChannel = (roomId: string) => `${roomId}_END`
/** What the owner logs, for its followers. */
export const batchesChannel = (roomId: string) => `chat:{${roomId}}:batches`
/** What instances that have the room open tell each other. */
export const signalsChannel = (roomId: string) => `chat:{${roomId}}:signals`
