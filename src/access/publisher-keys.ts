import { createHash, createHmac, randomBytes } from 'node:crypto'
import { Type, type Static } from 'typebox'
import Value from 'typebox/value'
import { allRooms, RoomList, roomScope, type RoomScope } from './room-scope.js'

/** Keys of a file at the most. */
const MAX_KEYS = 10_000
const HASHED = /^sha256:[0-9a-f]{64}$/i

/** The content of PUBLISH_KEYS_FILE. */
const KeyList = Type.Array(Type.Object({
  name: Type.String({ pattern: '^[\\w.:@-]{1,64}$', description: 'Shown in logs; two keys of one tenant may share it while one replaces the other' }),
  key: Type.String({ minLength: 1, maxLength: 4096 }),
  rooms: RoomList
}, { additionalProperties: false }), { maxItems: MAX_KEYS })

/** Who publishes. */
export interface Publisher {
  /** Never the key. */
  readonly name: string
  readonly mayUse: RoomScope
}

/** A key as it is configured: itself, or `sha256:` and the hash of its UTF-8 bytes in hex. */
export interface ConfiguredKey extends Publisher {
  readonly key: string
}

/** Keys of an environment variable: for all rooms, named by their place. */
export function keysOfList (variable: string, keys: readonly string[]): ConfiguredKey[] {
  return keys.map((key, index) => ({ name: `${variable}:${index + 1}`, key, mayUse: allRooms }))
}

/**
 * Keys of a file.
 *
 * @throws Error that says what is wrong, without showing a key
 */
export function keysOfFile (text: string): ConfiguredKey[] {
  const entries = parse(text)
  return entries.map(({ name, key, rooms }) => ({ name, key, mayUse: roomScope(rooms) }))
}

function parse (text: string): Static<typeof KeyList> {
  let content: unknown
  try {
    content = JSON.parse(text)
  } catch {
    // The parser's own message quotes the text.
    throw new Error('it is not JSON')
  }
  if (Value.Check(KeyList, content)) return content
  const [first] = Value.Errors(KeyList, content)
  throw new Error(`${first?.instancePath || 'the list'} ${first?.message}; it must be [{"name":"tenant-a","key":"sha256:<64 hex digits>","rooms":["<uuid>",…] or "*"},…]`)
}

/**
 * The keys that publishers may show.
 *
 * A key is looked up by a keyed hash, whose secret only this object has: how long that takes says nothing of how near a
 * guess is, and it takes as long for one key as for many.
 */
export class PublisherKeys {
  readonly #secret = randomBytes(32)
  readonly #publishers = new Map<string, Publisher>()

  /** @throws Error that names two entries with the same key, or one whose hash is malformed */
  constructor (keys: readonly ConfiguredKey[]) {
    for (const { name, key, mayUse } of keys) {
      if (/^sha256:/i.test(key) && !HASHED.test(key)) throw new Error(`the key ${name} is not sha256: and 64 hex digits`)
      const place = this.#placeOf(HASHED.test(key) ? Buffer.from(key.slice('sha256:'.length), 'hex') : sha256(key))
      const other = this.#publishers.get(place)
      if (other !== undefined) throw new Error(`the keys ${other.name} and ${name} are the same`)
      this.#publishers.set(place, { name, mayUse })
    }
  }

  get size () { return this.#publishers.size }

  /** @param key as it was shown; undefined is the answer to one that is not known */
  find (key: string): Publisher | undefined {
    return this.#publishers.get(this.#placeOf(sha256(key)))
  }

  #placeOf (hash: Buffer) {
    return createHmac('sha256', this.#secret).update(hash).digest('base64')
  }
}

function sha256 (key: string) {
  return createHash('sha256').update(key).digest()
}
