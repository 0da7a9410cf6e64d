declare module 'cluster-key-slot' {
  /** The slot of a key: of what stands in its first braces, if anything does. */
  export default function slotOf (key: string): number
}
