/** What the character may see: the user's camera or screen, as a track for WebRTC and a picture a second else. */

import { type DeviceState, failure, stopTracks } from "./device";
import { MAX_PICTURE_BYTES } from "./protocol";

export const PICTURE_MS = 1000;
/** Wide enough to read what is written on a screen; without a wish browsers scale it down to half of that. */
export const MOST_WIDTH = { camera: 1280, screen: 1920 };
const QUALITIES = [0.8, 0.6, 0.4];

export class Eye {
  state: DeviceState;
  stream: MediaStream | null = null;
  onState: () => void = () => undefined;
  /** A picture, while it is on and `pictures` is set. */
  onPicture: (jpeg: Uint8Array) => void = () => undefined;
  /** Whether pictures are made; not when the track is sent. */
  pictures = true;
  readonly source: "camera" | "screen";
  readonly #video = document.createElement("video");
  readonly #canvas = document.createElement("canvas");
  #timer = 0;
  #busy = false;
  /** Counts the times it was asked for, or no longer wanted. */
  #wish = 0;

  constructor(source: "camera" | "screen") {
    this.source = source;
    const devices = navigator.mediaDevices as MediaDevices | undefined;
    const has = source === "camera" ? devices?.getUserMedia : devices?.getDisplayMedia;
    this.state = has === undefined ? "unsupported" : "unasked";
    this.#video.muted = true;
    this.#video.playsInline = true;
  }

  get track(): MediaStreamTrack | null {
    return this.state === "on" ? (this.stream?.getVideoTracks()[0] ?? null) : null;
  }

  /** Ask for it and look. Failures are a state, not an exception. */
  async open(): Promise<void> {
    if (this.state === "on" || this.state === "asking" || this.state === "unsupported") return;
    const before = this.state;
    const wish = ++this.#wish;
    this.#set("asking");
    let stream: MediaStream | null = null;
    try {
      stream = await this.#ask();
      this.#video.srcObject = stream;
      await this.#video.play();
    } catch (error) {
      stopTracks(stream);
      if (wish !== this.#wish) return;
      const state = failure(error);
      // Who closes the choice of screens has changed their mind, not refused for good.
      this.#set(this.source === "screen" && state === "denied" ? (before === "denied" ? "unasked" : before) : state);
      return;
    }
    if (wish !== this.#wish) {
      // The user left while the browser was still asking.
      stopTracks(stream);
      return;
    }
    this.stream = stream;
    for (const track of stream.getVideoTracks()) track.onended = () => this.close();
    this.#timer = window.setInterval(() => void this.#look(), PICTURE_MS);
    this.#set("on");
    void this.#look();
  }

  close(): void {
    this.#wish += 1;
    clearInterval(this.#timer);
    stopTracks(this.stream);
    this.stream = null;
    this.#video.srcObject = null;
    if (this.state === "on" || this.state === "asking") this.#set("off");
  }

  #ask(): Promise<MediaStream> {
    const width = MOST_WIDTH[this.source];
    const size = { width: { ideal: width }, height: { ideal: (width * 9) / 16 } };
    return this.source === "camera"
      ? navigator.mediaDevices.getUserMedia({ video: { ...size, frameRate: { ideal: 15 }, facingMode: "user" } })
      : navigator.mediaDevices.getDisplayMedia({ video: { ...size, frameRate: { ideal: 5 } }, audio: false });
  }

  async #look(): Promise<void> {
    const { videoWidth: width, videoHeight: height } = this.#video;
    if (!this.pictures || this.#busy || width === 0) return;
    this.#busy = true;
    try {
      const scale = Math.min(1, MOST_WIDTH[this.source] / width);
      this.#canvas.width = Math.round(width * scale);
      this.#canvas.height = Math.round(height * scale);
      this.#canvas.getContext("2d", { alpha: false })?.drawImage(this.#video, 0, 0, this.#canvas.width, this.#canvas.height);
      const jpeg = await this.#encode();
      if (jpeg !== null && this.state === "on") this.onPicture(jpeg);
    } finally {
      this.#busy = false;
    }
  }

  /** A JPEG that is short enough; null when even the plainest is not. */
  async #encode(): Promise<Uint8Array | null> {
    for (const quality of QUALITIES) {
      const blob = await new Promise<Blob | null>((done) => this.#canvas.toBlob(done, "image/jpeg", quality));
      if (blob !== null && blob.size <= MAX_PICTURE_BYTES) return new Uint8Array(await blob.arrayBuffer());
    }
    return null;
  }

  #set(state: DeviceState): void {
    this.state = state;
    this.onState();
  }
}
