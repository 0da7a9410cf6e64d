/** The part of a pino logger that the domain uses: an object first, the sentence second. */
export interface Log {
  debug (bindings: object, sentence: string): void
  info (bindings: object, sentence: string): void
  warn (bindings: object, sentence: string): void
  error (bindings: object, sentence: string): void
}
