import type { Protocol } from '../contenders.js'

/** What the benchmark asks of a load generator; each request is answered once, in order. */
export type LoadRequest =
  | { readonly do: 'open', readonly crowd: Crowd }
  | { readonly do: 'progress' }
  | { readonly do: 'forget-latencies' }
  | { readonly do: 'cut' }
  | { readonly do: 'come-back', readonly until: number }
  | { readonly do: 'report' }

/** The viewers of one load generator. */
export interface Crowd {
  readonly port: number
  readonly protocol: Protocol
  /** One a room. */
  readonly paths: readonly string[]
  readonly viewersPerRoom: number
  /** So many connections are opened at a time. */
  readonly openAtOnce: number
  /** Of so many viewers one stops reading once it is connected; 0: none. */
  readonly everyStalled: number
  /** Parse every stream: they are not all the same, as when viewers resume. */
  readonly parseAll: boolean
  readonly acceptsGzip: boolean
}

export interface LoadReport {
  readonly viewers: number
  readonly connected: number
  readonly stalled: number
  /** Messages that viewers got, stalled ones not counted. */
  readonly deliveries: number
  /** Events, or WebSocket frames, in which they came. */
  readonly viewerWrites: number
  /** Received after the head; stalled viewers not counted. */
  readonly bytes: number
  /** Streams that were parsed, from each room at least one. */
  readonly parsed: number
  readonly lost: number
  /** Of the lost messages, those that the server said were missed. */
  readonly told: number
  readonly doubled: number
  /** Whether streams were compared; when all are parsed they are not. */
  readonly isCompared: boolean
  /** Streams that are not, byte for byte, their room's. */
  readonly different: number
  readonly latenciesMs: Float64Array
  readonly cpuSeconds: number
}

export interface LoadAnswer {
  readonly error?: string
  /** Bytes received so far, after the head. */
  readonly bytes?: number
  /** Of each viewer, until the head of its stream had come. */
  readonly headsMs?: Float64Array
  /** Attempts to connect that failed. */
  readonly failed?: number
  /** Viewers that are not back. */
  readonly missing?: number
  readonly report?: LoadReport
}
