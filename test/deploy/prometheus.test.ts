import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import t from 'tap'

/** @throws Error with what promtool says */
function promtool (...args: string[]) {
  return execFileSync('promtool', args, { encoding: 'utf8' })
}

const alerts = readFileSync('deploy/prometheus/alerts.yml', 'utf8')
const names = [...alerts.matchAll(/- alert: (\w+)/g)].map(([, name = '']) => name)

t.test('the configuration and the rules are valid', async (t) => {
  t.match(promtool('check', 'config', 'deploy/prometheus/prometheus.yml'), /SUCCESS/)
  t.match(promtool('check', 'rules', 'deploy/prometheus/alerts.yml'), new RegExp(`SUCCESS: ${names.length} rules found`))
})

t.test('each alert is said of what is bad, and not of what is good', async (t) => {
  t.match(promtool('test', 'rules', 'test/deploy/alerts.test.yml'), /SUCCESS/)
  const tests = readFileSync('test/deploy/alerts.test.yml', 'utf8')
  for (const name of names) t.match(tests, new RegExp(`^  - name: ${name}$`, 'm'), `${name} is tested`)
})

t.test('each alert says what it is about, and has its answer in the runbook, which has no others', async (t) => {
  const answers = [...readFileSync('deploy/README.md', 'utf8').matchAll(/^#### (Chat\w+)$/gm)].map(([, name]) => name)
  t.same(answers, names)
  for (const rule of alerts.split('- alert: ').slice(1)) {
    const [name = ''] = rule.split('\n')
    for (const part of [/severity: (warning|critical)$/m, /summary: '.+'$/m, /description: '.+'$/m]) t.match(rule, part, name)
    t.match(rule, `runbook_url: 'deploy/README.md#${name.toLowerCase()}'`, name)
  }
})

t.test('Prometheus and Grafana are started only when asked for, and reached from this machine only', async (t) => {
  const compose = readFileSync('docker-compose.yml', 'utf8')
  for (const service of ['prometheus', 'grafana']) {
    const text = new RegExp(`^  ${service}:\\n((?: {4}.*\\n|\\n)+)`, 'm').exec(compose)?.[1] ?? ''
    t.match(text, /profiles: \[observability\]/)
    t.match(text, /image: \S+:v?\d+\.\d+\.\d+$/m, 'its version is fixed')
    t.match([...text.matchAll(/ports:\n {6}- (\S+)/g)].map(([, port]) => port), [/^127\.0\.0\.1:/])
  }
})
