import t from 'tap'
import type { Redis } from 'ioredis'
import { build, type Server } from '../fixtures/build.js'
import { Chat, everyoneGotAll, watchUrl } from '../fixtures/chat.js'
import { eventually } from '../fixtures/eventually.js'
import { seededRandom, type Random } from '../fixtures/random.js'
import { ReconnectingViewer } from '../fixtures/reconnecting-viewer.js'
import { connectTenant, startRedis } from '../fixtures/redis.js'
import { TenantApi } from '../fixtures/tenant-api.js'

/** FUZZ_SEED makes another run, the same each time but for what happens meanwhile; FUZZ_ROUNDS makes it longer. */
const SEED = Number(process.env['FUZZ_SEED'] ?? 1)
const ROUNDS = Number(process.env['FUZZ_ROUNDS'] ?? 600)
const ROOMS = 12
/** A room asks for its owner ten times a second at the most, which takes up to four scripts, at two instances. */
const MAX_SCRIPTS_PER_ROOM = 100

t.comment(`FUZZ_SEED=${SEED}`)

const KEYS_OF_ROOM = ['owner', 'log', 'ended', 'pending', 'viewers', 'unbilled', 'outbox', 'parked']
const COMMON_KEYS = ['chat:instances', 'chat:billing:rooms', 'chat:billing:worker', 'chat:billing:parked']
const NUMBERS = ['0', '1', '-1', '1.5', 'x', '', '1e300', 'nan', 'inf', '99999999999999', '999999999999999', '9999999999999999', '9223372036854775807', '18446744073709551615', '9'.repeat(400)]

/** Puts into Redis what no instance would. */
class Vandal {
  constructor (private readonly random: Random, private readonly redis: Redis, private readonly instances: readonly string[]) {}

  /** Publishes something on one of the channels of a room. */
  async shout (room: string) {
    const tail = await this.redis.hget(`chat:{${room}}:owner`, 'tail').catch(() => null) ?? ''
    // What ends the room, and is allowed to, would end the test of it.
    const [channel, text] = this.#pick<[string, () => string | Buffer]>([
      [room, () => this.#noise()],
      [`chat:{${room}}:batches`, () => this.#batch(tail)],
      [`chat:{${room}}:signals`, () => this.#signal(tail)],
      [`chat:{${room}}:signals`, () => this.#noise()],
      [`chat:{${room}}:batches`, () => this.#noise()]
    ])
    await this.redis.publish(channel, text())
  }

  /** Changes a key, of a room or common to all. */
  async spoil (room: string) {
    const key = this.#chance(0.2) ? this.#pick(COMMON_KEYS) : `chat:{${room}}:${this.#pick(KEYS_OF_ROOM)}`
    // A text there is the end of the room, whoever has written it.
    const isTombstone = key.endsWith(':ended')
    const number = () => this.#pick([...NUMBERS, String(Date.now()), String(Date.now() + 60_000)])
    await this.#pick<() => Promise<unknown>>([
      async () => { if (!isTombstone) await this.redis.set(key, this.#noise()) },
      async () => { if (!isTombstone) await this.redis.set(key, number()) },
      () => this.redis.multi().del(key).rpush(key, this.#noise(), number()).exec(),
      () => this.redis.multi().del(key).sadd(key, this.#noise()).exec(),
      () => this.redis.hset(`chat:{${room}}:owner`, { [this.#pick(['instance', 'term', 'tail', 'released', 'heirs', 'finished'])]: this.#pick([number(), `${number()}-${number()}`, ...this.instances, 'stranger']) }),
      () => this.redis.xadd(`chat:{${room}}:log`, '*', 'kind', this.#pick(['batch', 'gap', 'end', 'x']), 'from', `${number()}-${number()}`, 'data', this.#pick(['["x"]', '{}', '', '[1]', '["x"'])),
      () => this.redis.xadd(`chat:{${room}}:log`, `${number()}-${number()}`, 'kind', 'batch', 'from', `${number()}-${number()}`, 'data', '["forged"]'),
      () => this.redis.zadd(this.#pick(['chat:instances', 'chat:billing:rooms']), this.#pick(['+inf', '-inf', '0', '1e18']), this.#pick(['stranger', ...this.instances.map((instance) => `${instance} `), room.toUpperCase()])),
      () => this.redis.hset(`chat:{${room}}:viewers`, this.#pick(['stranger', '__proto__', ...this.instances]), number()),
      () => this.redis.rpush(`chat:{${room}}:pending`, this.#noise(), 'x'.repeat(70_000)),
      () => this.redis.set(`chat:{${room}}:unbilled`, number()),
      // An index that is merely gone tells nobody that it is.
      async () => { if (!COMMON_KEYS.includes(key)) await this.redis.del(key) }
    ])().catch(() => {})
  }

  #batch (tail: string): string {
    const [term = '', n = ''] = tail.split('-')
    const numbers = [term, n, String(Number(n) + 1), String(Number(term) + 1), ...NUMBERS]
    const id = () => this.#chance(0.4) ? tail : `${this.#pick(numbers)}-${this.#pick(numbers)}`
    const data = this.#pick(['["forged"]', '[]', '{}', '', '["a","b"]', '[1]', `${'['.repeat(5000)}`, '{"reason":"sequencer-lost"}', '["x"]\n\ndata:x'])
    return this.#pick([
      // Who knows the last id can say what he likes, but not with it end the room for good, nor number it anew.
      () => `batch ${tail} ${this.#pick(NUMBERS)}-${Number(n) + 1} ["forged"]`,
      () => `gap ${tail} ${term}-${this.#pick(NUMBERS)} {}`,
      () => `${this.#pick(['batch', 'gap', 'marked', '', 'BATCH'])} ${id()} ${id()} ${data}`,
      () => `marked ${this.#pick(this.instances)}.${this.random(5)} ${this.#pick(numbers)} ${this.#pick(NUMBERS)}`
    ])()
  }

  #signal (tail: string): string {
    const [term = ''] = tail.split('-')
    const instance = this.#pick([...this.instances, 'stranger', '__proto__'])
    return this.#pick([
      () => `claimed ${instance} ${this.#pick([term, String(Number(term) + 1), ...NUMBERS])}`,
      () => `released ${instance} ${this.#pick([term, ...NUMBERS])}`,
      () => `mark ${instance} ${this.random(100)}`,
      () => `viewers ${Array.from({ length: this.random(300) }, () => `${this.random(1000)} ${this.#pick(NUMBERS)}`).join(' ')}`
    ])()
  }

  #noise (): Buffer {
    if (this.#chance(0.05)) return Buffer.alloc(200_000, this.random(256))
    return Buffer.from(Array.from({ length: this.random(100) }, () => this.random(256)))
  }

  #pick<T> (items: readonly T[]): T {
    // The index is inside the list, and no list is empty.
    return items[this.random(items.length)] as T
  }

  #chance (probability: number): boolean {
    return this.random(1000) < probability * 1000
  }
}

async function scripts (redis: Redis): Promise<number> {
  return Number(/cmdstat_evalsha:calls=(\d+)/.exec(await redis.info('commandstats'))?.[1] ?? 0)
}

/** A process goes on whatever happens; what it did not expect it has said. */
function unexpected ({ log }: Server) {
  return log.filter(({ msg }) => msg === 'unexpected error, trying again')
}

t.test('whatever stands under the keys and comes on the channels of some rooms, the others get each message once, and those too when it is over', async (t) => {
  const redis = await startRedis(t)
  const tenant = connectTenant(t, redis)
  const api = await TenantApi.start(t)
  const env = { ...redis.env, TENANT_BASE_URL: api.url, VIEWER_COUNTS: 'on', LEASE_MS: '2000', ROOM_LINGER_MS: '500' }
  const servers = [await build(t, env), await build(t, env)]
  const instances = servers.map(({ app }) => app.broker.instance)
  const vandal = new Vandal(seededRandom(SEED), tenant, instances)
  const random = seededRandom(SEED + 1)

  const healthy = new Chat(t, tenant)
  for (const { url } of servers) healthy.watch(url)
  await healthy.watched()
  healthy.talk(20)

  // Half of them are opened when they are broken already.
  const rooms = Array.from({ length: ROOMS }, () => crypto.randomUUID())
  const viewersOf = (room: string) => servers.map(({ url }) => ReconnectingViewer.start(t, watchUrl(url, room)))
  const viewers = new Map(rooms.slice(ROOMS / 2).map((room) => [room, viewersOf(room)]))
  for (let round = 0; round < ROUNDS; round++) {
    const room = rooms[random(ROOMS)] ?? ''
    if (random(3) === 0) await vandal.spoil(room)
    else await vandal.shout(room)
    await tenant.publish(room, `message ${round}`)
    if (round === ROUNDS / 3) for (const room of rooms.slice(0, ROOMS / 2)) viewers.set(room, viewersOf(room))
  }
  await healthy.goesOn(20)

  // As an operator mends them.
  for (const room of rooms) await tenant.del(KEYS_OF_ROOM.map((name) => `chat:{${room}}:${name}`))
  const before = await scripts(tenant)
  for (const room of rooms) {
    let n = 0
    await eventually(`room ${room} goes on at both instances, seed ${SEED}`, async () => {
      await tenant.publish(room, `mended ${++n}`)
      return viewers.get(room)?.every(({ messages }) => messages.at(-1)?.startsWith('mended')) === true
    })
  }
  await healthy.finish()
  everyoneGotAll(t, healthy)
  t.ok(await scripts(tenant) - before < ROOMS * MAX_SCRIPTS_PER_ROOM * 30, 'nobody asks without a pause')
  for (const server of servers) t.same(unexpected(server), [])
  await eventually('the healthy room is billed', () => api.total(healthy.room) >= healthy.count)
  t.equal(api.total(healthy.room), healthy.count, 'once')
})
