import { Type, type Static } from 'typebox'

const Milliseconds = (fallback: number, description: string, minimum = 1) =>
  // 2^31 - 1 ms is the longest delay a Node timer takes.
  Type.Integer({ minimum, maximum: 2_147_483_647, default: fallback, description })

const Count = (fallback: number, minimum: number, description: string) =>
  Type.Integer({ minimum, maximum: 1_000_000_000, default: fallback, description })

/**
 * Every setting of the server, read from the environment and from a `.env` file.
 * `.env.example` repeats each with its default; a test keeps the two in step.
 */
export const ConfigSchema = Type.Object({
  PORT: Type.Integer({ minimum: 0, maximum: 65_535, default: 3000, description: 'TCP port to listen on; 0 takes a free one' }),
  HOST: Type.String({ default: '', description: 'Address to listen on; empty: 0.0.0.0 with Redis, 127.0.0.1 without' }),
  METRICS_PORT: Type.Integer({ minimum: 0, maximum: 65_535, default: 0, description: 'TCP port on which Prometheus finds /metrics, another one than PORT; 0: off' }),
  METRICS_HOST: Type.String({ default: '127.0.0.1', description: 'Address of that port: not for the public' }),
  TRUST_PROXY: Type.String({ default: '', description: 'Proxies whose X-Forwarded-For is believed, comma-separated: addresses, CIDR blocks, loopback, linklocal, uniquelocal; empty: none' }),
  LOG_LEVEL: Type.Enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'], { default: 'info', description: 'Least severe level that is logged' }),

  REDIS_IP: Type.String({ default: '', description: 'Host of Redis; empty: the embedded broker, one instance without Redis' }),
  REDIS_PORT: Type.Integer({ minimum: 1, maximum: 65_535, default: 6379, description: 'Port of Redis' }),
  REDIS_URL: Type.String({ default: '', description: 'Instead of REDIS_IP and REDIS_PORT: redis://[user:password@]host[:port], or rediss:// for TLS' }),
  REDIS_SENTINELS: Type.String({ default: '', description: 'Instead of REDIS_IP and REDIS_PORT: comma-separated host:port of the sentinels that know the master' }),
  REDIS_SENTINEL_NAME: Type.String({ default: '', description: 'Name that the sentinels have for the master' }),
  REDIS_SENTINEL_USERNAME: Type.String({ default: '', description: "User of the sentinels' ACL; empty: the default user" }),
  REDIS_SENTINEL_PASSWORD: Type.String({ default: '', description: 'Password of the sentinels; empty: none' }),
  REDIS_CLUSTER_NODES: Type.String({ default: '', description: 'Instead of REDIS_IP and REDIS_PORT: comma-separated host:port of some nodes of a Redis Cluster' }),
  REDIS_USERNAME: Type.String({ default: '', description: "User of Redis' ACL; empty: the default user" }),
  REDIS_PASSWORD: Type.String({ default: '', description: 'Password of Redis; empty: none' }),
  REDIS_TLS: Type.Enum(['on', 'off'], { default: 'off', description: 'Whether Redis and its sentinels are spoken to over TLS' }),
  REDIS_TLS_CA_FILE: Type.String({ default: '', description: 'File (PEM) of the authority whose certificates Redis has; empty: those that Node.js knows' }),
  REDIS_TIMEOUT_MS: Milliseconds(5000, 'How long Redis may take to answer before the connection counts as lost', 100),

  TENANT_BASE_URL: Type.String({ default: '', pattern: '^(https?://.+)?$', description: 'Base URL of the tenant API, to which usage is billed; empty: nothing is billed' }),
  BILLING_INTERVAL_MS: Milliseconds(1000, 'How long usage is gathered before it is billed', 100),
  BILLING_TIMEOUT_MS: Milliseconds(10_000, 'How long the tenant API may take to answer', 100),
  PUBLISH_API_KEYS: Type.String({ separator: ',', default: '', description: 'Comma-separated keys for publishing over HTTP, or sha256: and their hashes; without any here or in PUBLISH_KEYS_FILE those routes exist only on the embedded broker, on a loopback HOST' }),
  PUBLISH_KEYS_FILE: Type.String({ default: '', description: 'JSON file of further such keys, with names and the rooms each is for; read again when it changes' }),
  ADDRESS_PUBLISHES_PER_10S: Count(20_000, 0, 'Requests of publishers from one address in 10 s, also with wrong keys; more are refused with 429; 0: no limit'),
  KEY_PUBLISHES_PER_10S: Count(20_000, 0, 'Requests of publishers with keys of one name in 10 s; more are refused with 429; 0: no limit'),

  FLUSH_INTERVAL_MS: Milliseconds(50, 'Time from one batch of a busy room to the next'),
  FLUSH_MAX_INTERVAL_MS: Milliseconds(500, 'What that time grows to, step by step, while the instance has more to write than it can'),
  COMPRESS: Type.Enum(['on', 'off'], { default: 'on', description: 'Whether viewers that accept gzip get it' }),
  COMPRESS_MIN_VIEWERS: Count(100, 1, 'In a room with fewer gzip viewers batches are not compressed'),
  KEYFRAME_MS: Milliseconds(2000, 'How long compressed batches refer back to earlier ones: who joins meanwhile gets larger ones'),
  MAX_MESSAGE_BYTES: Count(65_536, 1, 'Largest message in UTF-8 bytes; larger ones from Redis are dropped, over HTTP refused with 413'),
  HISTORY_MESSAGES: Count(500, 1, 'Messages a room keeps for resume, recent=N and slow viewers'),
  HISTORY_BYTES: Count(1_048_576, 1, 'Bytes of events a room keeps at the most; all rooms together MAX_ROOMS times as much'),
  ROOM_LINGER_MS: Milliseconds(30_000, 'How long a room without viewers stays subscribed'),
  ENDED_TTL_MS: Milliseconds(86_400_000, 'How long an ended room answers 204', 1000),
  LOG_TTL_MS: Milliseconds(3_600_000, "How long a room's log is kept after its last message", 1000),
  LEASE_MS: Milliseconds(4000, 'An instance that was not heard of for so long has lost its rooms to the others', 1000),
  MAX_ROOMS: Count(100_000, 1, 'Rooms on this instance at the most'),

  HEARTBEAT_MS: Milliseconds(15_000, 'A silent stream gets a comment this often'),
  RETRY_MS: Milliseconds(2000, 'Reconnection time told to viewers, spread by ±50 %'),
  SLOW_VIEWER_TIMEOUT_MS: Milliseconds(30_000, 'A viewer that does not take what was written to it for so long is disconnected'),
  SUBSCRIBE_TIMEOUT_MS: Milliseconds(3000, 'How long the head of a stream waits for the subscription before it is sent anyway'),
  VIEWER_COUNTS: Type.Enum(['on', 'off'], { default: 'on', description: 'Whether viewers are told how many they are' }),
  MAX_VIEWERS: Count(0, 0, 'Viewers on this instance at the most; 0: no limit'),
  MAX_VIEWERS_PER_ADDRESS: Count(0, 0, 'Of those, viewers of one address, or /64 of IPv6; 0: no limit'),
  ADDRESS_CONNECTS_PER_10S: Count(20_000, 0, 'Requests for streams of one address in 10 s, after which its viewers are told to come back; 0: no limit'),

  VIEWER_AUTH: Type.Enum(['off', 'jwt'], { default: 'off', description: 'Who may watch: everybody, or holders of a JSON Web Token for the room' }),
  VIEWER_JWT_SECRET: Type.String({ default: '', description: 'Secret of tokens signed with HS256, 32 bytes or more' }),
  VIEWER_JWT_PUBLIC_KEY: Type.String({ default: '', description: 'Public key (PEM, line breaks may be \\n) of tokens signed with RS256, ES256 or EdDSA' }),
  VIEWER_JWT_PUBLIC_KEY_FILE: Type.String({ default: '', description: 'File of that public key' }),
  VIEWER_JWT_JWKS_URL: Type.String({ default: '', pattern: '^(https?://.+)?$', description: 'URL of a JSON Web Key Set with the public keys of tokens' }),
  VIEWER_JWT_AUDIENCE: Type.String({ default: '', description: 'What the claim aud of a token must name; empty: anything' }),
  VIEWER_JWT_ISSUER: Type.String({ default: '', description: 'What the claim iss of a token must be; empty: anything' }),
  VIEWER_JWT_COOKIE: Type.String({ default: 'access_token', pattern: "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$", description: 'Cookie in which a token may come' }),

  DRAIN_MS: Type.Integer({ minimum: 0, maximum: 3_600_000, default: 5000, description: 'Time over which a stopping instance lets its viewers go' }),
  HANDOVER_MS: Type.Integer({ minimum: 0, maximum: 3_600_000, default: 5000, description: 'How long a stopping instance keeps a room for another one to take it, after its viewers are gone' }),
  CORS_ORIGIN: Type.String({ default: '*', description: 'Origins that may read from a browser: * or a comma-separated list' })
})

/** The parsed configuration. PUBLISH_API_KEYS is split by env-schema's `separator`, which the schema cannot express. */
export type Config = Omit<Static<typeof ConfigSchema>, 'PUBLISH_API_KEYS'> & { PUBLISH_API_KEYS: string[] }

/** Variables each of which says where Redis is. */
export const REDIS_PLACES = ['REDIS_IP', 'REDIS_URL', 'REDIS_SENTINELS', 'REDIS_CLUSTER_NODES'] as const

/** @returns false for the embedded broker */
export const usesRedis = (config: Config) => REDIS_PLACES.some((name) => config[name] !== '')
