/** The user's microphone: a track for WebRTC, packets of 16 kHz sound for the WebSocket. */

import workletUrl from "./capture.worklet.ts?worker&url";
import type { FromCapture } from "./capture.worklet";
import { type DeviceState, failure, stopTracks } from "./device";

const PACKET_MICROSECONDS = 20_000;

export class Microphone {
  state: DeviceState = navigator.mediaDevices === undefined ? "unsupported" : "unasked";
  /** Loudest sample of the last 20 ms, from 0 to 1. */
  level = 0;
  onState: () => void = () => undefined;
  /** 20 ms of mono 16-bit sound; `pts` counts the microseconds since the microphone was opened. */
  onPacket: (pcm: Uint8Array, pts: number) => void = () => undefined;
  #stream: MediaStream | null = null;
  #context: AudioContext | null = null;
  #pts = 0;
  /** Counts the times it was asked for, or no longer wanted. */
  #wish = 0;

  /** What is sent over WebRTC: null while it is off. */
  get track(): MediaStreamTrack | null {
    return this.state === "on" ? (this.#stream?.getAudioTracks()[0] ?? null) : null;
  }

  /** Ask for it and listen. Failures are a state, not an exception. */
  async open(): Promise<void> {
    if (this.state === "asking" || this.state === "unsupported") return;
    if (this.#stream !== null) {
      this.mute(false);
      return;
    }
    const wish = ++this.#wish;
    this.#set("asking");
    let stream: MediaStream | null = null;
    try {
      stream = await navigator.mediaDevices.getUserMedia({
        audio: { echoCancellation: true, noiseSuppression: true, autoGainControl: true, channelCount: 1 },
      });
      if (wish === this.#wish) await this.#listen(stream);
    } catch (error) {
      stopTracks(stream);
      if (wish !== this.#wish) return;
      this.#release();
      this.#set(failure(error));
      return;
    }
    // The user may have left while the browser was still asking.
    if (wish === this.#wish) this.#set("on");
    else stopTracks(stream);
  }

  /** A muted microphone sends nothing. */
  mute(muted: boolean): void {
    if (this.#stream === null) return;
    for (const track of this.#stream.getAudioTracks()) track.enabled = !muted;
    this.level = 0;
    this.#set(muted ? "off" : "on");
  }

  close(): void {
    this.#wish += 1;
    this.#release();
    if (["asking", "on", "off"].includes(this.state)) this.#set("unasked");
  }

  async #listen(stream: MediaStream): Promise<void> {
    this.#stream = stream;
    // A context of its own, at the device's rate: some browsers connect no others.
    const context = new AudioContext({ latencyHint: "interactive" });
    this.#context = context;
    void context.resume();
    await context.audioWorklet.addModule(workletUrl);
    const node = new AudioWorkletNode(context, "capture", { numberOfInputs: 1, numberOfOutputs: 0 });
    node.port.onmessage = (event: MessageEvent<FromCapture>) => this.#take(event.data);
    context.createMediaStreamSource(stream).connect(node);
    for (const track of stream.getAudioTracks()) {
      track.onended = () => {
        this.#release();
        this.#set("missing");
      };
    }
  }

  #take({ pcm, level }: FromCapture): void {
    const pts = this.#pts;
    this.#pts += PACKET_MICROSECONDS;
    if (this.state !== "on") return;
    this.level = level;
    this.onPacket(new Uint8Array(pcm), pts);
  }

  #release(): void {
    stopTracks(this.#stream);
    this.#stream = null;
    this.#pts = this.level = 0;
    if (this.#context !== null && this.#context.state !== "closed") void this.#context.close();
    this.#context = null;
  }

  #set(state: DeviceState): void {
    this.state = state;
    this.onState();
  }
}
