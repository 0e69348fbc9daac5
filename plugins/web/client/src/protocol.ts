/**
 * The live protocol's messages, as docs/protocol.md describes them: packed, unpacked, checked.
 *
 * What is not of the protocol comes back as null, never as an exception; whoever reads counts and drops it.
 */

import { ACTIONS, type Action } from "./actions";

export const SUBPROTOCOL = "animacy.v1";
export const LABEL = "animacy";
export const RTVI_LABEL = "rtvi-ai";
export const RTVI_VERSION = "2.2.0";
export const HEADER_BYTES = 16;
/** The longest picture that may be sent, in bytes. */
export const MAX_PICTURE_BYTES = 512 * 1024;
/** Text messages longer than this are not looked at, in characters. */
export const MAX_TEXT = 256 * 1024;

export const Kind = { video: 1, sound: 2, microphone: 16, camera: 17, screen: 18 } as const;
export type Kind = (typeof Kind)[keyof typeof Kind];

export const CloseCode = {
  ended: 1000,
  notThisProtocol: 4000,
  busy: 4001,
  replaced: 4002,
  timeLimit: 4003,
  tooSlow: 4004,
  closing: 4005,
} as const;

const KEY_FLAG = 1;
const KINDS: ReadonlySet<number> = new Set(Object.values(Kind));

/** One binary message; `pts` in microseconds, `turn` 0 when nobody speaks. */
export interface Packet {
  kind: Kind;
  key: boolean;
  turn: number;
  sequence: number;
  pts: number;
  payload: Uint8Array;
}

/** A packet as it is sent. */
export function pack(packet: Packet): ArrayBuffer {
  const data = new ArrayBuffer(HEADER_BYTES + packet.payload.byteLength);
  const view = new DataView(data);
  view.setUint8(0, packet.kind);
  view.setUint8(1, packet.key ? KEY_FLAG : 0);
  view.setUint16(2, packet.turn & 0xffff, true);
  view.setUint32(4, packet.sequence >>> 0, true);
  view.setBigInt64(8, BigInt(Math.round(packet.pts)), true);
  new Uint8Array(data, HEADER_BYTES).set(packet.payload);
  return data;
}

/** The packet in a binary message, or null. The payload is a view, not a copy. */
export function unpack(data: ArrayBuffer): Packet | null {
  if (data.byteLength < HEADER_BYTES) return null;
  const view = new DataView(data);
  const kind = view.getUint8(0);
  const pts = Number(view.getBigInt64(8, true));
  if (!KINDS.has(kind) || !Number.isSafeInteger(pts)) return null;
  return {
    kind: kind as Kind,
    key: (view.getUint8(1) & KEY_FLAG) !== 0,
    turn: view.getUint16(2, true),
    sequence: view.getUint32(4, true),
    pts,
    payload: new Uint8Array(data, HEADER_BYTES),
  };
}

export interface VideoFormat {
  codec: string;
  /** For WebCodecs; missing over WebRTC, where the browser decodes by itself. */
  codecString: string | null;
  width: number;
  height: number;
  fps: number;
}

export interface AudioFormat {
  codec: "opus" | "pcm";
  sampleRate: number;
}

export interface Welcome {
  session: string;
  resumed: boolean;
  character: { name: string; language: string };
  video: VideoFormat;
  audio: AudioFormat;
  /** Seconds a lost connection may stay away. */
  grace: number;
}

export type CharacterState = "listening" | "thinking" | "speaking";
const MOST_SOURCES = 16;
const STATES: readonly string[] = ["listening", "thinking", "speaking"];

/** A turn of the report: seconds after the end of the user's speech, null for what never came. */
export interface Waterfall {
  index: number;
  user: string;
  character: string;
  interrupted: boolean;
  moments: Record<Moment, number | null>;
}

export const MOMENTS = [
  "turn_decision",
  "final_transcript",
  "first_llm_token",
  "first_tts_audio",
  "first_response_frame",
] as const;
export type Moment = (typeof MOMENTS)[number];

/** What the server says, checked. `rtvi` messages come as they are, for their types are Pipecat's. */
export type ServerMessage =
  | { type: "welcome"; data: Welcome }
  | { type: "refused"; data: { reason: string; message: string } }
  | { type: "pong"; data: { t: number } }
  | { type: "flush"; data: { turn: number; at: number; final: boolean } }
  | { type: "caption"; data: { turn: number; pts: number; text: string } }
  | { type: "state"; data: { state: CharacterState } }
  | { type: "waterfall"; data: Waterfall }
  | { type: "video"; data: VideoFormat }
  | { type: "client-event"; data: ClientEvent }
  | { type: "page-action"; data: PageAction }
  | { type: "sources"; data: { sources: Passage[] } }
  | { type: "looking"; data: { source: "camera" | "screen" } }
  | { type: "bye"; data: { reason: string; message: string } }
  | { type: "rtvi"; data: { type: string; data: Fields } };

/** Something that a tool of the character tells the page. */
export interface ClientEvent {
  name: string;
  arguments: Fields;
  call: string;
}

export interface PageAction {
  action: Action;
  target: string;
  call: string;
}

/** A passage of a document that an answer was given from. */
export interface Passage {
  source: string;
  headings: string[];
  text: string;
}

/** A text message of the client. */
export interface ClientMessage {
  label: typeof LABEL | typeof RTVI_LABEL;
  type: string;
  id?: string;
  data: Record<string, unknown>;
}

export type Fields = Record<string, unknown>;

/** A text message of this protocol. */
export function message(type: string, data: Record<string, unknown> = {}): ClientMessage {
  return { label: LABEL, type, data };
}

/** An RTVI message; `id` tells it from others of the same client. */
export function rtviMessage(type: string, id: string, data: Record<string, unknown> = {}): ClientMessage {
  return { label: RTVI_LABEL, type, id, data };
}

/**
 * The message in a text. "unknown" for one that is well formed but of a type (or RTVI's) that means nothing here, which
 * is ignored; null for anything malformed.
 */
export function parse(text: string): ServerMessage | "unknown" | null {
  if (text.length > MAX_TEXT) return null;
  let found: unknown;
  try {
    found = JSON.parse(text);
  } catch {
    return null;
  }
  if (!isFields(found) || typeof found.type !== "string") return null;
  const data = found.data ?? {};
  if (!isFields(data)) return null;
  if (found.label === RTVI_LABEL) return { type: "rtvi", data: { type: found.type, data } };
  if (found.label !== LABEL) return null;
  const read = READERS.get(found.type);
  return read === undefined ? "unknown" : read(data);
}

const readers: Record<string, (data: Fields) => ServerMessage | null> = {
  welcome(data) {
    const character = isFields(data.character) ? data.character : {};
    const video = readVideo(data.video);
    const audio = readAudio(data.audio);
    const session = text(data.session, 256);
    const grace = number(data.grace, 0, 3600);
    if (video === null || audio === null || session === null || grace === null) return null;
    const name = text(character.name, 200) ?? "";
    const language = text(character.language, 35) ?? "";
    return {
      type: "welcome",
      data: { session, resumed: data.resumed === true, character: { name, language }, video, audio, grace },
    };
  },
  refused: (data) => ({ type: "refused", data: readReason(data) }),
  pong(data) {
    const t = number(data.t);
    return t === null ? null : { type: "pong", data: { t } };
  },
  flush(data) {
    const turn = number(data.turn, 0, 0xffff);
    const at = number(data.at);
    return turn === null || at === null ? null : { type: "flush", data: { turn, at, final: data.final === true } };
  },
  caption(data) {
    const turn = number(data.turn, 0, 0xffff);
    const pts = number(data.pts);
    const words = text(data.text, 4000);
    return turn === null || pts === null || words === null ? null : { type: "caption", data: { turn, pts, text: words } };
  },
  state(data) {
    const state = data.state;
    return typeof state === "string" && STATES.includes(state)
      ? { type: "state", data: { state: state as CharacterState } }
      : null;
  },
  waterfall(data) {
    const index = number(data.index, 0);
    if (index === null) return null;
    const moments = Object.fromEntries(MOMENTS.map((name) => [name, number(data[name])])) as Waterfall["moments"];
    const user = text(data.user, 4000) ?? "";
    const character = text(data.character, 8000) ?? "";
    return { type: "waterfall", data: { index, user, character, interrupted: data.interrupted === true, moments } };
  },
  video(data) {
    const video = readVideo(data);
    return video === null ? null : { type: "video", data: video };
  },
  bye: (data) => ({ type: "bye", data: readReason(data) }),
  "client-event"(data) {
    const name = toolName(data.name);
    const call = text(data.call, 64);
    if (name === null || call === null || !isFields(data.arguments)) return null;
    return { type: "client-event", data: { name, arguments: data.arguments, call } };
  },
  "page-action"(data) {
    const action = ACTIONS.find((known) => known === data.name);
    const target = isFields(data.arguments) ? text(data.arguments.target, 100) : null;
    const call = text(data.call, 64);
    if (action === undefined || target === null || target === "" || call === null) return null;
    return { type: "page-action", data: { action, target, call } };
  },
  sources(data) {
    if (!Array.isArray(data.sources) || data.sources.length > MOST_SOURCES) return null;
    const sources = data.sources.map(readPassage);
    return sources.some((passage) => passage === null)
      ? null
      : { type: "sources", data: { sources: sources as Passage[] } };
  },
  looking: ({ source }) => (source === "camera" || source === "screen" ? { type: "looking", data: { source } } : null),
};
/** A map, for an object has members that nobody put there. */
const READERS = new Map(Object.entries(readers));

function readPassage(found: unknown): Passage | null {
  if (!isFields(found)) return null;
  const source = text(found.source, 400);
  const words = text(found.text, 4000);
  const headings = Array.isArray(found.headings) ? found.headings.map((heading) => text(heading, 400)) : [];
  if (source === null || words === null || headings.includes(null)) return null;
  return { source, headings: headings as string[], text: words };
}

function toolName(found: unknown): string | null {
  return typeof found === "string" && /^[a-z][a-z0-9_]{0,63}$/.test(found) ? found : null;
}

function readVideo(found: unknown): VideoFormat | null {
  if (!isFields(found)) return null;
  const codec = text(found.codec, 32);
  const width = number(found.width, 2, 8192);
  const height = number(found.height, 2, 8192);
  const fps = number(found.fps, 1, 240);
  if (codec === null || width === null || height === null || fps === null) return null;
  return { codec, codecString: text(found.codec_string, 64), width, height, fps };
}

function readAudio(found: unknown): AudioFormat | null {
  if (!isFields(found)) return null;
  const sampleRate = number(found.sample_rate, 8000, 96_000);
  if ((found.codec !== "opus" && found.codec !== "pcm") || sampleRate === null) return null;
  return { codec: found.codec, sampleRate };
}

function readReason(data: Fields): { reason: string; message: string } {
  return { reason: text(data.reason, 100) ?? "", message: text(data.message, 1000) ?? "" };
}

function isFields(found: unknown): found is Fields {
  return typeof found === "object" && found !== null && !Array.isArray(found);
}

/** A string of at most so many characters, or null. */
function text(found: unknown, most: number): string | null {
  return typeof found === "string" && found.length <= most ? found : null;
}

/** A finite number between two bounds, or null. */
function number(found: unknown, least = Number.MIN_SAFE_INTEGER, most = Number.MAX_SAFE_INTEGER): number | null {
  return typeof found === "number" && Number.isFinite(found) && found >= least && found <= most ? found : null;
}
