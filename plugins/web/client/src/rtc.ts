/** The live protocol over WebRTC: messages on a data channel, media as tracks, as Pipecat's SmallWebRTC has it. */

import { BROKEN, type Connection, type ConnectionEvents, type Source } from "./connection";
import { type ClientMessage, CloseCode, parse } from "./protocol";

/** The places of the tracks in the offer. */
const PLACES: Record<Source, number> = { microphone: 0, camera: 1, screen: 2 };
const GATHER_MS = 2000;
const KEEP_ALIVE_MS = 1000;
const DISCONNECTED_MS = 4000;
const MOST_WAITING = 256 * 1024;

export class RtcConnection implements Connection {
  readonly kind = "webrtc";
  junk = 0;
  unsent = 0;
  readonly #events: ConnectionEvents;
  readonly #peer = new RTCPeerConnection();
  readonly #channel: RTCDataChannel;
  readonly #offerUrl: string;
  readonly #stream = new MediaStream();
  #id: string | null = null;
  #keepAlive = 0;
  #disconnected = 0;
  #over = false;

  constructor(offerUrl: string, events: ConnectionEvents) {
    this.#offerUrl = offerUrl;
    this.#events = events;
    for (const kind of ["audio", "video"]) this.#peer.addTransceiver(kind, { direction: "sendrecv" });
    this.#peer.addTransceiver("video", { direction: "sendonly" });
    this.#channel = this.#peer.createDataChannel("rtvi", { ordered: true });
    this.#channel.onopen = () => this.#open();
    this.#channel.onmessage = (event: MessageEvent<unknown>) => this.#take(event.data);
    this.#channel.onclose = () => this.#end(BROKEN, "");
    this.#peer.ontrack = ({ track }) => {
      this.#stream.addTrack(track);
      events.stream(this.#stream);
    };
    this.#peer.onconnectionstatechange = () => this.#follow();
    this.#negotiate().catch(() => this.#end(BROKEN, ""));
  }

  tell(message: ClientMessage): void {
    if (this.#channel.readyState !== "open" || this.#channel.bufferedAmount > MOST_WAITING) return;
    this.#channel.send(JSON.stringify(message));
  }

  sendPacket(): void {}

  sendTrack(source: Source, track: MediaStreamTrack | null): void {
    if (this.#over) return;
    const place = PLACES[source];
    // Refused only when the connection is over.
    this.#peer.getTransceivers()[place]?.sender.replaceTrack(track).catch(() => undefined);
    this.#signal({ type: "trackStatus", receiver_index: place, enabled: track !== null });
  }

  statistics(): Promise<RTCStatsReport | null> {
    return this.#over ? Promise.resolve(null) : this.#peer.getStats();
  }

  close(): void {
    this.#end(BROKEN, "");
  }

  async #negotiate(): Promise<void> {
    await this.#peer.setLocalDescription();
    await this.#gathered();
    const offer = this.#peer.localDescription;
    if (offer === null || this.#over) return;
    const response = await fetch(this.#offerUrl, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ sdp: offer.sdp, type: offer.type, pc_id: this.#id }),
      signal: AbortSignal.timeout(60_000),
    });
    const answer = await response.text();
    if (this.#over) return;
    if (!response.ok) {
      this.#refused(answer);
      return;
    }
    const found = JSON.parse(answer) as { sdp?: unknown; pc_id?: unknown };
    if (typeof found.sdp !== "string" || typeof found.pc_id !== "string") throw new TypeError("not an answer");
    this.#id = found.pc_id;
    await this.#peer.setRemoteDescription({ type: "answer", sdp: found.sdp });
  }

  #refused(answer: string): void {
    const message = parse(answer);
    if (message === null || message === "unknown" || message.type !== "refused") {
      this.#events.message({ type: "refused", data: { reason: "format", message: answer.slice(0, 300) } });
      this.#end(CloseCode.notThisProtocol, "");
      return;
    }
    this.#events.message(message);
    this.#end(message.data.reason === "busy" ? CloseCode.busy : CloseCode.closing, message.data.reason);
  }

  /** The offer goes once with all addresses in it, so they must be known. */
  #gathered(): Promise<void> {
    return new Promise((done) => {
      const check = () => this.#peer.iceGatheringState === "complete" && done();
      this.#peer.addEventListener("icegatheringstatechange", check);
      setTimeout(done, GATHER_MS);
      check();
    });
  }

  #open(): void {
    this.#keepAlive = window.setInterval(() => this.#channel.readyState === "open" && this.#channel.send("ping"), KEEP_ALIVE_MS);
    this.#events.opened();
  }

  #take(data: unknown): void {
    if (this.#over) return;
    this.#events.alive();
    if (typeof data !== "string") {
      this.junk += 1;
      return;
    }
    const signal = readSignal(data);
    if (signal === "renegotiate") {
      this.#negotiate().catch(() => this.#end(BROKEN, ""));
    } else if (signal === "peerLeft") {
      this.#end(CloseCode.ended, "");
    } else if (signal === null) {
      const message = parse(data);
      if (message === null) this.junk += 1;
      else if (message !== "unknown") this.#events.message(message);
    }
  }

  #follow(): void {
    clearTimeout(this.#disconnected);
    const state = this.#peer.connectionState;
    if (state === "failed" || state === "closed") this.#end(BROKEN, "");
    // It may come back by itself.
    else if (state === "disconnected") {
      this.#disconnected = window.setTimeout(() => this.#end(BROKEN, ""), DISCONNECTED_MS);
    } else if (state === "connected") this.#events.alive();
  }

  #signal(message: Record<string, unknown>): void {
    if (this.#channel.readyState === "open") this.#channel.send(JSON.stringify({ type: "signalling", message }));
  }

  #end(code: number, reason: string): void {
    if (this.#over) return;
    this.#over = true;
    clearInterval(this.#keepAlive);
    clearTimeout(this.#disconnected);
    this.#channel.onclose = null;
    this.#peer.onconnectionstatechange = null;
    this.#peer.ontrack = null;
    this.#channel.close();
    this.#peer.close();
    this.#events.closed({ code, reason });
  }
}

/** The kind of a signalling message; "" for one that means nothing here, null for any other message. */
function readSignal(data: string): string | null {
  if (data.startsWith("ping")) return "";
  try {
    const found = JSON.parse(data) as { type?: unknown; message?: { type?: unknown } } | null;
    if (found?.type !== "signalling") return null;
    return typeof found.message?.type === "string" ? found.message.type : "";
  } catch {
    return null;
  }
}
