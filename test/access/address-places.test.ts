import t from 'tap'
import { AddressPlaces } from '../../src/access/address-places.js'

t.test('an address gets as many places as it may have, and nothing is kept of one that has none', async (t) => {
  const places = new AddressPlaces(2)
  const enter = (address: string) => {
    const place = places.enter(address)
    if (place === 'full') throw new Error(`${address} is full`)
    return place
  }
  const [first, second, other] = [enter('a'), enter('a'), enter('b')]
  t.equal(places.enter('a'), 'full')
  t.equal(places.enter('a'), 'full', 'a refusal takes no place')
  first.leave()
  const third = enter('a')
  t.equal(places.enter('a'), 'full')
  t.equal(places.size, 2)
  for (const place of [second, third, other]) place.leave()
  t.equal(places.size, 0)
  enter('a')
  t.equal(places.size, 1)
})
