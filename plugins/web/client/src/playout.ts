/** Shows and plays the character, over whichever connection. */

import type { Packet, VideoFormat, Welcome } from "./protocol";

/** What the client says in `stats`; null for what it cannot tell. */
export interface PlayoutStats {
  playhead: number | null;
  buffer_ms: number;
  av_offset_ms: number[];
  shown: number;
  late: number;
  dropped: number;
  repeated: number;
  longest_gap_ms: number;
}

/** Until nothing of a turn was heard, and until its last picture was replaced, in ms. */
export interface Flushed {
  turn: number;
  silent_ms: number;
  still_ms: number;
}

export interface Playout {
  /** A connection is welcomed: the first, or one more. */
  begin(welcome: Welcome): void;
  packet(packet: Packet): void;
  stream(stream: MediaStream): void;
  format(video: VideoFormat): void;
  flush(turn: number, at: number): void;
  /** The connection is away. */
  lost(): void;
  /** The pts (microseconds) that is heard now, or null where it cannot be told. */
  heard(): number | null;
  /** How loud the character is just now, from 0 to 1. */
  level(): number;
  /** Totals, and lists of what happened since the last call. */
  collect(): PlayoutStats;
  /** The same counters and more, for whoever watches; takes nothing away. */
  peek(): Record<string, unknown>;
  /** Sound minus picture at each picture shown, in ms; the last few thousand. */
  offsets(): readonly number[];
  close(): void;
}

/** What a playout is drawn on, and whom it tells. */
export interface Surroundings {
  canvas: HTMLCanvasElement;
  backdrop: HTMLCanvasElement;
  video: HTMLVideoElement;
  /** The first picture of a conversation is there. */
  seen(): void;
  /** Captions may be due. */
  tick(): void;
  flushed(flushed: Flushed): void;
  askForKey(): void;
}
