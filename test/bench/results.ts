import { medians, type Figures } from './figures.js'
import type { Scenario } from './scenarios.js'

/** What one contender did in one scenario. */
export interface Outcome {
  readonly contender: string
  readonly rounds: Figures[]
  /** Why there is nothing to show. */
  reason?: string
}

export interface ScenarioResult {
  readonly scenario: Scenario
  readonly outcomes: readonly Outcome[]
}

/** @returns of each figure the median over the rounds; undefined when it was not measured */
export function summary ({ rounds }: Outcome): Figures | undefined {
  return rounds.length === 0 ? undefined : medians(rounds)
}
