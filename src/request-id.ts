import type { IncomingMessage } from 'node:http'

/** What a load balancer calls a request: a UUID, or something like one. Anything else could be meant for the log's reader. */
const REQUEST_ID = /^[\w.:-]{8,64}$/

/** The name of a request in the log: that of the load balancer, so that its log and this one can be read side by side, or a new one. */
export function requestId ({ headers }: Pick<IncomingMessage, 'headers'>): string {
  const id = headers['x-request-id']
  return typeof id === 'string' && REQUEST_ID.test(id) ? id : crypto.randomUUID()
}
