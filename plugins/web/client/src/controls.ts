/** The round buttons: what they show of the devices, and what they say when one is refused. */

import type { Client } from "./client";
import type { DeviceState } from "./device";
import { element } from "./dom";

type Device = "microphone" | "camera" | "screen";

const NAMES: Record<Device, string> = { microphone: "microphone", camera: "camera", screen: "screen" };
const KEYS: Record<Device, string> = { microphone: "M", camera: "C", screen: "S" };
const LEVEL_MS = 100;

/** What the state of a device means, and what to do about it. */
export function explain(device: Device, state: DeviceState): string {
  const name = NAMES[device];
  switch (state) {
    case "unasked":
      return device === "screen" ? "Not shared." : `Off. The browser will ask for your ${name}.`;
    case "asking":
      return "The browser is asking you.";
    case "on":
      return device === "microphone" ? "On: you are heard." : `On: the character sees your ${name}.`;
    case "off":
      return device === "microphone" ? "Muted." : "Off.";
    case "denied":
      return `Your ${name} is blocked. Open the browser's site settings, left of the address, allow it, and press again.`;
    case "missing":
      return `No ${name} was found, or another program uses it. Connect it and press again.`;
    case "unsupported":
      return window.isSecureContext
        ? `This browser cannot share a ${name}.`
        : `Browsers give the ${name} only to pages from https or from localhost.`;
  }
}

/** Keeps the buttons true to the client's devices. */
export class Controls {
  readonly #client: Client;
  readonly #notice: (text: string) => void;
  #level = 0;

  constructor(client: Client, notice: (text: string) => void) {
    this.#client = client;
    this.#notice = notice;
    for (const device of ["microphone", "camera", "screen"] as const) {
      element(device).addEventListener("click", () => void this.toggle(device));
    }
    this.show();
  }

  /** On becomes off, off on; anything refused is explained. */
  async toggle(device: Device): Promise<void> {
    if (element<HTMLButtonElement>(device).disabled) return;
    const { microphone, [device]: wanted } = this.#client;
    if (device === "microphone" && microphone.state === "on") microphone.mute(true);
    else if (wanted.state === "on") wanted.close();
    else await wanted.open();
    if (["denied", "missing", "unsupported"].includes(wanted.state)) this.#notice(explain(device, wanted.state));
  }

  show(): void {
    const live = this.#client.session?.state.name === "live" || this.#client.session?.state.name === "reconnecting";
    for (const device of ["microphone", "camera", "screen"] as const) {
      const button = element<HTMLButtonElement>(device);
      const { state } = this.#client[device];
      button.disabled = !live;
      button.dataset.state = state;
      button.setAttribute("aria-pressed", String(state === "on"));
      button.title = `${explain(device, state)} (${KEYS[device]})`;
      element(`${device}-state`).textContent = explain(device, state);
    }
    for (const id of ["interrupt", "leave"]) element<HTMLButtonElement>(id).disabled = !live;
    this.#showSelf("camera");
    this.#showSelf("screen");
    this.#followLevel();
  }

  #showSelf(device: "camera" | "screen"): void {
    const view = element<HTMLVideoElement>(`self-${device}`);
    const { stream, state } = this.#client[device];
    const shown = state === "on" ? stream : null;
    if (view.srcObject === shown) return;
    view.srcObject = shown;
    view.hidden = shown === null;
    // A view that is taken away while it begins to play is no error.
    if (shown !== null) view.play().catch(() => undefined);
  }

  /** A ring around the microphone as wide as it is loud, while it is on. */
  #followLevel(): void {
    const on = this.#client.microphone.state === "on";
    if (on === (this.#level !== 0)) return;
    const button = element("microphone");
    clearInterval(this.#level);
    this.#level = 0;
    button.style.removeProperty("--level");
    if (!on) return;
    let shown = 0;
    this.#level = window.setInterval(() => {
      const level = Math.round(Math.min(1, 1.6 * Math.sqrt(this.#client.microphone.level)) * 8) / 8;
      if (level === shown) return;
      shown = level;
      button.style.setProperty("--level", String(level));
    }, LEVEL_MS);
  }
}
