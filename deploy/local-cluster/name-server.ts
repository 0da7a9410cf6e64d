import { createSocket, type Socket } from 'node:dgram'
import dnsPacket from 'dns-packet'

/** Answers every question for an IPv4 address with the addresses of the instances, as Docker's name server does. */
export class NameServer {
  addresses: string[] = []
  readonly #socket: Socket = createSocket('udp4')

  static async start (): Promise<NameServer> {
    const server = new NameServer()
    server.#socket.on('message', (message, from) => {
      const { id, questions = [] } = dnsPacket.decode(message)
      const answers = questions
        .filter(({ type }) => type === 'A')
        .flatMap(({ name }) => server.addresses.map((data) => ({ type: 'A' as const, name, ttl: 1, data })))
      server.#socket.send(dnsPacket.encode({
        type: 'response',
        ...(id === undefined ? {} : { id }),
        flags: dnsPacket.RECURSION_DESIRED | dnsPacket.RECURSION_AVAILABLE,
        questions,
        answers
      }), from.port, from.address)
    })
    await new Promise<void>((resolve) => server.#socket.bind(0, '127.0.0.1', resolve))
    return server
  }

  get port (): number { return this.#socket.address().port }

  stop () {
    this.#socket.close()
  }
}
