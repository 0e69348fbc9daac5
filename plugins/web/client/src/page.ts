/** The page: what the client does, as one sees it. */

import { perform } from "./actions";
import { Board } from "./board";
import { Client } from "./client";
import type { ConnectionKind } from "./connection";
import { Controls } from "./controls";
import { videoCodecs } from "./decoder";
import { element, seconds } from "./dom";
import { Log } from "./log";
import type { CharacterState } from "./protocol";
import type { SessionState } from "./session";
import { showTurns } from "./timing";
import { expose } from "./watch";

const NOTICE_MS = 8000;
const LATENCY_MS = 1000;
const LOOK_MS = 2500;
const MOODS: Record<CharacterState, string> = { listening: "Listening", thinking: "Thinking", speaking: "Speaking" };

interface Config {
  connection: ConnectionKind;
  webrtc: boolean;
  name: string;
}

const app = element("app");
const stage = element("stage");
const start = element<HTMLButtonElement>("start");
const input = element<HTMLInputElement>("text");
const log = new Log(element("log"));
const board = new Board(element("board"));
let name = "the character";
let noticeTimer = 0;
let lookTimer = 0;

void main();

async function main(): Promise<void> {
  const config = await readConfig();
  name = config.name || name;
  log.name = config.name || "Character";
  element("name").textContent = config.name || "Animacy";
  document.title = config.name ? `${config.name} – Animacy` : "Animacy";
  const asked = new URLSearchParams(location.search).get("connection");
  const kind = asked === "webrtc" || asked === "websocket" ? asked : config.connection;
  showPoster();
  const problem = await whatIsMissing(kind);
  if (problem !== null) {
    showProblem(problem, kind === "websocket" && config.webrtc);
    return;
  }
  converse(kind);
}

function converse(kind: ConnectionKind): void {
  const surroundings = {
    canvas: element<HTMLCanvasElement>("picture"),
    backdrop: element<HTMLCanvasElement>("backdrop"),
    video: element<HTMLVideoElement>("remote"),
  };
  surroundings.canvas.hidden = kind === "webrtc";
  surroundings.video.hidden = kind === "websocket";
  const client: Client = new Client(kind, addresses(), surroundings, {
    session: (state) => {
      showSession(state);
      controls.show();
    },
    seen: () => (stage.dataset.picture = ""),
    welcome: ({ character }) => {
      if (character.name) name = log.name = character.name;
    },
    character: showCharacter,
    line: (line) => log.show(line),
    turn: () => showTurns(client.turns),
    device: () => controls.show(),
    event: (event) => board.show(event),
    action: ({ action, target }) => perform(document, action, target),
    sources: (passages) => log.cite(passages),
    looking: showLooking,
    notice: showNotice,
  });
  const controls = new Controls(client, showNotice);
  expose(client);
  showSession({ name: "idle" });
  element("notice").addEventListener("click", (event) => ((event.currentTarget as HTMLElement).hidden = true));
  void client.learnPermissions();
  start.addEventListener("click", () => void begin(client));
  element("interrupt").addEventListener("click", () => client.interrupt());
  element("leave").addEventListener("click", () => client.leave());
  element("write").addEventListener("submit", (event) => {
    event.preventDefault();
    write(client);
  });
  element("timing").addEventListener("toggle", () => showTurns(client.turns));
  setInterval(() => showLatency(client), LATENCY_MS);
  followKeys(client, controls);
}

/** From the user's click: sound may play, and the microphone may be asked for. */
async function begin(client: Client): Promise<void> {
  start.disabled = true;
  try {
    const listening = client.microphone.open();
    await client.start();
    await listening;
  } catch (error) {
    showNotice(`This browser could not begin: ${error instanceof Error ? error.message : String(error)}`);
  } finally {
    start.disabled = false;
  }
  const { state } = client.microphone;
  if (state === "denied" || state === "missing") {
    showNotice(
      state === "denied"
        ? "The microphone is blocked, so write instead. To talk, allow it in the browser's site settings and press the microphone button."
        : "No microphone was found, so write instead. Connect one and press the microphone button to talk.",
    );
    input.focus();
  }
}

function write(client: Client): void {
  const text = input.value.trim();
  if (text === "" || client.session?.state.name !== "live") return;
  client.write(text);
  input.value = "";
}

function showSession(state: SessionState): void {
  app.dataset.session = state.name;
  const writable = state.name === "live";
  element<HTMLButtonElement>("send").disabled = input.disabled = !writable;
  if (!writable) element("latency").hidden = true;
  const banner = element("banner");
  banner.hidden = state.name !== "reconnecting";
  if (state.name === "reconnecting") banner.textContent = "The connection is away. It is tried again.";
  element("connection-text").textContent = describe(state);
  start.hidden = state.name === "connecting";
  start.textContent = "Start talking";
  switch (state.name) {
    case "idle":
      cover(`Talk with ${name}`, "", "The browser will ask for your microphone. You can also just write.");
      break;
    case "connecting":
      cover(`Calling ${name} …`, "", "");
      break;
    case "busy":
      start.textContent = "Try again";
      cover("Busy at the moment", state.message, "");
      break;
    case "ended":
      if (state.reason !== "left") start.textContent = "Try again";
      cover(state.reason === "left" ? "See you soon" : "The conversation is over", state.message, "");
      break;
  }
}

function describe(state: SessionState): string {
  switch (state.name) {
    case "idle":
      return "Not connected";
    case "connecting":
      return "Connecting";
    case "live":
      return "Live";
    case "reconnecting":
      return `Reconnecting (${state.attempt})`;
    case "busy":
      return "Busy";
    case "ended":
      return state.reason === "left" || state.reason === "ended" ? "Ended" : `Ended: ${state.reason}`;
  }
}

function cover(title: string, text: string, note: string): void {
  element("cover-title").textContent = title;
  element("cover-text").textContent = text;
  element("cover-note").textContent = note;
}

function showCharacter(state: CharacterState): void {
  app.dataset.character = state;
  element("mood-text").textContent = MOODS[state];
}

function showLatency(client: Client): void {
  const rtt = client.session?.rtt ?? null;
  const { response } = client.turns;
  const pill = element("latency");
  pill.hidden = rtt === null || client.session?.state.name !== "live";
  if (rtt === null) return;
  const ping = `${Math.round(rtt)} ms`;
  element("latency-text").textContent = ping;
  element("response-text").textContent = response === null ? "" : ` · answer in ${seconds(response)}`;
  pill.title = "Round trip to the server, and how long the last answer took";
}

function showLooking(source: "camera" | "screen"): void {
  const eye = element("looking");
  eye.textContent = source === "screen" ? "Looking at your screen" : "Looking at your camera";
  eye.hidden = false;
  clearTimeout(lookTimer);
  lookTimer = window.setTimeout(() => (eye.hidden = true), LOOK_MS);
}

function showNotice(text: string): void {
  const notice = element("notice");
  notice.textContent = text;
  notice.hidden = false;
  clearTimeout(noticeTimer);
  noticeTimer = window.setTimeout(() => (notice.hidden = true), NOTICE_MS);
}

function showProblem(problem: string, other: boolean): void {
  app.dataset.session = "ended";
  element("connection-text").textContent = "Cannot connect";
  input.disabled = true;
  cover("This browser cannot show the conversation", problem, "");
  const link = element<HTMLAnchorElement>("other");
  link.href = "?connection=webrtc";
  link.hidden = !other;
}

/** The character before anybody talks to it, if the server has a picture. */
function showPoster(): void {
  const poster = element<HTMLImageElement>("poster");
  poster.onload = () => {
    poster.hidden = false;
    const brush = element<HTMLCanvasElement>("backdrop").getContext("2d", { alpha: false });
    brush?.drawImage(poster, 0, 0, brush.canvas.width, brush.canvas.height);
  };
  poster.src = "./api/poster.jpg";
}

/** Why a conversation is impossible in this browser, or null. */
async function whatIsMissing(kind: ConnectionKind): Promise<string | null> {
  if (!window.isSecureContext) {
    return "Browsers give pages sound, picture and microphone only over https, or from localhost. Open it at such an address.";
  }
  if (kind === "webrtc") return typeof RTCPeerConnection === "undefined" ? "It has no WebRTC." : null;
  if (typeof AudioWorkletNode === "undefined") return "It has no audio worklets. A current browser has them.";
  if ((await videoCodecs()).length === 0) return "It has no WebCodecs for video (H.264 or VP8). A current browser has them.";
  return null;
}

async function readConfig(): Promise<Config> {
  const config: Config = { connection: "websocket", webrtc: false, name: "" };
  try {
    const found = (await (await fetch("./api/config")).json()) as {
      connection?: unknown;
      webrtc?: unknown;
      character?: { name?: unknown };
    };
    if (found.connection === "webrtc") config.connection = "webrtc";
    config.webrtc = found.webrtc === true;
    if (typeof found.character?.name === "string") config.name = found.character.name.slice(0, 200);
  } catch {
    // The server is away; pressing the button will say so.
  }
  return config;
}

function addresses(): { socket: string; offer: string } {
  const socket = new URL("./api/live", location.href);
  socket.protocol = socket.protocol === "https:" ? "wss:" : "ws:";
  socket.search = socket.hash = "";
  return { socket: socket.href, offer: new URL("./api/offer", location.href).href };
}

function followKeys(client: Client, controls: Controls): void {
  const help = element<HTMLDialogElement>("help");
  element("help-open").addEventListener("click", () => help.showModal());
  element("help-close").addEventListener("click", () => help.close());
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || help.open) return;
    if (event.key === "Escape") {
      client.interrupt();
      return;
    }
    if (event.target instanceof HTMLInputElement) return;
    const keys: Record<string, () => void> = {
      m: () => void controls.toggle("microphone"),
      c: () => void controls.toggle("camera"),
      s: () => void controls.toggle("screen"),
      "/": () => input.focus(),
      "?": () => help.showModal(),
    };
    const act = Object.hasOwn(keys, event.key.toLowerCase()) ? keys[event.key.toLowerCase()] : undefined;
    if (act === undefined || event.repeat) return;
    event.preventDefault();
    act();
  });
}
