/** Why a stream was ended, or not taken up; named in the log, in the metrics and, where bytes can still be sent, in a comment. */
export const DISCONNECT_REASONS = [
  /** The viewer closed it, or its connection broke. */
  'viewer-left',
  /** The room has ended. */
  'room-ended',
  /** The viewer did not take what was written to it for SLOW_VIEWER_TIMEOUT_MS. */
  'slow-viewer',
  /** The instance is stopping; the viewer goes on at another one. */
  'draining',
  /** The token with which it may watch has expired. */
  'token-expired',
  /** Its token names a key that the key server may have, but does not tell: it is away. */
  'keys-unavailable',
  /** MAX_VIEWERS is reached. */
  'max-viewers',
  /** MAX_VIEWERS_PER_ADDRESS is reached. */
  'max-viewers-per-address',
  /** ADDRESS_CONNECTS_PER_10S is reached. */
  'too-many-connects',
  /** MAX_ROOMS is reached and none of the rooms is without viewers. */
  'max-rooms'
] as const

export type DisconnectReason = typeof DISCONNECT_REASONS[number]
