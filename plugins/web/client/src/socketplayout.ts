/** Plays packets: sound through the jitter buffer, pictures as the sound allows. */

import { Decoder } from "./decoder";
import { Gauges } from "./gauges";
import type { Player } from "./player";
import type { Playout, PlayoutStats, Surroundings } from "./playout";
import { Presenter } from "./presenter";
import { Kind, type Packet, type VideoFormat, type Welcome } from "./protocol";
import { type SoundDecoder, soundDecoder } from "./sounddecoder";

const MOST_CUTS = 8;

/** A cut whose end is not seen yet. */
interface Cut {
  turn: number;
  at: number;
  began: number;
  silent: number | null;
  still: number | null;
}

export class SocketPlayout implements Playout {
  readonly #player: Player;
  readonly #around: Surroundings;
  readonly #decoder: Decoder;
  readonly #presenter: Presenter;
  readonly #gauges: Gauges;
  #sounds: SoundDecoder | null = null;
  #fps = 24;
  #cuts: Cut[] = [];
  readonly #look = () => this.#followVisibility();

  constructor(player: Player, around: Surroundings) {
    this.#player = player;
    this.#around = around;
    const heard = () => player.heard();
    this.#gauges = new Gauges(() => this.#fps);
    this.#decoder = new Decoder(
      () => around.askForKey(),
      () => this.#decoder.feed(heard()),
    );
    this.#presenter = new Presenter(around.canvas, around.backdrop, this.#decoder.frames, this.#gauges, heard);
    this.#presenter.onShow = (pts) => this.#shown(pts);
    player.onTick = () => {
      this.#decoder.feed(heard());
      around.tick();
    };
    document.addEventListener("visibilitychange", this.#look);
  }

  begin(welcome: Welcome): void {
    this.lost();
    this.#player.restart();
    this.#decoder.restart();
    this.format(welcome.video);
    this.#sounds = soundDecoder(welcome.audio, (sound) => this.#player.play(sound));
    this.#followVisibility();
  }

  packet(packet: Packet): void {
    if (packet.kind === Kind.sound) this.#sounds?.decode(packet);
    else this.#decoder.take(packet, this.#player.heard());
  }

  stream(): void {}

  format(video: VideoFormat): void {
    this.#fps = video.fps;
    this.#decoder.configure(video);
  }

  flush(turn: number, at: number): void {
    const cut: Cut = { turn, at, began: performance.now(), silent: null, still: null };
    const shown = this.#presenter.shownPts;
    if (shown === null || shown >= at) cut.still = 0;
    this.#decoder.flush(at);
    this.#cuts.push(cut);
    if (this.#cuts.length > MOST_CUTS) this.#cuts.shift();
    void this.#player.flush(at).then((ms) => {
      cut.silent = ms;
      this.#settle(cut);
    });
  }

  lost(): void {
    this.#gauges.pause();
    this.#cuts = [];
    this.#sounds?.close();
    this.#sounds = null;
  }

  heard(): number | null {
    return this.#player.heard();
  }

  level(): number {
    return this.#player.level;
  }

  collect(): PlayoutStats {
    const { offsets, longestGap } = this.#gauges.since();
    return {
      playhead: this.#playhead(),
      buffer_ms: round(this.#buffered()),
      av_offset_ms: offsets.map(round),
      shown: this.#gauges.shown,
      late: this.#gauges.late,
      dropped: this.#dropped(),
      repeated: this.#gauges.repeated,
      longest_gap_ms: round(longestGap),
    };
  }

  peek(): Record<string, unknown> {
    const sound = this.#player.state;
    return {
      playhead: this.#playhead(),
      buffer_ms: round(this.#buffered()),
      target_ms: round(sound?.target ?? 0),
      underruns: sound?.underruns ?? 0,
      resyncs: sound?.resyncs ?? 0,
      late_sounds: sound?.refused ?? 0,
      shown: this.#gauges.shown,
      late: this.#gauges.late,
      dropped: this.#dropped(),
      repeated: this.#gauges.repeated,
      longest_gap_ms: round(this.#gauges.longestGap),
      frames_waiting: this.#decoder.frames.length,
      packets_waiting: this.#decoder.packets.length,
      decoder_errors: this.#decoder.errors,
    };
  }

  offsets(): readonly number[] {
    return this.#gauges.offsets;
  }

  close(): void {
    this.lost();
    document.removeEventListener("visibilitychange", this.#look);
    this.#player.onTick = () => undefined;
    this.#presenter.close();
    this.#decoder.close();
    void this.#player.close();
  }

  /** The sound that waits, the one in the device included: from now on to the end of what came. */
  #buffered(): number {
    const state = this.#player.state;
    const heard = this.#player.heard();
    if (state?.pts == null || heard === null) return 0;
    return Math.max(0, state.buffered + (state.pts - heard) / 1000);
  }

  #playhead(): number | null {
    const heard = this.#player.heard();
    return heard === null ? null : Math.round(heard);
  }

  #dropped(): number {
    return this.#decoder.frames.dropped + this.#decoder.packets.dropped;
  }

  #shown(pts: number): void {
    if (this.#gauges.shown === 1) this.#around.seen();
    for (const cut of this.#cuts) {
      if (cut.still !== null || pts < cut.at) continue;
      cut.still = performance.now() - cut.began;
      this.#settle(cut);
    }
  }

  #settle(cut: Cut): void {
    if (cut.silent === null || cut.still === null || !this.#cuts.includes(cut)) return;
    this.#cuts = this.#cuts.filter((other) => other !== cut);
    this.#around.flushed({ turn: cut.turn, silent_ms: round(cut.silent), still_ms: round(cut.still) });
  }

  #followVisibility(): void {
    this.#gauges.pause();
    if (document.hidden) this.#decoder.pause();
    else this.#decoder.resume();
  }
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
