/** Draws the picture that belongs to the sound that is heard, once. */

import type { FrameQueue } from "./frames";
import type { Gauges } from "./gauges";

const BACKDROP_MS = 2000;
const BACKDROP_WIDTH = 24;

export class Presenter {
  /** The pts (microseconds) of the picture that is on the canvas. */
  shownPts: number | null = null;
  /** Called with the pts of each picture when it is drawn. */
  onShow: (pts: number) => void = () => undefined;
  readonly #canvas: HTMLCanvasElement;
  readonly #brush: CanvasRenderingContext2D;
  readonly #backdrop: CanvasRenderingContext2D | null;
  readonly #frames: FrameQueue<VideoFrame>;
  readonly #gauges: Gauges;
  readonly #heard: () => number | null;
  #painted = -Infinity;
  #request = 0;

  /** `backdrop` is painted with a few pixels of the picture now and then; `heard`: the pts heard now. */
  constructor(
    canvas: HTMLCanvasElement,
    backdrop: HTMLCanvasElement | null,
    frames: FrameQueue<VideoFrame>,
    gauges: Gauges,
    heard: () => number | null,
  ) {
    this.#canvas = canvas;
    this.#brush = canvas.getContext("2d", { alpha: false }) as CanvasRenderingContext2D;
    this.#backdrop = backdrop?.getContext("2d", { alpha: false }) ?? null;
    this.#frames = frames;
    this.#gauges = gauges;
    this.#heard = heard;
    this.#request = requestAnimationFrame(this.#draw);
  }

  close(): void {
    cancelAnimationFrame(this.#request);
  }

  readonly #draw = (): void => {
    this.#request = requestAnimationFrame(this.#draw);
    const heard = this.#heard();
    const frame = this.#frames.take(heard);
    if (frame === null) return;
    const pts = frame.timestamp;
    try {
      this.#paint(frame);
    } finally {
      frame.close();
    }
    this.shownPts = pts;
    this.#gauges.show(performance.now(), heard === null ? null : (heard - pts) / 1000);
    this.onShow(pts);
  };

  #paint(frame: VideoFrame): void {
    const { displayWidth: width, displayHeight: height } = frame;
    if (this.#canvas.width !== width || this.#canvas.height !== height) {
      this.#canvas.width = width;
      this.#canvas.height = height;
    }
    this.#brush.drawImage(frame, 0, 0);
    const now = performance.now();
    if (this.#backdrop !== null && now - this.#painted > BACKDROP_MS) {
      this.#painted = now;
      const { canvas } = this.#backdrop;
      canvas.width = BACKDROP_WIDTH;
      canvas.height = Math.max(1, Math.round((BACKDROP_WIDTH * height) / width));
      this.#backdrop.drawImage(frame, 0, 0, canvas.width, canvas.height);
    }
  }
}
