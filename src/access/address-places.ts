/** An address that has streams open. Each of them refers to it, so that counting costs a stream no more than that. */
export class AddressPlace {
  #streams = 0

  constructor (private readonly address: string, private readonly places: Map<string, AddressPlace>) {}

  get streams () { return this.#streams }

  enter () {
    this.#streams++
    this.places.set(this.address, this)
  }

  /** Gives a place back; once for each `enter`. */
  leave () {
    this.#streams--
    if (this.#streams === 0) this.places.delete(this.address)
  }
}

/** How many streams each address has open, and may have. Only addresses that have some are kept. */
export class AddressPlaces {
  readonly #places = new Map<string, AddressPlace>()

  /** @param limit of streams per address */
  constructor (private readonly limit: number) {}

  /** Addresses that have streams open. */
  get size () { return this.#places.size }

  /** Takes a place, until its `leave`. */
  enter (address: string): AddressPlace | 'full' {
    const place = this.#places.get(address) ?? new AddressPlace(address, this.#places)
    if (place.streams >= this.limit) return 'full'
    place.enter()
    return place
  }
}
