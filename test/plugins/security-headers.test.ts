import t from 'tap'
import { build } from '../fixtures/build.js'

t.test('every answer but a stream says that it is no page, unless it is one, and may be read from everywhere', async (t) => {
  const { url } = await build(t)
  for (const path of ['/health/live', '/docs/json', '/chat-client.js', '/page.css', '/nowhere', '/', '/docs']) {
    const { headers } = await fetch(url + path)
    const policy = headers.get('content-security-policy')
    t.ok(policy?.includes("default-src 'none'") && policy.includes("frame-ancestors 'none'") && policy.includes("base-uri 'none'") && policy.includes("form-action 'none'"), `${path}: ${policy}`)
    t.notMatch(policy, /unsafe|https?:|\*/, path)
    t.equal(headers.get('x-content-type-options'), 'nosniff', path)
    t.equal(headers.get('x-frame-options'), 'DENY', path)
    t.equal(headers.get('referrer-policy'), 'no-referrer', path)
    t.equal(headers.get('cross-origin-resource-policy'), 'cross-origin', path)
    t.equal(headers.get('strict-transport-security'), null, path)
    t.equal(headers.get('access-control-allow-origin'), '*', path)
  }
})

t.test('the head of a stream is as short as it was', async (t) => {
  const { watch } = await build(t)
  const { headers } = await watch(crypto.randomUUID())
  t.same([...headers.keys()].sort(), ['access-control-allow-origin', 'cache-control', 'connection', 'content-type', 'date', 'vary', 'x-accel-buffering'])
})
