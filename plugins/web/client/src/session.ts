/** One conversation, however often its connection breaks: hello, welcome, and back again within the grace time. */

import type { Closed, Connection, ConnectionEvents } from "./connection";
import { type ClientMessage, CloseCode, message, type Packet, rtviMessage, RTVI_VERSION, type ServerMessage, type Welcome } from "./protocol";

export type SessionState =
  | { name: "idle" }
  | { name: "connecting" }
  | { name: "live" }
  | { name: "reconnecting"; attempt: number }
  | { name: "busy"; message: string }
  | { name: "ended"; reason: string; message: string };

/** What this client can do, for `hello`. */
export interface Abilities {
  video: string[];
  audio: string[];
  about: string;
}

export interface SessionEvents {
  state(state: SessionState): void;
  /** A connection is welcomed; media of it follows. */
  welcome(welcome: Welcome, connection: Connection): void;
  message(message: ServerMessage): void;
  packet(packet: Packet): void;
  stream(stream: MediaStream): void;
}

/** Where the token outlives a reload of the page: sessionStorage. */
export type Store = Pick<Storage, "getItem" | "setItem" | "removeItem">;

const TOKEN = "animacy.session";
const PING_MS = 1000;
/** The server sends pictures all the time; without anything for so long the connection is dead. */
const DEAD_MS = 6000;
/** How long the first connection, and any server that told no grace, is tried for, in seconds. */
const PATIENCE = 20;
const CONNECT_MS = 60_000;
const FIRST_WAIT_MS = 250;
const LONGEST_WAIT_MS = 4000;

/** Ms to wait before this attempt (from 1) to connect again. `random` from 0 to 1 keeps visitors from coming at once. */
export function backOff(attempt: number, random: number): number {
  return Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** (attempt - 1)) * (0.75 + 0.5 * random);
}

export class Session {
  state: SessionState = { name: "idle" };
  /** Round trip of the last ping, in ms. */
  rtt: number | null = null;
  reconnects = 0;
  /** Malformed messages dropped on all connections. */
  junk = 0;
  unsent = 0;
  readonly #connect: (events: ConnectionEvents) => Connection;
  readonly #abilities: Abilities;
  readonly #events: SessionEvents;
  readonly #store: Store;
  #connection: Connection | null = null;
  #welcomed = false;
  #grace = PATIENCE;
  #lost = 0;
  #attempt = 0;
  #farewell: { reason: string; message: string } | null = null;
  #retry = 0;
  #ticker = 0;
  #deadline = 0;
  #heard = 0;
  #messageId = 0;
  readonly #online = () => this.state.name === "reconnecting" && this.#again(0);

  constructor(
    connect: (events: ConnectionEvents) => Connection,
    abilities: Abilities,
    events: SessionEvents,
    store: Store,
  ) {
    this.#connect = connect;
    this.#abilities = abilities;
    this.#events = events;
    this.#store = store;
  }

  /** The token of this conversation, or null. */
  get token(): string | null {
    return this.#store.getItem(TOKEN);
  }

  get connection(): Connection | null {
    return this.#connection;
  }

  /** Begin, or begin again after the end. */
  start(): void {
    if (this.#connection !== null) return;
    this.#farewell = null;
    this.#attempt = 0;
    this.#lost = performance.now();
    window.addEventListener("online", this.#online);
    this.#set({ name: "connecting" });
    this.#open();
  }

  /** The user leaves. */
  leave(): void {
    this.tell(message("bye"));
    this.#store.removeItem(TOKEN);
    this.#finish("left", "");
  }

  tell(text: ClientMessage): void {
    if (this.#welcomed) this.#connection?.tell(text);
  }

  /** Send an RTVI message. */
  tellRtvi(type: string, data: Record<string, unknown>): void {
    this.tell(rtviMessage(type, String(++this.#messageId), data));
  }

  #open(): void {
    this.#welcomed = false;
    this.#deadline = performance.now() + CONNECT_MS;
    this.#heard = performance.now();
    let connection: Connection | null = null;
    const mine = () => connection === null || this.#connection === connection;
    connection = this.#connect({
      opened: () => mine() && this.#hello(),
      message: (text) => mine() && this.#take(text),
      packet: (packet) => mine() && this.#welcomed && this.#events.packet(packet),
      stream: (stream) => mine() && this.#events.stream(stream),
      alive: () => {
        this.#heard = performance.now();
      },
      closed: (closed) => mine() && this.#closed(closed),
    });
    this.#connection = connection;
    clearInterval(this.#ticker);
    this.#ticker = window.setInterval(() => this.#tick(), PING_MS);
  }

  #hello(): void {
    const { video, audio, about } = this.#abilities;
    this.#connection?.tell(message("hello", { session: this.token, video, audio, microphone: "pcm", about }));
  }

  #take(text: ServerMessage): void {
    if (text.type === "welcome") {
      this.#welcome(text.data);
    } else if (text.type === "pong") {
      this.rtt = Math.max(0, performance.now() - text.data.t);
    } else if (text.type === "refused" || text.type === "bye") {
      this.#farewell = text.data;
      // What comes then over this connection is its end; over WebRTC nothing may come.
      if (text.type === "bye") this.#end(text.data);
    } else if (this.#welcomed) {
      this.#events.message(text);
    }
  }

  #welcome(welcome: Welcome): void {
    const connection = this.#connection;
    if (connection === null) return;
    if (this.state.name === "reconnecting") this.reconnects += 1;
    this.#welcomed = true;
    this.#attempt = 0;
    this.#grace = Math.max(welcome.grace, PATIENCE / 2);
    this.#store.setItem(TOKEN, welcome.session);
    this.#events.welcome(welcome, connection);
    this.tellRtvi("client-ready", { version: RTVI_VERSION, about: { library: "animacy" } });
    this.#ping();
    this.#set({ name: "live" });
  }

  #closed({ code }: Closed): void {
    const { reason, message: why } = this.#farewell ?? { reason: "", message: "" };
    this.#drop();
    if (code === CloseCode.busy || reason === "busy") {
      this.#stop();
      this.#set({ name: "busy", message: why || "The character is talking with somebody else." });
    } else if (this.#farewell !== null || code === CloseCode.ended) {
      this.#end({ reason: reason || "ended", message: why });
    } else if (code === CloseCode.replaced) {
      this.#finish("replaced", "The conversation goes on in another tab.");
    } else if (code === CloseCode.timeLimit) {
      this.#end({ reason: "time limit", message: "The time for this conversation is over." });
    } else if (code === CloseCode.notThisProtocol) {
      this.#end({ reason: "version", message: "The server speaks another protocol. Reload the page." });
    } else {
      this.#comeBack();
    }
  }

  #comeBack(): void {
    const now = performance.now();
    if (this.state.name === "live") this.#lost = now;
    if (now - this.#lost > this.#grace * 1000) {
      this.#end({ reason: "lost", message: "The connection was lost." });
      return;
    }
    this.#attempt += 1;
    this.#set({ name: "reconnecting", attempt: this.#attempt });
    this.#again(backOff(this.#attempt, Math.random()));
  }

  #again(wait: number): void {
    clearTimeout(this.#retry);
    this.#retry = window.setTimeout(() => {
      if (this.#connection === null && this.state.name === "reconnecting") this.#open();
    }, wait);
  }

  #tick(): void {
    const now = performance.now();
    const dead = this.#welcomed ? now - this.#heard > DEAD_MS : now > this.#deadline;
    if (dead) this.#connection?.close();
    else this.#ping();
  }

  #ping(): void {
    this.tell(message("ping", { t: performance.now() }));
  }

  /** Over, and there is nothing to come back to. */
  #end({ reason, message: why }: { reason: string; message: string }): void {
    this.#store.removeItem(TOKEN);
    this.#finish(reason, why);
  }

  #finish(reason: string, why: string): void {
    this.#drop();
    this.#stop();
    this.#set({ name: "ended", reason, message: why });
  }

  #drop(): void {
    const connection = this.#connection;
    this.#connection = null;
    this.#welcomed = false;
    this.rtt = null;
    clearInterval(this.#ticker);
    if (connection === null) return;
    this.junk += connection.junk;
    this.unsent += connection.unsent;
    connection.close();
  }

  #stop(): void {
    clearTimeout(this.#retry);
    window.removeEventListener("online", this.#online);
  }

  #set(state: SessionState): void {
    this.state = state;
    this.#events.state(state);
  }
}

