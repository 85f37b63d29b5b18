import { createConnection, createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { Transform } from "node:stream";

/** Returns a free port on the loopback. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/**
 * One replica's wire to the server: a port that passes bytes on. Cut it and the replica is offline, as when a cable is
 * pulled: connections break and new ones are refused.
 */
export class Wire {
  readonly port: number;
  /** How many bytes a second come from the server; any number if it is 0. */
  rate = 0;
  /** Changes what comes from the server, piece by piece as it comes. */
  change: (piece: Buffer) => Buffer = (piece) => piece;
  readonly #target: number;
  readonly #sockets = new Set<Socket>();
  #server: Server | undefined;

  private constructor(port: number, target: number) {
    this.port = port;
    this.#target = target;
  }

  static async make(target: number): Promise<Wire> {
    const wire = new Wire(await freePort(), target);
    await wire.mend();
    return wire;
  }

  get origin(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Breaks all connections and refuses new ones. */
  async cut(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    for (const socket of this.#sockets) socket.destroy();
    this.#sockets.clear();
    if (server) await new Promise((resolve) => server.close(resolve));
  }

  async mend(): Promise<void> {
    if (this.#server) return;
    const server = createServer((near) => {
      const far = createConnection(this.#target, "127.0.0.1");
      for (const [socket, other] of [[near, far], [far, near]] as const) {
        this.#sockets.add(socket);
        socket.on("error", () => other.destroy());
        socket.on("close", () => {
          this.#sockets.delete(socket);
          other.destroy();
        });
        if (socket === far) far.pipe(this.#slowly()).pipe(near);
        else near.pipe(far);
      }
    });
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(this.port, "127.0.0.1", resolve);
    });
    this.#server = server;
  }

  /** Passes bytes on at the rate. */
  #slowly(): Transform {
    return new Transform({
      transform: (piece: Buffer, _encoding, done) => {
        const chunk = this.change(piece);
        if (this.rate === 0) done(null, chunk);
        else setTimeout(() => done(null, chunk), (chunk.length / this.rate) * 1000);
      },
    });
  }
}
