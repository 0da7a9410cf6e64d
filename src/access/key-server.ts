import { createRemoteJWKSet, errors, type CompactJWSHeaderParameters, type FlattenedJWSInput } from 'jose'
import { LRUCache } from 'lru-cache'
import type { Clock } from '../clock.js'
import type { Log } from '../log.js'
import { KeysUnavailableError, type TokenKeys } from './token-keys.js'

const TIMEOUT_MS = 3000
/** The key server is not asked more often. */
const COOLDOWN_MS = 10_000
/** Keys older than this are fetched again, which takes those that were withdrawn out of force; meanwhile they are used. */
const MAX_AGE_MS = 300_000
/** Unknown key ids that are remembered, and for how long: longer than a viewer that was told to come back takes. */
const MAX_UNKNOWN_IDS = 1000
const UNKNOWN_ID_TTL_MS = 60_000
const MAX_ID_LENGTH = 256

/**
 * The public keys at a JWKS URL (RFC 7517). They stay in force while the key server is away. A key id that is not among them
 * makes the instance ask for new ones, at most once in 10 s.
 *
 * Whether an unknown id is wrong is known only when the key server was asked after the id had first been seen. Until then
 * the answer is KeysUnavailableError, for it may be that of a new key.
 */
export class KeyServer implements TokenKeys {
  readonly algorithms = ['RS256', 'ES256', 'EdDSA', 'Ed25519']
  /** Never asks by itself: when that happens is decided here. */
  readonly #keys
  /** When each was first seen. */
  readonly #unknownIds = new LRUCache<string, number>({ max: MAX_UNKNOWN_IDS, ttl: UNKNOWN_ID_TTL_MS, noUpdateTTL: true })
  #askedAtMs = -Infinity
  /** When the question was asked that got the keys; undefined without any. */
  #currentAtMs: number | undefined
  #asking: Promise<void> | undefined
  #isAway = false

  constructor (url: URL, private readonly clock: Clock, private readonly log: Log) {
    this.#keys = createRemoteJWKSet(url, { timeoutDuration: TIMEOUT_MS, cacheMaxAge: Infinity, cooldownDuration: Infinity })
  }

  /** @throws KeysUnavailableError, or an error of jose */
  readonly key = async (header: CompactJWSHeaderParameters, token: FlattenedJWSInput) => {
    const now = this.clock.now()
    if (this.#currentAtMs === undefined) await this.refresh()
    else if (now - this.#currentAtMs > MAX_AGE_MS) this.refresh()
    if (this.#currentAtMs === undefined) throw new KeysUnavailableError()
    try {
      return await this.#keys(header, token)
    } catch (error) {
      if (!(error instanceof errors.JWKSNoMatchingKey)) throw error
      await this.#askFor(String(header.kid ?? ''), now, error)
      return await this.#keys(header, token)
    }
  }

  /** Fetches the keys, unless the last question is too new. Never throws. */
  async refresh () {
    if (this.#asking === undefined) {
      if (this.clock.now() - this.#askedAtMs < COOLDOWN_MS) return
      this.#askedAtMs = this.clock.now()
      this.#asking = this.#ask(this.#askedAtMs)
    }
    await this.#asking
  }

  /**
   * Resolves when the keys are newer than the id: its token may be checked once more.
   *
   * @throws KeysUnavailableError when they are not
   */
  async #askFor (id: string, now: number, error: Error) {
    if (id.length > MAX_ID_LENGTH) throw error
    const seenAtMs = this.#unknownIds.get(id) ?? now
    this.#unknownIds.set(id, seenAtMs)
    await this.refresh()
    if ((this.#currentAtMs ?? -Infinity) < seenAtMs) throw new KeysUnavailableError()
  }

  async #ask (askedAtMs: number) {
    try {
      await this.#keys.reload()
      this.#currentAtMs = askedAtMs
      if (this.#isAway) this.log.info({}, 'the key server for viewer tokens answers again')
      this.#isAway = false
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error)
      if (!this.#isAway) this.log.warn({ reason }, 'the key server for viewer tokens does not give keys, those it gave before stay in force')
      this.#isAway = true
    } finally {
      this.#asking = undefined
    }
  }
}
