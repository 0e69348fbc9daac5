"""A voice that speaks: text in, sound and mouth shapes out, without any pipeline."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence

import numpy as np

from animacy.core.computed import file_identity
from animacy.core.pipeline.clauses import split_sentences
from animacy.core.pipeline.voice import Speech, pause_after
from animacy.core.video.visemes import moved, visemes_of
from animacy.plugins.kokoro import kept
from animacy.plugins.kokoro.g2p import Phonemizer, vocabulary
from animacy.plugins.kokoro.network import FRAME, SAMPLE_RATE, Floats, Network
from animacy.plugins.kokoro.timing import FRAME_SECONDS, audible, energies, phones
from animacy.plugins.kokoro.voices import Voice
from animacy.plugins.kokoro.windows import WindowSettings, decode_windows, plan_windows

KNOWN_WORDS = 5
KNOWN_CLAUSES = 24
"""A character begins many answers alike ("Good question!"). Clauses this short are kept, so many of them: heard again
they cost nothing, at the moment at which the user waits."""

MANNER = 1
"""Raise it when the same phonemes come out otherwise, so that openings kept on disk are spoken anew."""

FIRST_WORD = "Yes."
"""Spoken unheard, because the first run is slow."""


class Speaker:
    """One voice with its model in memory. Every call computes; use one thread for all of them."""

    sample_rate = SAMPLE_RATE

    def __init__(
        self,
        network: Network,
        voice: Voice,
        speed: float = 1.0,
        windows: WindowSettings | None = None,
        openings: Sequence[str] = (),
    ) -> None:
        self.voice = voice
        self.speed = speed
        self.network = network
        self._windows = windows or WindowSettings()
        self._phonemize: Phonemizer | None = None
        self._styles: Floats | None = None
        self._openings = openings[:KNOWN_CLAUSES]
        self._known: OrderedDict[str, list[Speech]] = OrderedDict()

    def load(self) -> None:
        """Load everything, and speak the openings unheard unless an earlier start has. Raises AnimacyError.

        Does nothing the second time; happens by itself with the first text.
        """
        if self._phonemize is None:
            self.network.load()
            self._styles = self.voice.styles()
            self._phonemize = Phonemizer(is_british=self.voice.british)
            for opening in self._openings:
                self._known[opening.strip()] = self._opening(opening.strip())
            for _ in self.clause(FIRST_WORD):
                pass

    def _opening(self, text: str) -> list[Speech]:
        assert self._phonemize is not None
        key = (MANNER, list(self._phonemize(text)), self.voice, self.speed, self._windows)
        model = file_identity(self.network.model.path())
        pieces = kept.find(*key, model)
        if pieces is None:
            pieces = list(self.clause(text))
            kept.keep(pieces, *key, model)
        return pieces

    def close(self) -> None:
        """Free the model and what was kept. May be called twice."""
        self.network.close()
        self._known.clear()
        self._phonemize = self._styles = None

    def synthesize(self, text: str) -> Iterator[Speech]:
        """Speak a text of any length, sentence after sentence."""
        for clause in split_sentences(text):
            yield from self.clause(clause)

    def clause(self, text: str) -> Iterator[Speech]:
        """Speak one clause or sentence: a short piece first, then longer ones. Yields nothing if nothing is sayable."""
        self.load()
        assert self._phonemize is not None and self._styles is not None
        text = text.strip()
        if text in self._known:
            self._known.move_to_end(text)
            yield from self._known[text]
            return
        pieces = []
        for phonemes in self._phonemize(text):
            for piece in self._speak(phonemes, self._styles):
                pieces.append(piece)
                yield piece
        if len(text.split()) <= KNOWN_WORDS:
            self._known[text] = pieces
            while len(self._known) > KNOWN_CLAUSES:
                self._known.popitem(last=False)

    def _speak(self, phonemes: str, styles: Floats) -> Iterator[Speech]:
        tokens = vocabulary()
        plan = self.network.encode([tokens[symbol] for symbol in phonemes], styles, self.speed)
        start, end = audible(plan)
        if start == end:
            return
        visemes = moved(visemes_of(phones(phonemes, plan)), -start * FRAME_SECONDS)
        energy = energies(plan)
        windows = plan_windows(energy, start, end, self._windows)
        silence = _silence(phonemes)
        pieces = decode_windows(
            lambda first, last: self.network.decode(plan, first, last), windows, energy, self._windows
        )
        for index, piece in enumerate(pieces):
            pcm = _pcm(piece)
            if index + 1 == len(windows):
                pcm += silence
            yield Speech(pcm, visemes if index == 0 else ())


def _silence(phonemes: str) -> bytes:
    return bytes(2 * FRAME * round(pause_after(phonemes) / FRAME_SECONDS))


def _pcm(samples: Floats) -> bytes:
    pcm: bytes = (np.clip(samples, -1.0, 1.0) * 32767).astype("<i2").tobytes()
    return pcm
