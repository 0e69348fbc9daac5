/** `window.animacy`: what a test, or a curious person with the console open, may read. */

import type { Line } from "./captions";
import type { Client } from "./client";

export interface Animacy {
  /** The token of the conversation, or null. */
  readonly session: string | null;
  /** "idle", "connecting", "live", "reconnecting", "busy" or "ended". */
  readonly state: string;
  /** "websocket" or "webrtc". */
  readonly connection: string;
  /** "listening", "thinking" or "speaking". */
  readonly character: string;
  readonly captions: readonly Readonly<Line>[];
  /** Sound minus picture at each picture shown, in ms: the last few thousand. */
  readonly avOffsets: readonly number[];
  /** How loud the character is just now, from 0 to 1. */
  readonly level: number;
  /** Counters as in `stats` of docs/protocol.md and more; totals since the conversation began. */
  stats(): Record<string, unknown>;
}

declare global {
  interface Window {
    animacy?: Animacy;
  }
}

export function expose(client: Client): void {
  window.animacy = {
    get session() {
      return client.session?.token ?? null;
    },
    get state() {
      return client.session?.state.name ?? "idle";
    },
    get connection() {
      return client.kind;
    },
    get character() {
      return client.character;
    },
    get captions() {
      return client.captions.lines;
    },
    get avOffsets() {
      return client.playout?.offsets() ?? [];
    },
    get level() {
      return client.playout?.level() ?? 0;
    },
    stats: () => ({
      shown: 0,
      ...client.playout?.peek(),
      flushes: client.flushes,
      ...client.done,
      rtt_ms: client.session?.rtt ?? null,
      reconnects: client.session?.reconnects ?? 0,
      junk: (client.session?.junk ?? 0) + (client.session?.connection?.junk ?? 0),
      unsent: (client.session?.unsent ?? 0) + (client.session?.connection?.unsent ?? 0),
      turns: client.turns.count,
      response_s: client.turns.response,
      response_p50_s: client.turns.median,
    }),
  };
}
