"""Whisper without the pad to 30 seconds, and without the words it invents for noise."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from animacy.core.errors import ModelError
from animacy.core.models import Model

if TYPE_CHECKING:
    from faster_whisper import WhisperModel
    from faster_whisper.tokenizer import Tokenizer

SAMPLE_RATE = 16_000
TAIL = 3.0
"""Seconds of silence after the speech. Whisper was trained on 30 s; with less than about 3 s of it words get lost."""
LONGEST = 26.0
"""Seconds of speech that fit into one pass, with the tail inside Whisper's 30."""
SHORTEST = 0.2
"""Seconds under which nothing can have been said."""
QUIET = 0.0005
"""Root mean square (full scale 1) under which a segment is digital silence."""
CONFIDENT = -0.7
"""Mean log probability from which words count although it may have been no speech: short questions after a pause are
often judged so."""
TOKENS_PER_SECOND = 6
"""Nobody speaks faster; a longer answer is one of Whisper's loops."""


@dataclass(frozen=True, slots=True)
class Transcript:
    """What was understood. `text` is empty when it was no speech; `score` is the mean log probability of a token."""

    text: str
    no_speech: float = 1.0
    score: float = 0.0


class Recogniser:
    """A loaded Whisper. Not thread safe: call `load` and `transcribe` from one thread.

    Parameters:
        model: a CTranslate2 folder (model.bin, config.json, tokenizer.json, vocabulary).
        language: BCP 47 tag of what will be spoken.
        threads: compute threads.
        no_speech: no-speech probability above which a segment is dropped.
        min_score: mean log probability below which a segment is dropped.
    """

    def __init__(
        self, model: Model, language: str = "en", threads: int = 2, no_speech: float = 0.55, min_score: float = -1.3
    ) -> None:
        self.model = model
        self.language = language.split("-")[0].lower()
        self.threads = threads
        self.no_speech = no_speech
        self.min_score = min_score
        self._whisper: WhisperModel | None = None
        self._tokenizer: Tokenizer | None = None

    def load(self) -> None:
        """Load and run once, so that the first sentence is as quick as the others. Raises ModelError."""
        if self._whisper is not None:
            return
        folder = self.model.ensure()
        # Read once by oneDNN, which would keep compiled code for every length of speech that it ever saw: half a
        # megabyte a sentence, up to a thousand of them. Making it anew costs nothing that could be measured.
        os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "0")
        # Imported here, in the caller's thread: it takes a second.
        from faster_whisper import WhisperModel
        from faster_whisper.tokenizer import Tokenizer

        try:
            whisper = WhisperModel(
                str(folder), device="cpu", compute_type="int8", cpu_threads=self.threads, local_files_only=True
            )
        except Exception as error:  # ctranslate2 and tokenizers raise whatever a broken file leads to
            raise ModelError(
                f"{folder} does not load as a Whisper model: {error}",
                "it must be a CTranslate2 folder; delete a damaged one, or run `animacy doctor --fetch`",
            ) from error
        if self.language not in whisper.supported_languages:
            raise ModelError(
                f"model {self.model.name} does not know the language {self.language!r}",
                f"choose a multilingual model, or one of: {', '.join(sorted(whisper.supported_languages))}",
            )
        self._tokenizer = Tokenizer(
            whisper.hf_tokenizer, whisper.model.is_multilingual, task="transcribe", language=self.language
        )
        self._whisper = whisper
        self._transcribe_piece(np.zeros(SAMPLE_RATE, np.float32))

    def close(self) -> None:
        """Free the model. May be called twice."""
        self._whisper = self._tokenizer = None

    def transcribe(self, audio: NDArray[np.float32]) -> Transcript:
        """Understand mono speech at 16 kHz, full scale 1. `load` must have been called."""
        if len(audio) < SHORTEST * SAMPLE_RATE or float(np.sqrt(np.mean(np.square(audio)))) < QUIET:
            return Transcript("")
        found = [self._transcribe_piece(piece) for piece in _pieces(audio)]
        said = [part for part in found if part.text]
        if not said:
            return found[0]
        return Transcript(
            " ".join(part.text for part in said), max(p.no_speech for p in said), min(p.score for p in said)
        )

    def _transcribe_piece(self, audio: NDArray[np.float32]) -> Transcript:
        assert self._whisper is not None and self._tokenizer is not None, "load first"
        padded = np.concatenate([audio, np.zeros(int(TAIL * SAMPLE_RATE), np.float32)])
        features = self._whisper.feature_extractor(padded, padding=0)
        # The encoder halves the number of frames and needs it even.
        features = np.ascontiguousarray(features[:, : features.shape[1] // 2 * 2])
        result = self._whisper.model.generate(
            self._whisper.encode(features),
            [[*self._tokenizer.sot_sequence, self._tokenizer.no_timestamps]],
            beam_size=1,
            max_length=min(220, int(len(audio) / SAMPLE_RATE * TOKENS_PER_SECOND) + 12),
            no_repeat_ngram_size=4,
            return_scores=True,
            return_no_speech_prob=True,
        )[0]
        text = without_echo(self._tokenizer.decode(result.sequences_ids[0]).strip())
        score = float(result.scores[0])
        doubtful = result.no_speech_prob > self.no_speech and score < CONFIDENT
        if doubtful or score < self.min_score or not is_speech(text):
            text = ""
        return Transcript(text, float(result.no_speech_prob), score)


def is_speech(text: str) -> bool:
    """Whether it holds words: not only signs, a note like "[Music]", or one word over and over."""
    bare = re.sub(r"\[[^]]*\]|\([^)]*\)|[♪*]+", " ", text)
    words = re.findall(r"\w+", bare.lower())
    return bool(words) and not (len(words) >= 5 and len(set(words)) == 1)


def without_echo(text: str) -> str:
    """Cut the place where Whisper starts over: "Who painted it? Who painted the" becomes "Who painted it?".

    With a short tail it sometimes goes on into the silence with the sentence that it has just heard, up to its limit.
    """
    words = list(re.finditer(r"\S+", text))
    plain = [re.sub(r"\W", "", word.group().lower()) for word in words]
    for start in range(2, len(words) - 1):
        if words[start - 1].group()[-1] not in ".!?…":
            continue
        echo = plain[start:]
        # The limit may cut the last word, and a repetition gets worse as it goes on: let it differ.
        if len(echo) <= start and echo[: max(2, len(echo) - 1)] == plain[: max(2, len(echo) - 1)]:
            return text[: words[start - 1].end()]
    return text


def _pieces(audio: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
    """Cut what is too long for one pass at its quietest 0.2 s of the last third."""
    longest, window = int(LONGEST * SAMPLE_RATE), SAMPLE_RATE // 5
    while len(audio) > longest:
        first = longest * 2 // 3
        energy = np.convolve(np.square(audio[first:longest]), np.ones(window, np.float32), "valid")
        cut = first + int(np.argmin(energy)) + window // 2
        yield audio[:cut]
        audio = audio[cut:]
    yield audio
