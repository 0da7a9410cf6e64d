import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { freePort, ManagedProcess } from '../../deploy/local-cluster/managed-process.js'
import { eventually } from '../fixtures/eventually.js'
import { startStage } from '../fixtures/stage.js'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))

interface Answer<T> { readonly status: string, readonly error?: string, readonly data: T }
interface Sample { readonly metric: Record<string, string>, readonly value: [number, string] }
interface Target { readonly expr?: string }
interface Dashboard { readonly panels: ReadonlyArray<{ readonly title: string, readonly targets?: readonly Target[] }> }

/** A real Prometheus with the real rules, which scrapes these addresses. It is stopped with the test. */
async function startPrometheus (t: Test, targets: Record<'chat' | 'haproxy', readonly string[]>) {
  const folder = mkdtempSync(join(tmpdir(), 'chat-prometheus-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const jobs = Object.entries(targets).map(([job, urls]) => `
  - job_name: ${job}
    static_configs:
      - targets: ${JSON.stringify(urls.map((url) => new URL(url).host))}`)
  const config = join(folder, 'prometheus.yml')
  writeFileSync(config, `global: { scrape_interval: 1s, evaluation_interval: 1s }\nrule_files: [${join(ROOT, 'deploy/prometheus/alerts.yml')}]\nscrape_configs:${jobs.join('')}\n`)
  const url = `http://127.0.0.1:${await freePort()}`
  const prometheus = await ManagedProcess.start({
    command: 'prometheus',
    args: [`--config.file=${config}`, `--storage.tsdb.path=${join(folder, 'data')}`, `--web.listen-address=${new URL(url).host}`],
    cwd: folder,
    isReady: async () => (await fetch(`${url}/-/ready`)).ok
  })
  t.teardown(() => prometheus.stop('SIGKILL'))
  const get = async <T>(path: string) => await (await fetch(`${url}/api/v1/${path}`)).json() as Answer<T>
  return {
    get,
    query: async (expression: string) => await get<{ result: Sample[] }>(`query?query=${encodeURIComponent(expression)}`)
  }
}

/** Every metric that an expression names: what stands before braces, brackets or an operator, and is no word of PromQL. */
function metricsIn (expression: string) {
  return [...new Set(expression.match(/\b(?:chat|process|nodejs|haproxy|up)(?:_\w+)?\b(?=\s*(?:[{[)=<>/*+-]|$| and))/g) ?? [])]
}

t.test('every expression of the dashboard and of the alerts finds its metrics in a real scrape', async (t) => {
  const { cluster, tenant, chat, owned } = await startStage(t)
  const { get, query } = await startPrometheus(t, { chat: cluster.instances.map(({ metricsUrl }) => metricsUrl), haproxy: [cluster.adminUrl] })
  const talk = chat()
  for (const { url } of cluster.instances) talk.watch(url)
  await talk.watched()
  await owned(talk.room)
  talk.talk()
  await talk.goesOn()

  const value = async (expression: string) => Number((await query(expression)).data.result[0]?.value[1])
  await eventually('both instances are scraped', async () => await value('sum(chat_viewers)') === 2 && await value('count(up == 1)') === 3)
  t.equal(await value('sum(chat_rooms{role="owner"})'), 1)
  t.equal(await value('sum(chat_rooms{role="follower"})'), 1)
  t.equal(await value('min(chat_cluster_instances)'), 2)
  await eventually('rates are known', async () => await value('sum(rate(chat_deliveries_total[10s]))') > 0)
  t.ok(await value('sum(chat_messages_logged_total)') <= talk.count, 'a message is logged once')
  await eventually('both write what they hear soon', async () => (await query('histogram_quantile(0.5, sum by (instance, le) (rate(chat_latency_seconds_bucket[10s]))) < 5')).data.result.length === 2)
  await eventually('one instance bills', async () => await value('sum(chat_billing_leader)') === 1 && await value('sum(chat_billing_messages_total)') > 0)
  await talk.finish()

  const names = new Set((await get<string[]>('label/__name__/values')).data)
  const known = (name: string) => names.has(name)
  const dashboard = JSON.parse(readFileSync(join(ROOT, 'deploy/grafana/dashboards/chat.json'), 'utf8')) as Dashboard
  const panels = dashboard.panels.flatMap(({ title, targets = [] }) => targets.map(({ expr = '' }) => ({ title, expr })))
  const rules = (await get<{ groups: Array<{ rules: Array<{ name: string, query: string, health: string }> }> }>('rules')).data.groups.flatMap(({ rules }) => rules)
  t.ok(panels.length > 40 && rules.length > 10)
  for (const { title, expr } of [...panels, ...rules.map(({ name, query }) => ({ title: name, expr: query }))]) {
    const { status, error } = await query(expr.replaceAll('$__rate_interval', '1m').replaceAll('$instance', '.*'))
    t.equal(status, 'success', `${title}: ${expr} ${error ?? ''}`)
    const metrics = metricsIn(expr)
    t.ok(metrics.length > 0 && metrics.every(known), `${title}: ${metrics} ${metrics.filter((name) => !known(name)).join()}`)
  }
  // A rule that fails to be evaluated says so here.
  await eventually('all rules are evaluated', async () => (await get<{ groups: Array<{ rules: Array<{ health: string }> }> }>('rules')).data.groups.every(({ rules }) => rules.every(({ health }) => health === 'ok')))
  const firing = (await get<{ alerts: Array<{ labels: { alertname: string }, state: string }> }>('alerts')).data.alerts
  t.same(firing.filter(({ state }) => state === 'firing').map(({ labels }) => labels.alertname), [], 'nothing is wrong')
  t.ok(tenant.status === 'ready')
})
