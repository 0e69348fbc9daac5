/** Turns packets of sound into samples at the player's rate. */

import type { Sound } from "./jitter";
import { PLAYER_RATE } from "./player";
import type { AudioFormat, Packet } from "./protocol";
import { fromInt16, Resampler } from "./resampler";

const MOST_WAITING = 100;

export interface SoundDecoder {
  decode(packet: Packet): void;
  close(): void;
}

/** The codecs of sound that this browser takes, best first. */
export async function soundCodecs(): Promise<AudioFormat["codec"][]> {
  if (typeof AudioDecoder === "undefined") return ["pcm"];
  const { supported } = await AudioDecoder.isConfigSupported(OPUS).catch(() => ({ supported: false }));
  return supported === true ? ["opus", "pcm"] : ["pcm"];
}

/** A decoder that gives what it decodes to `play`. */
export function soundDecoder(format: AudioFormat, play: (sound: Sound) => void): SoundDecoder {
  return format.codec === "opus" ? new OpusDecoder(play) : new PcmDecoder(format.sampleRate, play);
}

const OPUS: AudioDecoderConfig = { codec: "opus", sampleRate: PLAYER_RATE, numberOfChannels: 1 };

class PcmDecoder implements SoundDecoder {
  readonly #resampler: Resampler | null;
  readonly #play: (sound: Sound) => void;

  constructor(rate: number, play: (sound: Sound) => void) {
    this.#resampler = rate === PLAYER_RATE ? null : new Resampler(rate, PLAYER_RATE);
    this.#play = play;
  }

  decode({ payload, pts, turn }: Packet): void {
    const samples = fromInt16(payload);
    this.#play({ samples: this.#resampler?.process(samples) ?? samples, pts, turn });
  }

  close(): void {}
}

class OpusDecoder implements SoundDecoder {
  readonly #play: (sound: Sound) => void;
  #decoder: AudioDecoder;
  /** Of the packets being decoded: one goes in, one comes out. */
  #waiting: { pts: number; turn: number }[] = [];

  constructor(play: (sound: Sound) => void) {
    this.#play = play;
    this.#decoder = this.#open();
  }

  decode({ payload, pts, turn }: Packet): void {
    if (this.#waiting.length >= MOST_WAITING) this.#reopen();
    this.#waiting.push({ pts, turn });
    this.#decoder.decode(new EncodedAudioChunk({ type: "key", timestamp: pts, data: payload }));
  }

  close(): void {
    if (this.#decoder.state !== "closed") this.#decoder.close();
  }

  #open(): AudioDecoder {
    const decoder = new AudioDecoder({
      output: (data) => this.#take(data),
      error: () => this.#reopen(),
    });
    decoder.configure(OPUS);
    return decoder;
  }

  #reopen(): void {
    this.close();
    this.#waiting = [];
    this.#decoder = this.#open();
  }

  #take(data: AudioData): void {
    const packet = this.#waiting.shift();
    const samples = new Float32Array(data.numberOfFrames);
    data.copyTo(samples, { planeIndex: 0, format: "f32-planar" });
    data.close();
    if (packet !== undefined) this.#play({ samples, pts: packet.pts, turn: packet.turn });
  }
}
