import neostandard, { resolveIgnoresFromGitignore } from 'neostandard'

export default neostandard({
  ts: true,
  ignores: resolveIgnoresFromGitignore(),
  env: ['browser'],
  filesTs: ['src/**/*.ts', 'plugins/**/*.ts', 'test/**/*.ts', 'deploy/**/*.ts']
})
