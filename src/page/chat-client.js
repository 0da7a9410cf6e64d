// @ts-check

// Watches one room over Server-Sent Events, and does what EventSource leaves undone: it finds out why a stream was
// refused, waits, renews the viewer's token and resumes after the last event it saw. No dependencies: copy the file or
// import it.
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
 * - `failed`: the server refuses this viewer, e.g. a bad room id, no permission or a token that has expired (final)
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
 * The code is `TOKEN_EXPIRED` when it let the viewer in, and the token has expired since without a `getToken` to renew it.
 * @typedef {{ status: number, code: string, message: string }} ChatFailure
 */

/**
 * @typedef {object} ChatClientOptions
 * @property {number} [recent] how many of the room's last messages to ask for first. Default 0
 * @property {(signal: AbortSignal) => Promise<string | null>} [getToken] gives the viewer's token. It is asked for a new
 *   one before each stream that this client opens, and when the last one has expired or was refused; what the browser
 *   reconnects by itself uses the last one. It has 10 s, after which, or when the client is closed, the signal aborts. If
 *   it fails it is asked again, at first after a second at the most, then ever more rarely, down to twice a minute. Null
 *   means that the token is in a cookie, which it has renewed. The token travels in the URL, as `access_token`
 * @property {boolean} [withCredentials] whether cookies, which may hold the token, go to another origin. Default false
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
const TOKEN_TIMEOUT_MS = 10_000
/** A server that asks for more patience than this is not believed. */
const RETRY_AFTER_MAX_MS = 600_000
/** Request Timeout, Too Early, Too Many Requests: the client errors that pass. */
const PASSING_CLIENT_ERRORS = [408, 425, 429]
/** @type {ChatFailure} */
const TOKEN_EXPIRED = { status: 401, code: 'TOKEN_EXPIRED', message: 'The viewer token has expired.' }

/** One room, watched until it ends, fails for good or `close()` is called. */
export class ChatClient {
  /** @type {URL} */ #url
  /** @type {ChatClientOptions} */ #options
  /** @type {ChatState} */ #state = 'connecting'
  /** @type {string | null} */ #lastEventId = null
  #lastBatchId = ''
  /** @type {EventSource | undefined} */ #source
  /** A probe, or the question for a token. @type {AbortController | undefined} */ #asking
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #timer
  /** Whether any stream was ever open. */ #hasWatched = false
  /** Refusals in a row. */ #refusals = 0
  /** Whether the last token was refused, and no stream opened since. */ #isTokenRefused = false

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
    const { getToken } = this.#options
    if (getToken) this.#openWithToken(getToken)
    else this.#connect(null)
  }

  /** @param {(signal: AbortSignal) => Promise<string | null>} getToken */
  async #openWithToken (getToken) {
    const asking = this.#asking = new AbortController()
    const token = await ask(getToken, asking)
    if (this.#asking !== asking) return // closed or opened anew meanwhile
    this.#asking = undefined
    if (token === undefined) this.#retryLater()
    else this.#connect(token)
  }

  /** @param {string | null} token */
  #connect (token) {
    const { recent, withCredentials = false } = this.#options
    const url = new URL(this.#url)
    if (token !== null) url.searchParams.set('access_token', token)
    if (this.#lastEventId !== null) url.searchParams.set('lastEventId', this.#lastEventId)
    else if (recent) url.searchParams.set('recent', String(recent))

    // The place where an earlier stream began was known to its EventSource only, which is gone.
    let isPlaceLost = this.#hasWatched && this.#lastEventId === null
    const source = this.#source = new EventSource(url, { withCredentials })
    source.onopen = () => {
      this.#refusals = 0
      this.#isTokenRefused = false
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
    source.addEventListener('viewers', (event) => {
      this.#saw(event) // it has no id of its own, but tells where the stream is
      this.#options.onViewers?.(JSON.parse(event.data).count)
    })
    source.addEventListener('unauthorized', (event) => {
      this.#saw(event)
      if (this.#options.getToken) this.#retryLater()
      else this.#finish('failed', TOKEN_EXPIRED)
    })
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
    const { getToken, withCredentials } = this.#options
    const asking = this.#asking = new AbortController()
    const { status, body, retryAfterMs } = await probe(url, withCredentials ? 'include' : 'same-origin', asking)
    if (this.#asking !== asking) return // closed or opened anew meanwhile
    this.#asking = undefined

    if (status === 204) return this.#end(null)
    const mayRenew = status === 401 && getToken !== undefined && !this.#isTokenRefused
    if (mayRenew) this.#isTokenRefused = true
    else if (isRefusal(status)) return this.#finish('failed', { status, ...parseError(body) })
    this.#retryLater(retryAfterMs)
  }

  /** @param {number} [afterMs] what the server asks for */
  #retryLater (afterMs = 0) {
    this.#stop()
    this.#become('reconnecting')
    if (this.#state !== 'reconnecting') return // closed by who was told
    const backoffMs = Math.min(BACKOFF_CAP_MS, BACKOFF_BASE_MS * 2 ** this.#refusals++)
    // Full jitter, so that viewers who were refused together, or whose tokens expired together, do not come back together.
    this.#timer = setTimeout(() => this.#open(), afterMs + Math.random() * backoffMs)
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
    this.#asking?.abort()
    this.#asking = undefined
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
 * Never throws: undefined means that there is no token yet, and it is to be asked for again. Aborted, it answers so at once.
 * @param {(signal: AbortSignal) => Promise<string | null>} getToken @param {AbortController} abort
 * @returns {Promise<string | null | undefined>}
 */
async function ask (getToken, abort) {
  const { signal } = abort
  const timeout = setTimeout(() => abort.abort(new Error('it takes too long')), TOKEN_TIMEOUT_MS)
  try {
    // Called later, for no callback is called from within the constructor.
    const answer = Promise.resolve().then(() => getToken(signal))
    const aborted = new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
    const token = await Promise.race([answer, aborted])
    if (token === null || (typeof token === 'string' && token !== '')) return token
    throw new TypeError('it gives no token')
  } catch (error) {
    const isClosed = signal.reason?.name === 'AbortError'
    if (!isClosed) console.warn('ChatClient: getToken failed, it is asked again later:', error)
  } finally {
    clearTimeout(timeout)
  }
}

/**
 * Asks for the same stream once more, to see the status. Never throws: status 0 means no answer.
 * @param {URL} url @param {RequestCredentials} credentials @param {AbortController} abort
 */
async function probe (url, credentials, abort) {
  const timeout = setTimeout(() => abort.abort(), PROBE_TIMEOUT_MS)
  const answer = { status: 0, body: '', retryAfterMs: 0 }
  try {
    const headers = { accept: 'text/event-stream' }
    const response = await fetch(url, { headers, credentials, cache: 'no-store', signal: abort.signal })
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
