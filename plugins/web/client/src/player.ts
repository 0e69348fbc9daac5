/** Plays sound, and tells what is heard now. */

import { SteadyTime, Track } from "./clock";
import type { JitterState, Sound } from "./jitter";
import workletUrl from "./player.worklet.ts?worker&url";
import type { FromPlayer, ToPlayer } from "./player.worklet";

/** What Opus decodes to; whatever the device wants is made of it by the browser. */
export const PLAYER_RATE = 48_000;
const MOST_FLUSHES = 16;

export class Player {
  /** Loudest sample of the last 20 ms, from 0 to 1. */
  level = 0;
  state: JitterState | null = null;
  /** Called about every 20 ms, also in a hidden tab. */
  onTick: () => void = () => undefined;
  readonly context: AudioContext;
  readonly #node: AudioWorkletNode;
  readonly #track = new Track();
  readonly #time = new SteadyTime();
  readonly #flushes = new Map<number, { began: number; done: (ms: number) => void }>();
  #flushId = 0;

  private constructor(context: AudioContext) {
    this.context = context;
    this.#node = new AudioWorkletNode(context, "player", {
      numberOfInputs: 0,
      numberOfOutputs: 1,
      outputChannelCount: [1],
    });
    this.#node.port.onmessage = (event: MessageEvent<FromPlayer>) => this.#take(event.data);
    this.#node.connect(context.destination);
  }

  /** Call from a user's gesture, or the browser keeps it silent. */
  static async open(): Promise<Player> {
    const context = new AudioContext({ sampleRate: PLAYER_RATE, latencyHint: "interactive" });
    try {
      // Not awaited: without a gesture it would wait for one.
      void context.resume();
      await context.audioWorklet.addModule(workletUrl);
      return new Player(context);
    } catch (error) {
      void context.close();
      throw error;
    }
  }

  play(sound: Sound): void {
    this.#tell({ type: "sound", sound }, [sound.samples.buffer as ArrayBuffer]);
  }

  /** Drop what has a pts before `at`. Resolves to the ms until nothing of it was heard any more. */
  flush(at: number): Promise<number> {
    const id = this.#flushId++;
    return new Promise((done) => {
      this.#flushes.set(id, { began: this.#now(), done });
      if (this.#flushes.size > MOST_FLUSHES) this.#flushes.delete(id - MOST_FLUSHES);
      this.#tell({ type: "flush", id, at });
    });
  }

  /** A new connection begins. */
  restart(): void {
    this.#track.restart();
    this.#tell({ type: "restart" });
  }

  /** The pts (microseconds) that is heard now; null before the first sound. */
  heard(): number | null {
    return this.#track.at(this.#now() - this.#latency());
  }

  async close(): Promise<void> {
    this.#node.port.onmessage = null;
    this.#node.disconnect();
    this.#flushes.clear();
    if (this.context.state !== "closed") await this.context.close();
  }

  #take(message: FromPlayer): void {
    if (message.type === "state") {
      const { pts, moving } = message.state;
      if (pts !== null) this.#track.note({ time: message.time, pts, moving });
      this.state = message.state;
      this.level = message.level;
      this.onTick();
      return;
    }
    const flush = this.#flushes.get(message.id);
    this.#flushes.delete(message.id);
    flush?.done(Math.max(0, (message.time + this.#latency() - flush.began) * 1000));
  }

  #now(): number {
    return this.#time.at(this.context.currentTime, performance.now() / 1000);
  }

  #latency(): number {
    return this.context.outputLatency || this.context.baseLatency || 0;
  }

  #tell(message: ToPlayer, transfer: Transferable[] = []): void {
    this.#node.port.postMessage(message, transfer);
  }
}
