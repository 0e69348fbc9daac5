/** The live protocol over a WebSocket. */

import { BROKEN, type Connection, type ConnectionEvents, type Source } from "./connection";
import { type ClientMessage, Kind, MAX_PICTURE_BYTES, pack, parse, SUBPROTOCOL, unpack } from "./protocol";

/** What may wait in the browser to be sent: beyond it sound, then pictures are left out, in bytes. */
const MOST_WAITING = { microphone: 64 * 1024, camera: 32 * 1024, screen: 32 * 1024 };

export class SocketConnection implements Connection {
  readonly kind = "websocket";
  junk = 0;
  unsent = 0;
  readonly #socket: WebSocket;
  readonly #events: ConnectionEvents;
  readonly #sequences = { microphone: 0, camera: 0, screen: 0 };
  #over = false;

  constructor(url: string, events: ConnectionEvents) {
    this.#events = events;
    this.#socket = new WebSocket(url, SUBPROTOCOL);
    this.#socket.binaryType = "arraybuffer";
    this.#socket.onopen = () => events.opened();
    this.#socket.onmessage = (event: MessageEvent<string | ArrayBuffer>) => this.#take(event.data);
    this.#socket.onclose = (event) => this.#end(event.code, event.reason);
  }

  tell(message: ClientMessage): void {
    if (this.#socket.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(message));
  }

  sendPacket(source: Source, payload: Uint8Array, pts: number): void {
    if (this.#socket.readyState !== WebSocket.OPEN) return;
    const tooLong = source !== "microphone" && payload.byteLength > MAX_PICTURE_BYTES;
    if (tooLong || this.#socket.bufferedAmount > MOST_WAITING[source]) {
      this.unsent += 1;
      return;
    }
    const sequence = this.#sequences[source]++;
    this.#socket.send(pack({ kind: Kind[source], key: source !== "microphone", turn: 0, sequence, pts, payload }));
  }

  sendTrack(): void {}

  statistics(): Promise<null> {
    return Promise.resolve(null);
  }

  close(): void {
    this.#socket.close();
    // A dead network would keep the close event back.
    this.#end(BROKEN, "");
  }

  #take(data: string | ArrayBuffer): void {
    if (this.#over) return;
    this.#events.alive();
    if (typeof data === "string") {
      const message = parse(data);
      if (message === null) this.junk += 1;
      else if (message !== "unknown") this.#events.message(message);
      return;
    }
    const packet = unpack(data);
    if (packet === null || (packet.kind !== Kind.video && packet.kind !== Kind.sound)) this.junk += 1;
    else this.#events.packet(packet);
  }

  #end(code: number, reason: string): void {
    if (this.#over) return;
    this.#over = true;
    this.#events.closed({ code, reason });
  }
}
