import type { Owner } from '../broker/broker.js'
import type { Tenure } from './tenure.js'

/** What this instance is to a room. */
export type Role =
  /** Not heard yet, or not known at present who owns the room. */
  | { readonly type: 'asking' }
  /** This instance numbers the messages. */
  | { readonly type: 'owner', readonly tenure: Tenure }
  /** Another one does. */
  | { readonly type: 'follower', readonly owner: Owner }
  /** Given up in favour of a follower; listening until it has taken over. */
  | { readonly type: 'released' }
  | { readonly type: 'closed' }

export const ASKING: Role = { type: 'asking' }

/** @returns how the log tells of a change of roles; undefined when it does not */
export function changeOfRole (former: Role, role: Role): [bindings: object, message: string] | undefined {
  switch (role.type) {
    case 'owner': return [{ term: role.tenure.term }, 'room is owned here']
    case 'follower': return [{ owner: role.owner.instance, term: role.owner.term }, 'room is owned elsewhere, following']
    case 'released': return [{}, 'room is released to a follower']
    case 'asking': return former.type === 'asking' ? undefined : [{ former: former.type }, 'asking who owns the room']
    case 'closed': return undefined
  }
}
