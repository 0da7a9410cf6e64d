// @ts-check

// Watches one room over Server-Sent Events, and does what EventSource leaves undone: it finds out why a stream was
// refused, waits, and resumes after the last event it saw. No dependencies: copy the file or import it.
//
//   const client = new ChatClient('https://chat.example/api/v1/chats/sse-connect/<roomId>', {
//     recent: 50,
//     onMessages: (messages) => messages.forEach(show),
//     onEnd: () => show('The chat is over')
//   })

/**
 * - `connecting`: the first stream is being opened
 * - `open`: the stream is live
 * - `reconnecting`: the stream broke or was refused for a reason that passes; nothing needs to be done
 * - `ended`: the room is over (final)
 * - `failed`: the server refuses this viewer, e.g. a bad room id or no permission (final)
 * - `closed`: `close()` was called (final)
 * @typedef {'connecting' | 'open' | 'reconnecting' | 'ended' | 'failed' | 'closed'} ChatState
 */

/**
 * Messages that were, or may have been, lost. `from` and `to` are event ids, `missed` is a number of messages; each is
 * null when it is not known. The server gives the `reason`; `unknown-id` also comes from this client, when it must join
 * anew without having seen an event it could resume after.
 * @typedef {{ reason: string, from: string | null, to: string | null, missed: number | null }} ChatGap
 */

/**
 * Why the server refused: the HTTP status, and `code` and `message` of its error body (empty if it sent another body).
 * @typedef {{ status: number, code: string, message: string }} ChatFailure
 */

/**
 * @typedef {object} ChatClientOptions
 * @property {number} [recent] how many of the room's last messages to ask for first. Default 0
 * @property {(messages: string[], lastEventId: string) => void} [onMessages] one batch, in publishing order, each
 *   message exactly as it was published: usually JSON, but parse it with care
 * @property {(count: number) => void} [onViewers] how many watch the room: when that is known, and when it has changed
 * @property {(gap: ChatGap) => void} [onGap] some messages were, or may have been, lost here
 * @property {(payload: string | null) => void} [onEnd] the room is over. The payload is what its publisher sent, or
 *   null when the room had ended before this client could see it
 * @property {(state: ChatState, failure?: ChatFailure) => void} [onStateChange] called on changes only, so not for the
 *   first `connecting`; `failure` comes with `failed`
 */

const BACKOFF_BASE_MS = 1_000
const BACKOFF_CAP_MS = 30_000
const PROBE_TIMEOUT_MS = 10_000
/** A server that asks for more patience than this is not believed. */
const RETRY_AFTER_MAX_MS = 600_000
/** Request Timeout, Too Early, Too Many Requests: the client errors that pass. */
const PASSING_CLIENT_ERRORS = [408, 425, 429]

/** One room, watched until it ends, fails for good or `close()` is called. */
export class ChatClient {
  /** @type {URL} */ #url
  /** @type {ChatClientOptions} */ #options
  /** @type {ChatState} */ #state = 'connecting'
  /** @type {string | null} */ #lastEventId = null
  #lastBatchId = ''
  /** @type {EventSource | undefined} */ #source
  /** @type {AbortController | undefined} */ #probing
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #timer
  /** Whether any stream was ever open. */ #hasWatched = false
  /** Refusals in a row. */ #refusals = 0

  /**
   * Connects at once. Callbacks are never called from within the constructor.
   * @param {string | URL} url the room's stream, `…/api/v1/chats/sse-connect/{roomId}`; may be on another origin, and
   *   may carry a query of its own, such as the `lastEventId` to resume after
   * @param {ChatClientOptions} [options]
   */
  constructor (url, options = {}) {
    this.#url = new URL(url, location.href)
    this.#lastEventId = this.#url.searchParams.get('lastEventId') || null
    this.#options = options
    addEventListener('online', this.#online)
    this.#open()
  }

  /** @returns {ChatState} */
  get state () { return this.#state }

  /** Id of the last event seen, after which a later client can resume (`?lastEventId=`); null before the first. */
  get lastEventId () { return this.#lastEventId }

  /** Stops watching. Safe to call at any time, any number of times; no callback but `closed` comes afterwards. */
  close () { this.#finish('closed') }

  #open () {
    this.#stop()
    const url = new URL(this.#url)
    if (this.#lastEventId !== null) url.searchParams.set('lastEventId', this.#lastEventId)
    else if (this.#options.recent) url.searchParams.set('recent', String(this.#options.recent))

    // The place where an earlier stream began was known to its EventSource only, which is gone.
    let isPlaceLost = this.#hasWatched && this.#lastEventId === null
    const source = this.#source = new EventSource(url)
    source.onopen = () => {
      this.#refusals = 0
      this.#hasWatched = true
      this.#become('open')
      if (isPlaceLost && source === this.#source) this.#options.onGap?.({ reason: 'unknown-id', from: null, to: null, missed: null })
      isPlaceLost = false
    }
    source.onerror = () => {
      const refused = source.readyState === EventSource.CLOSED // otherwise the browser reconnects by itself
      this.#become('reconnecting')
      if (refused && source === this.#source) this.#recover(url)
    }
    source.onmessage = (event) => {
      this.#saw(event)
      if (isRepeat(this.#lastBatchId, event.lastEventId)) return
      this.#lastBatchId = event.lastEventId
      this.#options.onMessages?.(JSON.parse(event.data), event.lastEventId)
    }
    source.addEventListener('gap', (event) => {
      this.#saw(event)
      this.#options.onGap?.(JSON.parse(event.data))
    })
    source.addEventListener('viewers', (event) => this.#options.onViewers?.(JSON.parse(event.data).count))
    source.addEventListener('end', (event) => {
      this.#saw(event)
      this.#end(event.data)
    })
  }

  /** @param {MessageEvent} event */
  #saw (event) {
    if (event.lastEventId !== '') this.#lastEventId = event.lastEventId
  }

  /** EventSource gave up and does not say why: ask, then stop or try again. @param {URL} url */
  async #recover (url) {
    const probing = this.#probing = new AbortController()
    const { status, body, retryAfterMs } = await probe(url, probing)
    if (this.#probing !== probing) return // closed or opened anew meanwhile
    this.#probing = undefined

    if (status === 204) return this.#end(null)
    if (isRefusal(status)) return this.#finish('failed', { status, ...parseError(body) })
    const backoffMs = Math.min(BACKOFF_CAP_MS, BACKOFF_BASE_MS * 2 ** this.#refusals++)
    // Full jitter, so that viewers who were refused together do not come back together.
    this.#timer = setTimeout(() => this.#open(), retryAfterMs + Math.random() * backoffMs)
  }

  #online = () => {
    if (this.#state !== 'reconnecting') return
    // With no event seen yet, the id the server gave at connect is known to the browser's own retry only: leave it be.
    if (this.#timer === undefined && this.#lastEventId === null) return
    this.#refusals = 0
    this.#open()
  }

  /** @param {string | null} payload */
  #end (payload) {
    if (this.#finish('ended')) this.#options.onEnd?.(payload)
  }

  /** @param {'ended' | 'failed' | 'closed'} state @param {ChatFailure} [failure] @returns {boolean} whether it was live */
  #finish (state, failure) {
    if (['ended', 'failed', 'closed'].includes(this.#state)) return false
    this.#stop()
    removeEventListener('online', this.#online)
    this.#become(state, failure)
    return true
  }

  #stop () {
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#probing?.abort()
    this.#probing = undefined
    this.#source?.close()
    this.#source = undefined
  }

  /** @param {ChatState} state @param {ChatFailure} [failure] */
  #become (state, failure) {
    if (state === this.#state) return
    this.#state = state
    this.#options.onStateChange?.(state, failure)
  }
}

/**
 * Asks for the same stream once more, to see the status. Never throws: status 0 means no answer.
 * @param {URL} url @param {AbortController} abort
 */
async function probe (url, abort) {
  const timeout = setTimeout(() => abort.abort(), PROBE_TIMEOUT_MS)
  const answer = { status: 0, body: '', retryAfterMs: 0 }
  try {
    const headers = { accept: 'text/event-stream' }
    const response = await fetch(url, { headers, cache: 'no-store', signal: abort.signal })
    answer.status = response.status
    answer.retryAfterMs = parseRetryAfter(response.headers.get('retry-after'))
    if (isRefusal(response.status)) answer.body = await response.text()
  } catch {
    // No network, no server, or no answer in time: that passes.
  }
  clearTimeout(timeout)
  abort.abort() // a 200 is a live stream of its own: let it go
  return answer
}

/** @param {number} status */
function isRefusal (status) {
  return status >= 400 && status < 500 && !PASSING_CLIENT_ERRORS.includes(status)
}

/** Whether the batch was delivered before: within a term (`<term>-<n>`) numbers only grow. @param {string} last @param {string} id */
function isRepeat (last, id) {
  const [lastTerm, lastN] = last.split('-')
  const [term, n] = id.split('-')
  return term === lastTerm && Number(n) <= Number(lastN)
}

/** @param {string | null} value seconds; the rarer form, a date, counts as none @returns {number} milliseconds */
function parseRetryAfter (value) {
  return Math.min(Math.max(0, Number(value) * 1_000 || 0), RETRY_AFTER_MAX_MS)
}

/** @param {string} body */
function parseError (body) {
  try {
    const { code, message } = JSON.parse(body)
    return { code: String(code ?? ''), message: String(message ?? '') }
  } catch {
    return { code: '', message: '' } // a proxy's error page, for example
  }
}
