"""Speech as the transformer hears it: for each latent frame a window of features around it, as the speech arrives.

Time is counted from the first sample; video frame f lasts from f / fps to (f + 1) / fps, and a latent frame stands for
some of them in a row. Features come one a video frame, so that a window has a place for each frame around its latent
frame (InfiniteTalk, arXiv:2508.14033). Needs numpy alone.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from animacy.engine.config import AudioConfig
from animacy.engine.mel import MEL_BINS, MelSpectrum

F32 = NDArray[np.float32]

_MEL_FRAMES = 4
"""At most so many spectra a video frame: at 24 frames a second one every 10.4 ms, where Whisper takes one every 10."""


class SpeechEncoder(Protocol):
    """Turns sound into one feature a video frame; the encoder of wav2vec2 or of Whisper may stand behind it.

    The feature of a frame depends on `before` samples before the frame's first one and `after` samples from that on,
    and is exactly zero where all of them are.
    """

    before: int
    after: int

    def encode(self, sound: F32, starts: NDArray[np.int64]) -> F32:
        """Features of video frames in a row.

        Args:
            sound: (samples,), -1 to 1, with all that the frames' features depend on.
            starts: (frames,), index in `sound` of each frame's first sample.

        Returns:
            (frames, feature_dim).
        """
        ...


class LogMel:
    """Whisper's log-mel spectra: those of a video frame, one after the other, make up its feature.

    As many spectra as fit are laid side by side, at most four, because a mean over the frame would lose what tells a
    plosive from a vowel; the rest of `feature_dim` is zeros, which a learned projection can leave alone, where repeated
    values would only count double. A `feature_dim` below 80 gets so many wider mel bins.
    """

    def __init__(self, sample_rate: int, fps: int, feature_dim: int) -> None:
        bins = min(MEL_BINS, feature_dim)
        count = min(_MEL_FRAMES, feature_dim // bins)
        self._spectrum = MelSpectrum(sample_rate, bins)
        centres = np.array([(2 * i + 1) * sample_rate // (2 * fps * count) for i in range(count)])
        self._begins = centres - self._spectrum.size // 2
        self._rest = feature_dim - count * bins
        self.before = max(0, -int(self._begins[0]))
        self.after = int(self._begins[-1]) + self._spectrum.size

    def encode(self, sound: F32, starts: NDArray[np.int64]) -> F32:
        """See `SpeechEncoder.encode`."""
        begins = starts[:, None, None] + self._begins[:, None]
        spectra = self._spectrum(sound[begins + np.arange(self._spectrum.size)])
        return np.pad(spectra.reshape(len(starts), -1), ((0, 0), (0, self._rest)))


class SpeechWindows:
    """Cuts a stream of speech into the transformer's audio input, a latent frame at a time, in constant memory.

    The window of a latent frame is centred on it, half a frame early where that does not come out even. It therefore
    hears `look_ahead` samples beyond the latent frame's end: about 91 ms with a window of 8 at 24 fps.

    Args:
        audio: the window's shape.
        sample_rate: of the speech, in Hz; any.
        fps: of the video.
        frames: video frames that a latent frame stands for.
        encoder: makes features of `audio.feature_dim`; None takes `LogMel`.
    """

    def __init__(
        self, audio: AudioConfig, sample_rate: int, fps: int, frames: int, encoder: SpeechEncoder | None = None
    ) -> None:
        self._encoder = encoder or LogMel(sample_rate, fps, audio.feature_dim)
        self._rate, self._fps, self._frames, self._window = sample_rate, fps, frames, audio.window
        self._lead = (frames - audio.window) // 2  # from the latent frame's first video frame to the window's
        last = self._lead + audio.window - 1
        self.look_ahead = max(0, -((frames - last) * sample_rate // fps) + self._encoder.after)
        self.reset()

    def reset(self) -> None:
        """Forget what was heard; time begins anew."""
        self._frame = 0
        self._first = min(0, self._begin(0))  # the sample at which `_sound` begins
        self._sound = np.zeros(-self._first, np.float32)

    def push(self, pcm: NDArray[np.int16]) -> None:
        """Append speech, (samples,) mono. What was not taken yet is kept, however much it is."""
        self._sound = np.concatenate([self._sound, _scaled(pcm)])

    def take(self, expected: NDArray[np.int16] | None = None) -> F32 | None:
        """The next latent frame's window, (window, feature_dim); None while too little was pushed for it.

        Args:
            expected: what is likely to be pushed next, and stands in for it as look-ahead; silence is taken to follow.
                None waits until all of the look-ahead was pushed.
        """
        end = self._first + len(self._sound)
        needed = self._end(self._frame)
        if end < (self._start(self._frame + self._frames) if expected is not None else needed):
            return None
        sound = self._sound
        if expected is not None and end < needed:
            follows = np.zeros(needed - end, np.float32)
            known = expected[: len(follows)]
            follows[: len(known)] = _scaled(known)
            sound = np.concatenate([sound, follows])
        starts = np.array([self._start(frame) for frame in self._window_frames(self._frame)]) - self._first
        features = self._encoder.encode(sound, starts)
        self._frame += self._frames
        self._forget(self._begin(self._frame))
        return features

    def _forget(self, before: int) -> None:
        """Let go of all samples before this one."""
        count = min(max(0, before - self._first), len(self._sound))
        self._sound = self._sound[count:].copy()
        self._first += count

    def _begin(self, frame: int) -> int:
        """The first sample on which the window of the latent frame beginning at a video frame depends."""
        return self._start(self._window_frames(frame)[0]) - self._encoder.before

    def _end(self, frame: int) -> int:
        """The sample after the last one that belongs to that latent frame, or on which its window depends."""
        own_end = self._start(frame + self._frames)
        return max(own_end, self._start(self._window_frames(frame)[-1]) + self._encoder.after)

    def _window_frames(self, frame: int) -> range:
        return range(frame + self._lead, frame + self._lead + self._window)

    def _start(self, frame: int) -> int:
        """A video frame's first sample."""
        return frame * self._rate // self._fps


def _scaled(pcm: NDArray[np.int16]) -> F32:
    return pcm.astype(np.float32) / np.float32(32768)
