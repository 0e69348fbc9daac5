/** Decodes the character's picture just ahead of its being shown. */

import { FrameQueue, PacketQueue } from "./frames";
import type { Packet, VideoFormat } from "./protocol";

/** Decoded ahead: memory, and more than this starves hardware decoders. */
const AHEAD = 6;
/** Encoded pictures that may wait: two seconds at 30 a second. */
const MOST_PACKETS = 60;
/** A decoder so far behind what is heard skips to the newest key frame, in microseconds. */
const BEHIND = 400_000;
const ASK_MS = 500;

/** The codecs of pictures that this browser decodes, best first; none where WebCodecs is missing. */
export async function videoCodecs(): Promise<string[]> {
  if (typeof VideoDecoder === "undefined") return [];
  const codecs: [string, string][] = [
    ["h264", "avc1.42E01F"],
    ["vp8", "vp8"],
  ];
  const known = await Promise.all(
    codecs.map(([, codec]) => VideoDecoder.isConfigSupported({ codec }).then((found) => found.supported === true, () => false)),
  );
  return codecs.filter((_, i) => known[i]).map(([name]) => name);
}

export class Decoder {
  readonly frames = new FrameQueue<VideoFrame>(2 * AHEAD);
  readonly packets = new PacketQueue(MOST_PACKETS);
  /** Times the decoder gave up. */
  errors = 0;
  readonly #askForKey: () => void;
  readonly #onFrame: () => void;
  #decoder: VideoDecoder | null = null;
  #config: VideoDecoderConfig | null = null;
  #next: VideoDecoderConfig | null = null;
  #asked = -Infinity;
  #paused = false;
  #skipping = false;

  /** `askForKey` is called when the thread is lost, not too often; `onFrame` when a picture may be shown. */
  constructor(askForKey: () => void, onFrame: () => void) {
    this.#askForKey = askForKey;
    this.#onFrame = onFrame;
  }

  /** The format from the next key frame on. */
  configure(format: VideoFormat): void {
    if (format.codecString === null) return;
    this.#next = { codec: format.codecString, optimizeForLatency: true };
  }

  take(packet: Packet, heard: number | null): void {
    if (this.#paused) return;
    if (!this.packets.push(packet)) this.#ask();
    this.feed(heard);
  }

  /** Decode what will be shown soon. `heard`: the pts that is heard now. */
  feed(heard: number | null): void {
    if (this.#paused) return;
    const first = this.packets.peek();
    const behind = heard !== null && first !== undefined && heard - first.pts > BEHIND;
    // A step back is not taken again until it has caught up, or every picture would ask for a key frame.
    if (behind && !this.#skipping && !this.packets.skipToKey()) this.#ask();
    this.#skipping = behind;
    while (this.packets.length > 0 && this.frames.length + (this.#decoder?.decodeQueueSize ?? 0) < AHEAD) {
      this.#decode(this.packets.shift() as Packet);
    }
  }

  flush(at: number): void {
    this.frames.flush(at);
  }

  /** While nobody looks: decode nothing, keep nothing. */
  pause(): void {
    this.#paused = true;
    this.packets.restart();
    this.frames.clear();
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.#ask();
  }

  /** A new connection begins. */
  restart(): void {
    this.packets.restart();
    this.frames.restart();
    this.#asked = -Infinity;
  }

  close(): void {
    this.packets.restart();
    this.frames.clear();
    this.#drop();
  }

  #decode(packet: Packet): void {
    if (packet.key && this.#next !== null) {
      if (this.#next.codec !== this.#config?.codec) this.#drop();
      this.#config = this.#next;
      this.#next = null;
    }
    if (this.#config === null) return;
    try {
      if (this.#decoder === null) {
        if (!packet.key) return;
        this.#decoder = this.#open(this.#config);
      }
      this.#decoder.decode(
        new EncodedVideoChunk({ type: packet.key ? "key" : "delta", timestamp: packet.pts, data: packet.payload }),
      );
    } catch {
      this.#fail();
    }
  }

  #open(config: VideoDecoderConfig): VideoDecoder {
    const decoder = new VideoDecoder({
      output: (frame) => {
        if (this.#decoder !== decoder || this.#paused) {
          frame.close();
          return;
        }
        this.frames.push(frame);
        this.#onFrame();
      },
      error: () => {
        if (this.#decoder === decoder) this.#fail();
      },
    });
    decoder.configure(config);
    return decoder;
  }

  #fail(): void {
    this.errors += 1;
    this.#drop();
    this.packets.restart();
    this.#ask();
  }

  #drop(): void {
    const decoder = this.#decoder;
    this.#decoder = null;
    if (decoder !== null && decoder.state !== "closed") decoder.close();
  }

  #ask(): void {
    const now = performance.now();
    if (now - this.#asked < ASK_MS) return;
    this.#asked = now;
    this.#askForKey();
  }
}
