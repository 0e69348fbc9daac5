/** Runs the jitter buffer where sound is played. Speaks with player.ts. */

import { JitterBuffer, type JitterState, type Sound } from "./jitter";

export type ToPlayer = { type: "sound"; sound: Sound } | { type: "flush"; id: number; at: number } | { type: "restart" };

export type FromPlayer =
  /** About every 20 ms: the state before the block that begins at `time` (seconds of the context). */
  | { type: "state"; time: number; state: JitterState; level: number }
  /** Nothing before `at` is played from `time` on. */
  | { type: "flushed"; id: number; time: number };

const REPORT_SECONDS = 0.02;
const FADE_SECONDS = 0.005;

class PlayerProcessor extends AudioWorkletProcessor {
  readonly #buffer = new JitterBuffer(sampleRate);
  #reported = 0;
  #level = 0;

  constructor() {
    super();
    this.port.onmessage = (event: MessageEvent<ToPlayer>) => this.#take(event.data);
  }

  process(_: Float32Array[][], outputs: Float32Array[][]): boolean {
    const out = outputs[0]?.[0];
    if (out === undefined) return true;
    const before = this.#buffer.state.pts;
    this.#buffer.read(out, currentTime);
    for (const sample of out) this.#level = Math.max(this.#level, Math.abs(sample));
    if (currentTime - this.#reported >= REPORT_SECONDS) {
      this.#reported = currentTime;
      this.#tell({ type: "state", time: currentTime, state: { ...this.#buffer.state, pts: before }, level: this.#level });
      this.#level = 0;
    }
    return true;
  }

  #take(message: ToPlayer): void {
    if (message.type === "sound") {
      this.#buffer.push(message.sound, currentTime);
    } else if (message.type === "flush") {
      this.#buffer.flush(message.at);
      this.#tell({ type: "flushed", id: message.id, time: currentTime + FADE_SECONDS });
    } else {
      this.#buffer.restart();
    }
  }

  #tell(message: FromPlayer): void {
    this.port.postMessage(message);
  }
}

registerProcessor("player", PlayerProcessor);
