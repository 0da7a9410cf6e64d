import { Type, type Static } from 'typebox'
import Value from 'typebox/value'

/** The rooms that a key or a token is for, as it names them: all, or some by their ids in any letter case. */
export const RoomList = Type.Union([
  Type.Literal('*'),
  Type.Array(Type.String({ pattern: '^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$' }))
])

/** @returns whether a room, by its id in any letter case, is among them */
export type RoomScope = (roomId: string) => boolean

export const allRooms: RoomScope = () => true
const noRooms: RoomScope = () => false

export function roomScope (list: Static<typeof RoomList>): RoomScope {
  if (list === '*') return allRooms
  const ids = new Set(list.map((id) => id.toLowerCase()))
  return (roomId) => ids.has(roomId.toLowerCase())
}

/** @param list may be anything: what is no list of rooms allows none */
export function roomScopeOf (list: unknown): RoomScope {
  return Value.Check(RoomList, list) ? roomScope(list) : noRooms
}
