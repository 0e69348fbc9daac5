/** Plays a WebRTC stream in a video element, and measures it. */

import type { Connection } from "./connection";
import { Gauges } from "./gauges";
import type { Playout, PlayoutStats, Surroundings } from "./playout";
import type { VideoFormat, Welcome } from "./protocol";

const MEASURE_MS = 500;
const TICK_MS = 50;
const BACKDROP_TICKS = 4;
/** The audio level of WebRTC's statistics and the ear's idea of loud. */
const GAIN = 3;

export class RtcPlayout implements Playout {
  readonly #around: Surroundings;
  readonly #connection: () => Connection | null;
  readonly #gauges: Gauges;
  #fps = 24;
  #dropped = 0;
  #buffered = 0;
  #level = 0;
  #measured = { delay: 0, emitted: 0 };
  #ticks = 0;
  readonly #timers: number[];
  #callback = 0;

  constructor(around: Surroundings, connection: () => Connection | null) {
    this.#around = around;
    this.#connection = connection;
    this.#gauges = new Gauges(() => this.#fps);
    this.#timers = [
      window.setInterval(() => void this.#measure(), MEASURE_MS),
      window.setInterval(() => around.tick(), TICK_MS),
    ];
    this.#watch();
  }

  begin(welcome: Welcome): void {
    this.#gauges.pause();
    this.#measured = { delay: 0, emitted: 0 };
    this.format(welcome.video);
  }

  packet(): void {}

  stream(stream: MediaStream): void {
    const { video } = this.#around;
    if (video.srcObject !== stream) video.srcObject = stream;
    // Begins with the user's gesture; where a browser wants another one, it is the next click.
    video.play().catch(() => document.addEventListener("click", () => void video.play(), { once: true }));
  }

  format(video: VideoFormat): void {
    this.#fps = video.fps;
  }

  /** The server's tracks hold nothing back that could be dropped here. */
  flush(): void {}

  lost(): void {
    this.#gauges.pause();
  }

  heard(): null {
    return null;
  }

  level(): number {
    return this.#level;
  }

  collect(): PlayoutStats {
    const { offsets, longestGap } = this.#gauges.since();
    const { shown, late, repeated } = this.#gauges;
    return {
      playhead: null,
      buffer_ms: Math.round(this.#buffered),
      av_offset_ms: offsets.map((offset) => Math.round(offset * 10) / 10),
      shown,
      late,
      dropped: this.#dropped,
      repeated,
      longest_gap_ms: Math.round(longestGap),
    };
  }

  peek(): Record<string, unknown> {
    const { shown, late, repeated, longestGap } = this.#gauges;
    return {
      playhead: null,
      buffer_ms: Math.round(this.#buffered),
      shown,
      late,
      dropped: this.#dropped,
      repeated,
      longest_gap_ms: Math.round(longestGap),
    };
  }

  offsets(): readonly number[] {
    return this.#gauges.offsets;
  }

  close(): void {
    for (const timer of this.#timers) clearInterval(timer);
    this.#around.video.cancelVideoFrameCallback?.(this.#callback);
    this.#around.video.srcObject = null;
  }

  /** Count each picture that is shown. */
  #watch(): void {
    const { video } = this.#around;
    if (video.requestVideoFrameCallback === undefined) return;
    const next = (now: number) => {
      this.#callback = video.requestVideoFrameCallback(next);
      if (document.hidden) this.#gauges.pause();
      else this.#gauges.show(now, null);
      if (this.#gauges.shown === 1) this.#around.seen();
    };
    this.#callback = video.requestVideoFrameCallback(next);
  }

  async #measure(): Promise<void> {
    const report = await this.#connection()?.statistics().catch(() => null);
    if (report == null) return;
    const playouts: Partial<Record<string, number>> = {};
    for (const entry of report.values() as Iterable<Record<string, number | string | undefined>>) {
      if (entry.type !== "inbound-rtp") continue;
      if (typeof entry.estimatedPlayoutTimestamp === "number") playouts[String(entry.kind)] = entry.estimatedPlayoutTimestamp;
      if (entry.kind === "video") this.#dropped = Number(entry.framesDropped ?? 0);
      else this.#hear(entry);
    }
    // What is heard now against what is shown now, as the browser's own clock of the sender has it.
    if (playouts.audio !== undefined && playouts.video !== undefined) this.#gauges.offset(playouts.audio - playouts.video);
    if (this.#ticks++ % BACKDROP_TICKS === 0) this.#paintBackdrop();
  }

  #hear(entry: Record<string, number | string | undefined>): void {
    const delay = Number(entry.jitterBufferDelay ?? 0);
    const emitted = Number(entry.jitterBufferEmittedCount ?? 0);
    if (emitted > this.#measured.emitted) {
      this.#buffered = ((delay - this.#measured.delay) * 1000) / (emitted - this.#measured.emitted);
    }
    this.#measured = { delay, emitted };
    this.#level = Math.min(1, Number(entry.audioLevel ?? 0) * GAIN);
  }

  #paintBackdrop(): void {
    const { video, backdrop } = this.#around;
    if (video.videoWidth === 0 || document.hidden) return;
    backdrop.width = 24;
    backdrop.height = Math.max(1, Math.round((24 * video.videoHeight) / video.videoWidth));
    backdrop.getContext("2d", { alpha: false })?.drawImage(video, 0, 0, backdrop.width, backdrop.height);
  }
}
