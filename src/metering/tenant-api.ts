import type { Clock } from '../clock.js'
import type { OutstandingRecord } from './ledger.js'

/** Longest pause that the tenant API can ask for. */
const MAX_RETRY_AFTER_MS = 3_600_000
/** What is read of an answer's body, so that the connection can be used again; a longer one costs the connection. */
const MAX_BODY_BYTES = 65_536

/**
 * Statuses of which another attempt may come to another end: too slow, the same key is just being worked on, too early,
 * too many. Source of 409: the Idempotency-Key HTTP Header Field draft, section 2.6.
 */
const PASSING = new Set([408, 409, 425, 429])

/** What became of a POST. */
export type BillingOutcome =
  | { readonly result: 'billed' }
  /** Nobody knows, or not yet. */
  | { readonly result: 'failed', readonly reason: string, readonly retryAfterMs?: number }
  /** For good. */
  | { readonly result: 'refused', readonly status: number }

export interface TenantApiOptions {
  /** With or without a path, a user and password (sent as Basic authorization), a slash at the end. */
  readonly baseUrl: string
  /** How long the tenant API may take to answer. */
  readonly timeoutMs: number
  readonly clock: Clock
}

/**
 * Makes what bills one record; it never throws.
 *
 * Reasons are codes and names, never messages: those of fetch can hold the URL, and that a password.
 *
 * @throws Error that does not tell the URL, when it is none
 */
export function tenantApi ({ baseUrl, timeoutMs, clock }: TenantApiOptions) {
  const { url, authorization } = parseBaseUrl(baseUrl)

  return async function bill ({ roomId, key, count }: OutstandingRecord): Promise<BillingOutcome> {
    try {
      const response = await fetch(url, {
        method: 'POST',
        headers: { 'Content-Type': 'application/json', 'Idempotency-Key': key, ...authorization },
        body: JSON.stringify({ sessionId: roomId, count }),
        redirect: 'manual',
        signal: AbortSignal.timeout(timeoutMs)
      })
      await drain(response)
      return outcome(response, clock.epochMs())
    } catch (error) {
      return { result: 'failed', reason: nameOf(error) }
    }
  }
}

function parseBaseUrl (baseUrl: string) {
  try {
    const url = new URL(baseUrl)
    const credentials = [url.username, url.password].map(decodeURIComponent).join(':')
    url.username = url.password = ''
    url.pathname = `${url.pathname.replace(/\/+$/, '')}/api/v1/billings`
    return { url, authorization: credentials === ':' ? {} : { Authorization: `Basic ${Buffer.from(credentials).toString('base64')}` } }
  } catch {
    // The cause is left out on purpose: it holds the URL.
    throw new Error('TENANT_BASE_URL is not a URL')
  }
}

/** The status is all that counts: a body that breaks off changes nothing. */
async function drain ({ body }: Response) {
  let bytes = 0
  try {
    for await (const chunk of body ?? []) {
      bytes += chunk.length
      if (bytes > MAX_BODY_BYTES) break
    }
  } catch {}
}

function outcome ({ ok, status, headers }: Response, nowMs: number): BillingOutcome {
  if (ok) return { result: 'billed' }
  if (status >= 400 && status < 500 && !PASSING.has(status)) return { result: 'refused', status }
  const retryAfterMs = status === 429 || status === 503 ? parseRetryAfter(headers.get('Retry-After'), nowMs) : undefined
  return { result: 'failed', reason: `HTTP ${status}`, ...(retryAfterMs === undefined ? {} : { retryAfterMs }) }
}

/** Seconds or a date: RFC 9110, section 10.2.3. */
function parseRetryAfter (value: string | null, nowMs: number) {
  if (value === null) return undefined
  const delayMs = /^\d+$/.test(value) ? Number(value) * 1000 : Date.parse(value) - nowMs
  return Number.isNaN(delayMs) ? undefined : Math.min(Math.max(delayMs, 0), MAX_RETRY_AFTER_MS)
}

function nameOf (error: unknown) {
  if (!(error instanceof Error)) return 'unknown'
  const { cause } = error
  return cause instanceof Error && 'code' in cause ? String(cause.code) : error.name
}
