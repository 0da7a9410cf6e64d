import { errors, jwtVerify, type JWTPayload } from 'jose'
import type { Clock } from '../clock.js'
import { roomScopeOf, type RoomScope } from './room-scope.js'
import { KeysUnavailableError, type TokenKeys } from './token-keys.js'

/** How far the clock of who issues tokens may be off. */
const CLOCK_TOLERANCE_S = 5
/** A head with a longer one would not fit into Node's 16 KiB together with all else. */
const MAX_TOKEN_LENGTH = 8192

export interface ViewerTokenOptions {
  readonly keys: TokenKeys
  readonly clock: Clock
  /** What `aud` must name; undefined: anything. */
  readonly audience?: string | undefined
  /** What `iss` must be; undefined: anything. */
  readonly issuer?: string | undefined
}

/** What a token allows. */
export interface Permit {
  readonly mayWatch: RoomScope
  /** Wall-clock time in ms since 1970 from which it is refused. */
  readonly expiresAtMs: number
}

/** Why a token is refused. After `keys-unavailable` the same token may be taken later. */
export type TokenRefusal = 'token-expired' | 'token-invalid' | 'keys-unavailable'

/** Checks JSON Web Tokens (RFC 7519) of viewers: signature, `exp`, `nbf`, and `aud` and `iss` where that is configured. */
export class ViewerTokens {
  constructor (private readonly options: ViewerTokenOptions) {}

  /** @param token may be anything: it comes from the network */
  async check (token: string): Promise<Permit | TokenRefusal> {
    if (token.length > MAX_TOKEN_LENGTH) return 'token-invalid'
    try {
      const { exp = 0, rooms } = await this.#verify(token)
      return { mayWatch: roomScopeOf(rooms), expiresAtMs: (exp + CLOCK_TOLERANCE_S) * 1000 }
    } catch (error) {
      if (error instanceof KeysUnavailableError) return 'keys-unavailable'
      return error instanceof errors.JWTExpired ? 'token-expired' : 'token-invalid'
    }
  }

  async #verify (token: string): Promise<JWTPayload> {
    const { keys: { algorithms, key }, clock, audience, issuer } = this.options
    const rules = {
      algorithms,
      requiredClaims: ['exp'],
      clockTolerance: CLOCK_TOLERANCE_S,
      currentDate: new Date(clock.epochMs()),
      ...(audience !== undefined && { audience }),
      ...(issuer !== undefined && { issuer })
    }
    try {
      const { payload } = await jwtVerify(token, key, rules)
      return payload
    } catch (error) {
      // A token without a key id, while keys are exchanged.
      if (!(error instanceof errors.JWKSMultipleMatchingKeys)) throw error
      for await (const candidate of error) {
        try {
          const { payload } = await jwtVerify(token, candidate, rules)
          return payload
        } catch (failure) {
          if (!(failure instanceof errors.JWSSignatureVerificationFailed)) throw failure
        }
      }
      throw new errors.JWSSignatureVerificationFailed()
    }
  }
}
