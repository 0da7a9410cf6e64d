import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { Deployment } from 'kubernetes-models/apps/v1/Deployment'
import { StatefulSet } from 'kubernetes-models/apps/v1/StatefulSet'
import { HorizontalPodAutoscaler } from 'kubernetes-models/autoscaling/v2/HorizontalPodAutoscaler'
import { NetworkPolicy } from 'kubernetes-models/networking.k8s.io/v1/NetworkPolicy'
import { PodDisruptionBudget } from 'kubernetes-models/policy/v1/PodDisruptionBudget'
import { ConfigMap } from 'kubernetes-models/v1/ConfigMap'
import { Service } from 'kubernetes-models/v1/Service'
import t from 'tap'
import { freePort, ManagedProcess, temporaryFolder } from '../../deploy/local-cluster/managed-process.js'
import { ConfigSchema } from '../../src/config.js'
import { build } from '../fixtures/build.js'
import { Certificate } from '../fixtures/certificate.js'
import { eventually } from '../fixtures/eventually.js'
import { H2Connection } from '../fixtures/h2-connection.js'
import { FOLDER, parseManifests, readManifests, schemaErrors, unknownFields } from '../fixtures/manifests.js'

/** What a closing server takes at the most past DRAIN_MS, HANDOVER_MS and REDIS_TIMEOUT_MS. */
const CLOSE_GRACE_MS = 5000

const execute = promisify(execFile)
const { kustomization, manifests } = readManifests()
const haproxyConfig = readFileSync('haproxy.cfg', 'utf8')
const workloads = [...manifests.filter(Deployment.is), ...manifests.filter(StatefulSet.is)]

const only = <T>([one, ...others]: readonly T[]): T => {
  if (one === undefined || others.length > 0) throw new Error(`one is expected, not ${one === undefined ? 'none' : others.length + 1}`)
  return one
}
const named = <T extends { metadata?: { name?: string } }>(list: readonly T[], name: string) => only(list.filter(({ metadata }) => metadata?.name === name))
const podOf = (name: string) => {
  const { template } = named(workloads, name).spec ?? {}
  const container = only(template?.spec?.containers ?? [])
  return { labels: template?.metadata?.labels ?? {}, annotations: template?.metadata?.annotations ?? {}, spec: template?.spec, container, ports: new Map(container.ports?.map(({ name, containerPort }) => [name, containerPort])) }
}
/** Variables that the kustomization sets. */
const literalsOf = (name: string) => Object.fromEntries((named(kustomization.configMapGenerator.map((map) => ({ ...map, metadata: map })), name).literals ?? [])
  .map((literal) => [literal.slice(0, literal.indexOf('=')), literal.slice(literal.indexOf('=') + 1)] as const))
const settings = literalsOf('chat-settings')
const balancerSettings = literalsOf('haproxy-settings')

/** A setting of the instances, in ms. A schema's default is not in its type. */
const msOf = (name: 'DRAIN_MS' | 'HANDOVER_MS' | 'REDIS_TIMEOUT_MS') => Number(settings[name] ?? (ConfigSchema.properties[name] as { default?: number }).default)

t.test('each manifest is what Kubernetes understands, without a field that it does not know', async (t) => {
  t.ok(manifests.length > 10)
  for (const manifest of manifests) t.same(schemaErrors(manifest), [], `${manifest.kind} ${manifest.metadata?.name}`)
  t.same(unknownFields(manifests), [])

  const broken = parseManifests('{ apiVersion: v1, kind: Service, spec: { ports: [{ port: http }] } }\n---\n{ apiVersion: v1, kind: Service, spec: { selectors: {} } }')
  t.match(broken.flatMap(schemaErrors), [/port must be integer/])
  t.match(unknownFields(broken), [/not assignable to type 'number'/, /selectors/])
})

t.test('kubectl makes one stack of them, with the haproxy.cfg that compose uses', async (t) => {
  const [file = ''] = named(kustomization.configMapGenerator.map((map) => ({ ...map, metadata: map })), 'haproxy-config').files ?? []
  t.equal(resolve(FOLDER, file), resolve('haproxy.cfg'))
  const rendered = await execute('kubectl', ['kustomize', '--load-restrictor', 'LoadRestrictionsNone', FOLDER]).then(({ stdout }) => parseManifests(stdout), () => undefined)
  if (rendered === undefined) return t.comment('kubectl, 1.21 or later, is not here')
  for (const manifest of rendered) t.same(schemaErrors(manifest), [], `${manifest.kind} ${manifest.metadata?.name}`)
  t.ok(rendered.every(({ kind, metadata }) => kind === 'Namespace' ? metadata?.name === 'chat' : metadata?.namespace === 'chat'))
  const maps = new Map(rendered.filter(ConfigMap.is).map(({ metadata, data }) => [metadata?.name, data]))
  t.equal(maps.size, 3)
  const pods = rendered.filter(Deployment.is).map(({ spec }) => spec?.template.spec)
  const references = pods.flatMap((pod) => [
    ...pod?.containers.flatMap(({ envFrom = [] }) => envFrom.map(({ configMapRef }) => configMapRef?.name)) ?? [],
    ...pod?.volumes?.flatMap(({ configMap }) => configMap ? [configMap.name] : []) ?? []
  ])
  t.same(references.sort(), [...maps.keys()].sort(), 'each is used under its name of now')
  t.ok([...maps.values()].some((data) => data?.['haproxy.cfg'] === haproxyConfig))
})

t.test('a pod that stops is given the time it takes', async (t) => {
  const chat = podOf('chat').spec?.terminationGracePeriodSeconds ?? 0
  t.ok(chat * 1000 > msOf('DRAIN_MS') + msOf('HANDOVER_MS') + msOf('REDIS_TIMEOUT_MS') + CLOSE_GRACE_MS, `${chat} s`)
  t.match(readFileSync('src/server.ts', 'utf8'), `CLOSE_GRACE_MS = ${CLOSE_GRACE_MS}`)
  const { spec, container } = podOf('haproxy')
  const [command, seconds] = container.lifecycle?.preStop?.exec?.command ?? []
  t.equal(command, 'sleep')
  t.ok((spec?.terminationGracePeriodSeconds ?? 0) > Number(seconds) + 15, 'a publisher is answered after at most 15 s')
})

t.test('what selects finds the pods it means, and each port that is named is there', async (t) => {
  for (const { metadata, spec } of workloads) t.same(spec?.selector.matchLabels, podOf(metadata?.name ?? '').labels, metadata?.name ?? '')
  for (const { metadata, spec } of manifests.filter(PodDisruptionBudget.is)) t.same(spec?.selector?.matchLabels, podOf(metadata?.name ?? '').labels, `the budget ${metadata?.name}`)
  for (const { metadata, spec } of manifests.filter(Service.is)) {
    const { labels, ports } = podOf(metadata?.name ?? '')
    t.same(spec?.selector, labels, `the service ${metadata?.name}`)
    for (const { targetPort } of spec?.ports ?? []) t.ok(ports.has(String(targetPort)), `${metadata?.name} has ${targetPort}`)
  }
  for (const { metadata, spec } of manifests.filter(NetworkPolicy.is)) {
    const { labels, ports } = podOf(metadata?.name ?? '')
    t.same(spec?.podSelector?.matchLabels, labels, `the policy ${metadata?.name}`)
    for (const { port } of spec?.ingress?.flatMap(({ ports = [] }) => ports) ?? []) t.ok(ports.has(String(port)), `${metadata?.name} has ${port}`)
  }
  for (const workload of workloads) {
    const { container, ports } = podOf(workload.metadata?.name ?? '')
    const probes = [container.startupProbe, container.livenessProbe, container.readinessProbe]
    for (const port of probes.flatMap((probe) => probe?.httpGet?.port ?? probe?.tcpSocket?.port ?? [])) t.ok(ports.has(String(port)), `${container.name} has ${port}`)
  }
  t.same([podOf('chat').ports.get('http'), podOf('chat').ports.get('metrics')], [Number(settings['PORT']), Number(settings['METRICS_PORT'])])
  t.same([podOf('chat').annotations['prometheus.io/port'], podOf('haproxy').annotations['prometheus.io/port']], [settings['METRICS_PORT'], '8404'])
})

t.test('each variable is one of the server, or of haproxy.cfg', async (t) => {
  const chat = podOf('chat').container.env ?? []
  for (const name of [...Object.keys(settings), ...chat.map(({ name }) => name)]) t.ok(name in ConfigSchema.properties, name)
  const balancer = podOf('haproxy').container.env ?? []
  for (const name of [...Object.keys(balancerSettings), ...balancer.filter(({ valueFrom }) => valueFrom === undefined).map(({ name }) => name)]) {
    t.match(haproxyConfig, new RegExp(`\\$\\{${name}[-}]|defined\\(${name}\\)`), name)
  }
})

t.test('no secret is in the repository', async (t) => {
  t.notOk('secretGenerator' in kustomization)
  for (const name of Object.keys({ ...settings, ...balancerSettings })) t.notMatch(name, /PASSWORD|SECRET|_KEYS?$/)
  for (const { name, value } of workloads.flatMap(({ spec }) => spec?.template.spec?.containers.flatMap(({ env = [] }) => env) ?? [])) {
    if (/PASSWORD|SECRET|AUTH|_KEYS?$/.test(name)) t.equal(value, undefined, name)
  }
})

t.test('no pod may more than it must', async (t) => {
  for (const { metadata } of workloads) {
    const { spec, container } = podOf(metadata?.name ?? '')
    t.match(spec, { automountServiceAccountToken: false, enableServiceLinks: false, securityContext: { runAsNonRoot: true, runAsUser: Number, seccompProfile: { type: 'RuntimeDefault' } } }, metadata?.name ?? '')
    t.same(container.securityContext, { allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: { drop: ['ALL'] } })
    t.ok(container.resources?.limits?.['memory'] && container.resources.requests?.['cpu'] && container.resources.requests['memory'])
  }
  // The image has Debian's node: this is its user.
  t.match(readFileSync('deploy/Dockerfile', 'utf8'), /^USER node$/m)
  t.equal(podOf('chat').spec?.securityContext?.runAsUser, 1000)
})

t.test('the autoscaler knows a metric that there is, and stays within what the load balancer can serve', async (t) => {
  const { spec } = only(manifests.filter(HorizontalPodAutoscaler.is))
  const metric = only(spec?.metrics?.flatMap(({ pods }) => pods?.metric.name ?? []) ?? [])
  const { app } = await build(t, { METRICS_PORT: String(await freePort()) })
  t.ok(app.metrics?.getSingleMetric(metric), metric)
  t.match(readFileSync(`${FOLDER}/prometheus-adapter.yaml`, 'utf8'), `seriesQuery: ${metric}{`)
  t.same(spec?.scaleTargetRef, { apiVersion: 'apps/v1', kind: 'Deployment', name: 'chat' })
  const slots = Number(balancerSettings['CHAT_SLOTS'] ?? /\$\{CHAT_SLOTS-(\d+)\}/.exec(haproxyConfig)?.[1])
  const { strategy, replicas } = named(manifests.filter(Deployment.is), 'chat').spec ?? {}
  t.ok((spec?.maxReplicas ?? slots) + Number(strategy?.rollingUpdate?.maxSurge) < slots)
  t.equal(replicas, undefined, 'which applying the manifest again would set back')
})

t.test('the load balancer starts where few files are allowed, takes its settings, answers its probes, and asks for the instances by the name of their service', async (t) => {
  const certificate = new Certificate(t)
  const { container } = podOf('haproxy')
  const chatAddress = container.env?.find(({ name }) => name === 'CHAT_ADDR')?.value?.replace('$(NAMESPACE)', kustomization.namespace) ?? ''
  const port = named(manifests.filter(Service.is), 'chat').spec?.ports?.[0]?.port
  t.equal(chatAddress, `chat.chat.svc.cluster.local:${port}`)
  const [mount] = container.volumeMounts?.filter(({ mountPath }) => balancerSettings['TLS_PEM'] === `${mountPath}/chat.pem`) ?? []
  const volume = podOf('haproxy').spec?.volumes?.find(({ name }) => name === mount?.name)
  t.same(volume?.secret?.items, [{ key: 'tls.crt', path: 'chat.pem' }, { key: 'tls.key', path: 'chat.pem.key' }])
  const ports = { http: await freePort(), https: await freePort(), admin: await freePort() }
  const [shell = '', option = '', script = ''] = container.command ?? []
  const haproxy = await ManagedProcess.start({
    command: shell,
    args: [option, `ulimit -n 3000\n${script.replace('/usr/local/etc/haproxy/haproxy.cfg', 'haproxy.cfg')}`],
    env: {
      ...balancerSettings,
      CHAT_ADDR: chatAddress,
      TLS_PEM: certificate.pathWithoutKey,
      BIND_HTTP: `127.0.0.1:${ports.http}`,
      BIND_HTTPS: `127.0.0.1:${ports.https}`,
      BIND_ADMIN: `127.0.0.1:${ports.admin}`,
      HAP_SOCK: join(temporaryFolder('chat-haproxy-'), 'haproxy.sock')
    },
    isReady: async () => (await fetch(`http://127.0.0.1:${ports.admin}/metrics`)).ok
  })
  t.teardown(() => haproxy.stop())
  t.match(haproxy.output, 'at most 1200 viewers')
  for (const probe of [container.livenessProbe, container.readinessProbe]) {
    // Another name gives no port, and so no answer.
    const { path, port: name } = probe?.httpGet ?? {}
    t.equal((await fetch(`http://127.0.0.1:${ports[name as keyof typeof ports]}${path}`)).status, 200, String(path))
  }
  const connection = await H2Connection.open(t, `https://127.0.0.1:${ports.https}`, certificate.pem)
  const [viewer] = await connection.watch([`/api/v1/chats/sse-connect/${crypto.randomUUID()}`])
  await eventually('the viewer is told to come back', () => viewer?.body.startsWith(':no-instance') === true)
})

t.test('an instance answers its probes', async (t) => {
  const { url } = await build(t)
  const { startupProbe, livenessProbe, readinessProbe } = podOf('chat').container
  for (const probe of [startupProbe, livenessProbe, readinessProbe]) t.equal((await fetch(`${url}${probe?.httpGet?.path}`)).status, 200, String(probe?.httpGet?.path))
})

t.test('the image is the one of this version', async (t) => {
  const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string }
  t.same(kustomization.images, [{ name: podOf('chat').container.image, newTag: version }])
})
