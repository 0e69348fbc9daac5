/** The whole client without a page: conversation, senses, voice and picture. */

import { Captions, type Line } from "./captions";
import type { Connection, ConnectionEvents, ConnectionKind } from "./connection";
import { permission } from "./device";
import { Eye } from "./eye";
import { Microphone } from "./microphone";
import { Player } from "./player";
import type { Playout, Surroundings } from "./playout";
import {
  type CharacterState,
  type ClientEvent,
  message,
  type PageAction,
  type Passage,
  type ServerMessage,
  type Welcome,
} from "./protocol";
import { RtcConnection } from "./rtc";
import { RtcPlayout } from "./rtcplayout";
import { type Abilities, Session, type SessionState } from "./session";
import { SocketConnection } from "./socket";
import { SocketPlayout } from "./socketplayout";
import { soundCodecs } from "./sounddecoder";
import { videoCodecs } from "./decoder";
import { Turns } from "./waterfall";

const STATS_MS = 1000;
const ABOUT = 300;

export interface ClientEvents {
  session(state: SessionState): void;
  welcome(welcome: Welcome): void;
  /** The first picture of a conversation is there. */
  seen(): void;
  character(state: CharacterState): void;
  line(line: Line): void;
  turn(): void;
  /** A microphone, camera or screen is on, off, refused. */
  device(): void;
  /** A tool of the character tells the page something. */
  event(event: ClientEvent): void;
  /** It wants something done in the page; false when that is not within its reach. */
  action(action: PageAction): boolean;
  /** The passages that the answer rests on; empty for one that rests on none. */
  sources(passages: Passage[]): void;
  /** It looks at a picture of the camera or the screen. */
  looking(source: "camera" | "screen"): void;
  /** Something the user should know, in a sentence. */
  notice(text: string): void;
}

/** What the character is drawn on. */
export type Screen = Pick<Surroundings, "canvas" | "backdrop" | "video">;

/** The server's addresses. */
export interface Addresses {
  socket: string;
  offer: string;
}

export class Client {
  readonly kind: ConnectionKind;
  readonly microphone = new Microphone();
  readonly camera = new Eye("camera");
  readonly screen = new Eye("screen");
  readonly turns = new Turns();
  readonly captions: Captions;
  character: CharacterState = "listening";
  welcome: Welcome | null = null;
  flushes = 0;
  /** Client events that came, and page actions that were done and refused. */
  readonly done = { events: 0, actions: 0, refused: 0 };
  session: Session | null = null;
  playout: Playout | null = null;
  readonly #addresses: Addresses;
  readonly #surroundings: Screen;
  readonly #events: ClientEvents;
  #stats = 0;

  constructor(
    kind: ConnectionKind,
    addresses: Addresses,
    surroundings: Screen,
    events: ClientEvents,
  ) {
    this.kind = kind;
    this.#addresses = addresses;
    this.#surroundings = surroundings;
    this.#events = events;
    this.captions = new Captions((line) => events.line(line));
    this.#listen();
  }

  /** Begin the conversation; from a user's gesture. Throws when this browser cannot. */
  async start(): Promise<void> {
    if (this.playout === null) this.playout = await this.#openPlayout();
    this.session ??= new Session((events) => this.#connect(events), await this.#abilities(), this.#sessionEvents(), sessionStorage);
    this.session.start();
    clearInterval(this.#stats);
    this.#stats = window.setInterval(() => this.#report(), STATS_MS);
  }

  /** Know what the browser will refuse, without asking for it. */
  async learnPermissions(): Promise<void> {
    for (const [name, device] of [["microphone", this.microphone], ["camera", this.camera]] as const) {
      if ((await permission(name)) === "denied" && device.state === "unasked") device.state = "denied";
    }
    this.#events.device();
  }

  leave(): void {
    this.session?.leave();
  }

  /** The user presses stop. */
  interrupt(): void {
    this.session?.tell(message("interrupt"));
  }

  /** The user says something in writing. */
  write(text: string): void {
    this.captions.wrote(text);
    this.session?.tellRtvi("send-text", { content: text, options: { run_immediately: true, audio_response: true } });
  }

  #sessionEvents() {
    return {
      state: (state: SessionState) => this.#follow(state),
      welcome: (welcome: Welcome, connection: Connection) => this.#begin(welcome, connection),
      message: (text: ServerMessage) => this.#take(text),
      packet: (packet: Parameters<Playout["packet"]>[0]) => this.playout?.packet(packet),
      stream: (stream: MediaStream) => this.playout?.stream(stream),
    };
  }

  #connect(events: ConnectionEvents): Connection {
    return this.kind === "webrtc"
      ? new RtcConnection(this.#addresses.offer, events)
      : new SocketConnection(this.#addresses.socket, events);
  }

  async #openPlayout(): Promise<Playout> {
    const around: Surroundings = {
      ...this.#surroundings,
      seen: () => this.#events.seen(),
      tick: () => this.captions.advance(this.playout?.heard() ?? null, performance.now()),
      flushed: (flushed) => {
        this.flushes += 1;
        this.session?.tell(message("flushed", { ...flushed }));
      },
      askForKey: () => this.session?.tell(message("keyframe")),
    };
    if (this.kind === "webrtc") return new RtcPlayout(around, () => this.session?.connection ?? null);
    return new SocketPlayout(await Player.open(), around);
  }

  async #abilities(): Promise<Abilities> {
    const about = navigator.userAgent.slice(0, ABOUT);
    if (this.kind === "webrtc") return { video: [], audio: [], about };
    const [video, audio] = await Promise.all([videoCodecs(), soundCodecs()]);
    return { video, audio, about };
  }

  #begin(welcome: Welcome, connection: Connection): void {
    this.welcome = welcome;
    if (!welcome.resumed) this.captions.end();
    this.playout?.begin(welcome);
    const tracks = connection.kind === "webrtc";
    for (const eye of [this.camera, this.screen]) {
      eye.pictures = !tracks;
      connection.sendTrack(eye.source, eye.track);
    }
    connection.sendTrack("microphone", this.microphone.track);
    this.#events.welcome(welcome);
  }

  #take(text: ServerMessage): void {
    switch (text.type) {
      case "flush":
        this.playout?.flush(text.data.turn, text.data.at);
        this.captions.flush(text.data.at, text.data.final);
        break;
      case "caption":
        this.captions.expect(text.data.text, text.data.pts, performance.now());
        break;
      case "state":
        this.character = text.data.state;
        if (text.data.state !== "speaking") this.captions.done();
        this.#events.character(text.data.state);
        break;
      case "waterfall":
        this.turns.note(text.data);
        this.#events.turn();
        break;
      case "video":
        this.playout?.format(text.data);
        break;
      case "client-event":
        this.done.events += 1;
        this.#events.event(text.data);
        break;
      case "page-action":
        if (this.#events.action(text.data)) this.done.actions += 1;
        else this.done.refused += 1;
        break;
      case "sources":
        this.#events.sources(text.data.sources);
        break;
      case "looking":
        this.#events.looking(text.data.source);
        break;
      case "rtvi":
        this.#takeRtvi(text.data.type, text.data.data);
        break;
    }
  }

  #takeRtvi(type: string, data: Record<string, unknown>): void {
    if (type === "user-transcription" && typeof data.text === "string") {
      this.captions.understood(data.text.slice(0, 4000), data.final === true);
    } else if (type === "error" && typeof data.error === "string") {
      this.#events.notice(data.error.slice(0, 300));
    }
  }

  #follow(state: SessionState): void {
    if (state.name === "reconnecting") this.playout?.lost();
    if (state.name === "ended" || state.name === "busy") this.#end();
    this.#events.session(state);
  }

  /** Give back everything: microphone, camera, sound. */
  #end(): void {
    clearInterval(this.#stats);
    this.captions.end();
    for (const device of [this.microphone, this.camera, this.screen]) device.close();
    this.playout?.close();
    this.playout = null;
  }

  #listen(): void {
    this.microphone.onPacket = (pcm, pts) => this.#sending()?.sendPacket("microphone", pcm, pts);
    this.microphone.onState = () => this.#deviceChanged("microphone", this.microphone.track);
    for (const eye of [this.camera, this.screen]) {
      eye.onPicture = (jpeg) => this.#sending()?.sendPacket(eye.source, jpeg, performance.now() * 1000);
      eye.onState = () => {
        if (eye.track === null) this.session?.tell(message("looked_away", { source: eye.source }));
        this.#deviceChanged(eye.source, eye.track);
      };
    }
  }

  #deviceChanged(source: "microphone" | "camera" | "screen", track: MediaStreamTrack | null): void {
    this.#sending()?.sendTrack(source, track);
    this.#events.device();
  }

  /** The connection, once it is welcomed. */
  #sending(): Connection | null {
    return this.session?.state.name === "live" ? this.session.connection : null;
  }

  #report(): void {
    if (this.session?.state.name !== "live" || this.playout === null) return;
    this.session.tell(message("stats", { ...this.playout.collect(), rtt_ms: this.session.rtt }));
  }
}
