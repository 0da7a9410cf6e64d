import { createPublicKey, createSecretKey, type KeyObject } from 'node:crypto'
import type { JWTVerifyGetKey } from 'jose'

/** The hash of HS256 is as long as its key must be (RFC 7518, 3.2). */
const MIN_SECRET_BYTES = 32
/** RFC 7518, 3.3. */
const MIN_RSA_BITS = 2048

/**
 * What tokens are checked with. The algorithms follow from the key, never from the token: else a public key, which everybody
 * knows, could be used as a secret (RFC 8725, 2.1).
 */
export interface TokenKeys {
  readonly algorithms: string[]
  /** May throw KeysUnavailableError. */
  readonly key: KeyObject | JWTVerifyGetKey
}

/** The key of a token is not known now, but may be in a moment. */
export class KeysUnavailableError extends Error {}

/** @throws Error when the secret is too short */
export function secretTokenKeys (secret: string): TokenKeys {
  const bytes = Buffer.from(secret)
  if (bytes.length < MIN_SECRET_BYTES) throw new Error(`is too short: HS256 needs ${MIN_SECRET_BYTES} bytes or more`)
  return { algorithms: ['HS256'], key: createSecretKey(bytes) }
}

/**
 * @param pem a public key or a certificate; its line breaks may be written as \n
 * @throws Error when it is none, or of a kind that is not supported
 */
export function publicTokenKeys (pem: string): TokenKeys {
  const text = pem.replaceAll('\\n', '\n')
  if (text.includes('PRIVATE KEY')) throw new Error('is a private key: give the public one')
  const key = readPublicKey(text)
  return { algorithms: algorithmsOf(key), key }
}

function readPublicKey (pem: string): KeyObject {
  try {
    return createPublicKey(pem)
  } catch {
    throw new Error('is no public key in PEM format')
  }
}

function algorithmsOf ({ asymmetricKeyType, asymmetricKeyDetails }: KeyObject): string[] {
  const { modulusLength = 0, namedCurve } = asymmetricKeyDetails ?? {}
  if (asymmetricKeyType === 'rsa' && modulusLength >= MIN_RSA_BITS) return ['RS256']
  if (asymmetricKeyType === 'ec' && namedCurve === 'prime256v1') return ['ES256']
  // The same algorithm under its old and its new name (RFC 9864).
  if (asymmetricKeyType === 'ed25519') return ['EdDSA', 'Ed25519']
  throw new Error(`must be a key for RS256 (RSA of ${MIN_RSA_BITS} bits or more), ES256 (P-256) or EdDSA (Ed25519)`)
}
