"""A real Chromium with a microphone that plays a recording, and probes that read what its page shows and plays.

The probes hook the browser's own objects before the page loads, so they see what a person would see and hear, whatever
the page believes of itself.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray
from playwright.async_api import Page, async_playwright

from animacy.core.film import read_audio

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
WITHOUT = "there is no Chromium (Debian: apt-get install chromium); nothing was tested in a browser"
FLAGS = [
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
    "--auto-select-desktop-capture-source=Entire screen",
    # Else the addresses in WebRTC's offers are names of multicast DNS, which containers lack.
    "--disable-features=WebRtcHideLocalIpsWithMdns",
]
RATE = 48_000

PROBES = """
(() => {
  const samples = [];
  let analyser = null;
  const tap = (context, node) => {
    if (analyser === null || analyser.context !== context) {
      analyser = context.createAnalyser();
      analyser.fftSize = 2048;
    }
    connect.call(node, analyser);
  };
  const connect = AudioNode.prototype.connect;
  AudioNode.prototype.connect = function (target, ...rest) {
    if (target instanceof AudioDestinationNode) tap(this.context, this);
    return connect.call(this, target, ...rest);
  };
  const small = new OffscreenCanvas(96, 54);
  const pen = small.getContext("2d", { willReadFrequently: true });
  const wave = new Float32Array(2048);
  let listened = null;
  let before = null;
  const picture = () => {
    const video = [...document.querySelectorAll("video")].find(
      (v) => v.videoWidth >= 320 && v.srcObject && v.offsetParent && v.dataset.self === undefined);
    const canvas = document.querySelector("canvas");
    if (video && video.srcObject !== listened && video.srcObject.getAudioTracks().length) {
      listened = video.srcObject;
      const context = new AudioContext();
      analyser = context.createAnalyser();
      connect.call(context.createMediaStreamSource(new MediaStream(listened.getAudioTracks())), analyser);
    }
    return video ?? canvas;
  };
  window.__probe = (region) => {
    // region: the mouth, as shares of the picture's width and height
    const source = picture();
    if (!source) return;
    const width = source.videoWidth || source.width, height = source.videoHeight || source.height;
    if (!width) return;
    const [x, y, w, h] = region;
    pen.drawImage(source, x * width, y * height, w * width, h * height, 0, 0, 96, 54);
    const pixels = pen.getImageData(0, 0, 96, 54).data;
    const grey = new Float32Array(96 * 54);
    for (let i = 0; i < grey.length; i++) grey[i] = (pixels[4 * i] + pixels[4 * i + 1] + pixels[4 * i + 2]) / 3;
    const motion = before ? grey.reduce((sum, value, i) => sum + Math.abs(value - before[i]), 0) / grey.length : 0;
    before = grey;
    let level = 0;
    if (analyser) {
      analyser.getFloatTimeDomainData(wave);
      level = Math.sqrt(wave.reduce((sum, s) => sum + s * s, 0) / wave.length);
    }
    samples.push([performance.now(), level, motion]);
    if (samples.length > 4000) samples.shift();
  };
  window.__samples = () => samples.splice(0);
})();
"""


@dataclass(slots=True)
class Seen:
    """What the probes saw: moments in seconds, how loud the page was, how much the mouth's region changed (grey)."""

    at: NDArray[np.float64]
    level: NDArray[np.float64]
    motion: NDArray[np.float64]


@dataclass(slots=True)
class Browser:
    """A page, and what went wrong in it."""

    page: Page
    problems: list[str] = field(default_factory=list)

    async def watch(self, region: tuple[float, float, float, float], every: int = 80) -> None:
        """Sample what is shown and heard from now on, every so many milliseconds."""
        await self.page.evaluate(f"setInterval(() => window.__probe({list(region)}), {every})")

    async def seen(self) -> Seen:
        """What was sampled since the last call."""
        rows = await self.page.evaluate("window.__samples()")
        at, level, motion = np.array(rows, float).reshape(-1, 3).T
        return Seen(at / 1000, level, motion)


def recording(path: Path, *parts: Path | float) -> Path:
    """A WAV for the fake microphone: recordings, and seconds of silence between them."""
    pieces = [np.zeros(int(p * RATE), np.int16) if isinstance(p, int | float) else read_audio(p, RATE) for p in parts]
    soundfile.write(path, np.concatenate(pieces), RATE)
    return path


@contextlib.asynccontextmanager
async def chromium(
    microphone: Path | None = None, *, width: int = 1280, height: int = 800, dark: bool = False, phone: bool = False
) -> AsyncIterator[Browser]:
    """Start Chromium; the microphone plays its recording once, from when the page opens it."""
    flags = [*FLAGS, *([f"--use-file-for-fake-audio-capture={microphone}%noloop"] if microphone else [])]
    async with async_playwright() as playwright:
        process = await playwright.chromium.launch(executable_path=CHROMIUM, args=flags, chromium_sandbox=False)
        try:
            context = await process.new_context(
                viewport={"width": width, "height": height},
                color_scheme="dark" if dark else "light",
                permissions=["microphone", "camera"],
                has_touch=phone,
                is_mobile=phone,
                device_scale_factor=2 if phone else 1,
            )
            page = await context.new_page()
            browser = Browser(page)
            page.on("console", lambda m: browser.problems.append(m.text) if m.type in ("error", "warning") else None)
            page.on("pageerror", lambda error: browser.problems.append(str(error)))
            await page.add_init_script(PROBES)
            yield browser
        finally:
            await process.close()
