import type { FastifyInstance } from 'fastify'
import { Counter, Gauge, Histogram, type Registry } from 'prom-client'
import type { RedisNodes } from '../src/broker/redis-nodes.js'
import type { Distribution } from '../src/counters.js'
import type { Backlog } from '../src/metering/ledger.js'

/** A number, and the labels it has; undefined: it is not known now, or not here. */
type Sample = readonly [value: number | undefined, labels?: Record<string, string>]

interface Definition {
  readonly type: 'counter' | 'gauge'
  /** Base units, and `_total` at the end of a counter: https://prometheus.io/docs/practices/naming/ */
  readonly name: string
  readonly help: string
  /** Read when somebody looks. */
  samples (): readonly Sample[] | Promise<readonly Sample[]>
}

/** For each metric: one that has label names has no sample while its value is not known. */
const LABEL_NAMES = ['reason', 'scope', 'role', 'encoding', 'direction', 'connection']

const seconds = (ms: number | undefined) => ms === undefined ? undefined : ms / 1000

const one = (value: () => number | undefined) => () => [[value()]] as const

const by = (label: string, counts: () => Readonly<Record<string, number>>) => () =>
  Object.entries(counts()).map(([name, value]) => [value, { [label]: name }] as const)

/**
 * Every metric of the chat but the latency. All numbers are kept elsewhere anyway, and only looked at here. Labels have their values from the
 * constant tables of the domain: never the id of a room, an address, or anything else that comes from the network.
 */
function definitions (app: FastifyInstance): Definition[] {
  const { rooms, rooms: { counters, governor, membership }, broker, billing, config } = app
  const counter = (name: string, help: string, samples: Definition['samples']): Definition => ({ type: 'counter', name, help, samples })
  const gauge = (name: string, help: string, samples: Definition['samples']): Definition => ({ type: 'gauge', name, help, samples })
  const { plain, gzip } = counters.bytes
  let asked: Promise<Backlog | undefined> | undefined
  /** Looked up once for all who ask at the same time. */
  function backlog () {
    // While Redis is away it is not known; other metrics say so.
    asked ??= (billing?.backlog() ?? Promise.resolve(undefined)).catch(() => undefined).finally(() => { asked = undefined })
    return asked
  }

  return [
    gauge('chat_viewers', 'Viewers with a place in a room.', one(() => rooms.viewers)),
    gauge('chat_viewers_limit', 'MAX_VIEWERS; 0: no limit.', one(() => config.MAX_VIEWERS)),
    gauge('chat_slow_viewers', 'Viewers that do not take what was written to them, at present.', one(() => rooms.slowViewers)),
    counter('chat_viewers_fell_behind_total', 'How often a viewer did not take what was written to it at once.', one(() => counters.fellBehind)),
    counter('chat_viewer_disconnects_total', 'Streams that ended, by reason.', by('reason', () => counters.disconnects)),
    counter('chat_viewer_refusals_total', 'Viewers told to come back later, by reason.', by('reason', () => counters.refusals)),
    counter('chat_replays_total', 'Streams that began with what their viewer had missed, or asked for.', one(() => counters.replays)),
    counter('chat_gaps_total', 'Gaps said to a whole room, or to one viewer, by reason.', () => (['room', 'viewer'] as const).flatMap((scope) =>
      Object.entries(counters.gaps[scope]).map(([reason, value]) => [value, { scope, reason }] as const))),

    gauge('chat_rooms', 'Open rooms, by what this instance is to them.', by('role', () => rooms.survey().roles)),
    gauge('chat_rooms_limit', 'MAX_ROOMS.', one(() => config.MAX_ROOMS)),
    gauge('chat_lingering_rooms', 'Open rooms without viewers.', one(() => rooms.lingeringRooms)),
    gauge('chat_history_bytes', 'Events that rooms keep.', one(() => rooms.survey().historyBytes)),
    counter('chat_room_role_changes_total', 'How often rooms were taken (owner) or followed here.', by('role', () => counters.became)),
    counter('chat_rooms_ended_total', 'Rooms that have told their viewers of their end.', one(() => counters.roomsEnded)),

    counter('chat_messages_heard_total', 'Messages heard; one that several instances hear counts at each.', one(() => counters.messagesHeard)),
    counter('chat_messages_logged_total', 'Messages that this instance, as the owner, has put into logs; once in the cluster.', one(() => counters.messagesLogged)),
    counter('chat_messages_dropped_total', 'Messages heard that reach no viewer, by reason.', by('reason', () => ({ oversized: broker.oversized, ...counters.dropped }))),
    counter('chat_batches_total', 'Batches that rooms have said.', one(() => counters.batches)),
    counter('chat_viewer_writes_total', 'Frames of batches written, each to one viewer.', one(() => counters.viewerWrites)),
    counter('chat_deliveries_total', 'Messages written, each to one viewer.', one(() => counters.deliveries)),
    counter('chat_event_bytes_total', 'Bytes of events written to viewers, before encoding.', () => [[plain.events, { encoding: 'plain' }], [gzip.events, { encoding: 'gzip' }]]),
    counter('chat_written_bytes_total', 'Bytes that those became.', () => [[plain.written, { encoding: 'plain' }], [gzip.written, { encoding: 'gzip' }]]),

    counter('chat_flushes_total', 'Flushes of rooms.', one(() => governor.flushes)),
    counter('chat_flush_seconds_total', 'Time that flushes took.', one(() => seconds(governor.flushMs))),
    gauge('chat_flush_interval_seconds', 'Time from one batch of a busy room to the next, now.', one(() => seconds(governor.intervalMs))),
    gauge('chat_flush_interval_max_seconds', 'FLUSH_MAX_INTERVAL_MS: what that can grow to.', one(() => Math.max(config.FLUSH_INTERVAL_MS, config.FLUSH_MAX_INTERVAL_MS) / 1000)),
    counter('chat_flush_interval_changes_total', 'How often that interval has widened and narrowed.', () => [[governor.widened, { direction: 'widened' }], [governor.narrowed, { direction: 'narrowed' }]]),
    gauge('chat_under_load', '1 while that interval is widened.', one(() => Number(governor.isUnderLoad))),

    gauge('chat_draining', '1 while the instance lets its viewers go.', one(() => Number(rooms.draining))),
    gauge('chat_cluster_instances', 'Instances that live, as far as this one knows.', one(() => membership.others.size + 1)),
    gauge('chat_lease_held', '1 while this instance may own rooms.', one(() => Number(membership.holdsLease))),
    counter('chat_leases_total', 'Leases begun: the first, and one after each that ran out.', one(() => membership.lapses)),
    ...app.redis === undefined ? [] : redisMetrics(app.redis),
    ...billing === undefined
      ? []
      : [
          gauge('chat_billing_leader', '1 at the instance that bills.', one(() => Number(billing.leads))),
          counter('chat_billing_messages_total', 'Messages billed by this instance.', one(() => billing.billedMessages)),
          counter('chat_billing_parked_records_total', 'Records that the tenant API refused, and this instance set aside.', one(() => billing.parkedRecords)),
          gauge('chat_billing_failing_rooms', 'Rooms whose last request failed.', one(() => billing.failingRooms)),
          gauge('chat_billing_oldest_seconds', 'At the most for how long something waits to be billed. Only at the instance that bills.', one(() => seconds(billing.oldestUnbilledMs))),
          gauge('chat_billing_backlog_messages', 'Messages not billed yet, of all instances. Only at the instance that bills.', async () => [[(await backlog())?.messages]]),
          gauge('chat_billing_parked_rooms', 'Rooms with refused records. Only at the instance that bills.', async () => [[(await backlog())?.parkedRooms]])
        ]
  ]
}

function redisMetrics (nodes: RedisNodes): Definition[] {
  const connects = { commands: 0, subscriber: 0 }
  const kinds = ['commands', 'subscriber'] as const
  nodes.onNode((node) => {
    for (const kind of kinds) {
      connects[kind] += Number(node[kind].status === 'ready')
      node[kind].on('ready', () => { connects[kind]++ })
    }
  })
  const isUp = (kind: typeof kinds[number]) => [...nodes.all].every((node) => node[kind].status === 'ready')
  return [
    { type: 'gauge', name: 'chat_redis_up', help: '1 while the connection to Redis, in a cluster each of them, is usable.', samples: () => kinds.map((connection) => [Number(isUp(connection)), { connection }]) },
    { type: 'counter', name: 'chat_redis_connects_total', help: 'How often the connection was established: more than once, in a cluster once per master, means that it was lost.', samples: () => kinds.map((connection) => [connects[connection], { connection }]) }
  ]
}

/** A histogram that is kept elsewhere, as plain numbers of ms. */
class KeptHistogram extends Histogram {
  constructor (private readonly name: string, private readonly help: string, registry: Registry, private readonly kept: Distribution) {
    super({ name, help, registers: [registry] })
  }

  /** What the registry asks; its type does not tell. */
  async getForPromString () {
    const { kept, name, help } = this
    let count = 0
    const values = kept.counts.map((inBucket, index) => {
      count += inBucket
      const bound = kept.bounds[index]
      return { metricName: `${name}_bucket`, labels: { le: bound === undefined ? '+Inf' : bound / 1000 }, value: count }
    })
    const rest = [{ metricName: `${name}_sum`, labels: {}, value: kept.sum / 1000 }, { metricName: `${name}_count`, labels: {}, value: count }]
    return { name, help, type: 'histogram', aggregator: 'sum', values: [...values, ...rest] }
  }
}

/** Registers every metric of the chat. */
export function registerChatMetrics (registry: Registry, app: FastifyInstance) {
  for (const { type, name, help, samples } of definitions(app)) {
    const common = { name, help, labelNames: LABEL_NAMES, registers: [registry] }
    const known = async () => (await samples()).flatMap(([value, labels = {}]) => value === undefined ? [] : [{ value, labels }])
    const metric: Gauge | Counter = new (type === 'gauge' ? Gauge : Counter)({
      ...common,
      async collect () {
        const now = await known()
        metric.reset()
        for (const { labels, value } of now) metric.inc(labels, value)
      }
    })
  }
  return new KeptHistogram('chat_latency_seconds', 'From hearing the oldest message of a flush until it is written to all viewers that keep up.', registry, app.rooms.counters.latencyMs)
}
