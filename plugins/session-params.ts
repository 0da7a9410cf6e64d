import { Type } from 'typebox'

/** The path parameter of all chat routes. */
export const SessionParams = Type.Object({
  sessionId: Type.String({
    pattern: '^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$',
    description: 'Id of the chat room: a UUID, in upper or lower case.',
    examples: ['5f0c3a52-6c1d-4a3f-9d3e-0f6f1f0c9a11']
  })
})
