import { SUBJECT } from './contenders.js'
import { FIGURES, format, type FigureName } from './figures.js'
import type { Machine } from './machine.js'
import { title } from './scenarios.js'
import { summary, type ScenarioResult } from './results.js'

const WIDTH = 1000
const MARGIN = 24
const HEADER_HEIGHT = 76
const TITLE_HEIGHT = 54
const BAR_HEIGHT = 18
const BAR_GAP = 5
const NAME_WIDTH = 130
const VALUE_WIDTH = 96
const PANEL_WIDTH = (WIDTH - 3 * MARGIN) / 2

const STYLE = `
  text { font: 13px system-ui, sans-serif; fill: #1f2328 }
  .title { font-weight: 600; font-size: 14px }
  .page { font-weight: 600; font-size: 19px }
  .quiet { fill: #59636e; font-size: 12px }
  .paper { fill: #ffffff }
  .bar { fill: #afb8c1 }
  .ours { fill: #0969da }
  @media (prefers-color-scheme: dark) {
    text { fill: #f0f6fc }
    .quiet { fill: #9198a1 }
    .paper { fill: #0d1117 }
    .bar { fill: #565e67 }
    .ours { fill: #4493f8 }
  }`

const escape = (text: string) => text.replace(/[&<>]/g, (character) => `&#${character.charCodeAt(0)};`)

function textAt (x: number, y: number, text: string, attributes = ''): string {
  return `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" ${attributes}>${escape(text)}</text>`
}

/** Bars of one figure, from nought, the shortest first: less is better in all that is shown. */
function panel (result: ScenarioResult, name: FigureName, x: number, y: number): string {
  const values = result.outcomes
    .map((outcome) => ({ contender: outcome.contender, value: summary(outcome)?.[name], reason: outcome.reason }))
    .sort((a, b) => (a.value ?? Infinity) - (b.value ?? Infinity) || a.contender.localeCompare(b.contender))
  const largest = Math.max(...values.map(({ value }) => value ?? 0))
  const scale = (PANEL_WIDTH - NAME_WIDTH - VALUE_WIDTH) / (largest || 1)
  const bars = values.map(({ contender, value, reason }, row) => {
    const top = y + row * (BAR_HEIGHT + BAR_GAP)
    const middle = top + BAR_HEIGHT - 5
    const width = Math.max(1, (value ?? 0) * scale)
    return textAt(x + NAME_WIDTH - 8, middle, contender, 'text-anchor="end"') +
      (value === undefined ? '' : `<rect x="${x + NAME_WIDTH}" y="${top}" width="${width.toFixed(1)}" height="${BAR_HEIGHT}" rx="2" class="${contender === SUBJECT ? 'ours' : 'bar'}"/>`) +
      textAt(x + NAME_WIDTH + (value === undefined ? 0 : width + 6), middle, value === undefined ? reason?.split(':')[0] ?? 'n/a' : format(name, value))
  })
  return textAt(x, y - 10, `${FIGURES[name].label}, less is better`, 'class="quiet"') + bars.join('')
}

/** @returns an SVG with two panels a scenario, in light or dark as the reader has it */
export function chart (machine: Machine, results: readonly ScenarioResult[]): string {
  let y = HEADER_HEIGHT
  const parts: string[] = []
  for (const result of results) {
    parts.push(textAt(MARGIN, y + 16, title(result.scenario), 'class="title"'))
    for (const [column, name] of result.scenario.headline.entries()) {
      parts.push(panel(result, name, MARGIN + column * (PANEL_WIDTH + MARGIN), y + TITLE_HEIGHT))
    }
    y += TITLE_HEIGHT + result.outcomes.length * (BAR_HEIGHT + BAR_GAP) + MARGIN
  }
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${y}" role="img" aria-label="Benchmark of ${SUBJECT} and its rivals">
<style>${STYLE}
</style>
<rect width="${WIDTH}" height="${y}" class="paper"/>
${textAt(MARGIN, 34, `${SUBJECT} and its rivals`, 'class="page"')}
${textAt(MARGIN, 56, `${machine.processors}; node ${machine.versions.node ?? ''}; commit ${machine.commit}; ${machine.date.slice(0, 10)}`, 'class="quiet"')}
${parts.join('\n')}
</svg>
`
}
