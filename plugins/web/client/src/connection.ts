/** What carries a conversation: a WebSocket (socket.ts) or WebRTC (rtc.ts). One object a connection, used once. */

import type { ClientMessage, Packet, ServerMessage } from "./protocol";

export type ConnectionKind = "websocket" | "webrtc";
export type Source = "microphone" | "camera" | "screen";

/** Why a connection is over. `code` as in docs/protocol.md, 1006 when it broke. */
export interface Closed {
  code: number;
  reason: string;
}

export const BROKEN = 1006;

export interface ConnectionEvents {
  /** Messages may be sent from now on. */
  opened(): void;
  message(message: ServerMessage): void;
  /** Encoded media; WebSocket only. */
  packet(packet: Packet): void;
  /** Media that the browser plays by itself; WebRTC only. */
  stream(stream: MediaStream): void;
  /** Anything at all came. */
  alive(): void;
  /** Once, and the last event. */
  closed(closed: Closed): void;
}

export interface Connection {
  readonly kind: ConnectionKind;
  /** Malformed messages that were dropped. */
  readonly junk: number;
  /** Media that was not sent because the network took no more. */
  readonly unsent: number;
  tell(message: ClientMessage): void;
  /** Send media as packets; does nothing where `sendTrack` is used. `pts` in microseconds. */
  sendPacket(source: Source, payload: Uint8Array, pts: number): void;
  /** Send media as a track, or none any more; does nothing where packets are used. */
  sendTrack(source: Source, track: MediaStreamTrack | null): void;
  /** Statistics of a WebRTC connection. */
  statistics(): Promise<RTCStatsReport | null>;
  close(): void;
}
