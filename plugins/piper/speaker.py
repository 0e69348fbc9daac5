"""A Piper voice that speaks: text in, sound and mouth shapes out, without any pipeline."""

from __future__ import annotations

from collections.abc import Iterator

from piper import AudioChunk, PiperVoice, SynthesisConfig

from animacy.core.pipeline.clauses import split_sentences
from animacy.core.pipeline.voice import Speech, pause_after
from animacy.core.spoken.english import speakable
from animacy.core.spoken.plain import without_markup, without_pictures
from animacy.core.video.visemes import moved, visemes_of
from animacy.plugins.piper.timing import audible, phones
from animacy.plugins.piper.voice import Voice

FIRST_WORD = "1"
"""Spoken unheard, because the first run is slow; there is a word for it in every language."""


class PiperSpeaker:
    """One voice with its model in memory. Every call computes; use one thread for all of them.

    Parameters:
        voice: loaded.
        speaker: number of one of its speakers; None for a voice with one, or its usual one.
        speed: 1 is the voice's own.
        sentence_pause: seconds of silence after a sentence.
    """

    def __init__(
        self, voice: Voice, speaker: int | None = None, speed: float = 1.0, sentence_pause: float = 0.26
    ) -> None:
        self._piper: PiperVoice | None = voice.piper
        self._is_english = voice.language.lower().split("-")[0] == "en"
        self._rate: int = voice.piper.config.sample_rate
        self._sentence_pause = sentence_pause
        # Piper would bring every sentence to full loudness, so that a sigh would be as loud as a shout.
        self._manner = SynthesisConfig(speaker, voice.piper.config.length_scale / speed, normalize_audio=False)
        for _ in self.synthesize(FIRST_WORD):
            pass

    @property
    def sample_rate(self) -> int:
        """Of its sound, in Hz."""
        return self._rate

    def close(self) -> None:
        """Free the model. May be called twice."""
        self._piper = None

    def synthesize(self, text: str) -> Iterator[Speech]:
        """Speak a text of any length, sentence after sentence, each with its mouth shapes."""
        if self._piper is None:
            raise RuntimeError("the voice is closed")
        for sentence in split_sentences(text):
            words = self._speakable(sentence)
            if any(char.isalnum() for char in words):
                for chunk in self._piper.synthesize(words, self._manner, include_alignments=True):
                    yield from self._speech(chunk)

    def _speakable(self, text: str) -> str:
        # Elsewhere Piper's own reader, espeak, has to know what numbers and abbreviations are called.
        if self._is_english:
            return speakable(text)
        # Two brackets would have it read phonemes.
        return without_pictures(without_markup(text)).replace("[[", "[").strip()

    def _speech(self, chunk: AudioChunk) -> Iterator[Speech]:
        sound = chunk.audio_float_array
        start, end = audible(sound, self._rate)
        if start == end:
            return
        visemes = None
        if chunk.phoneme_alignments:
            visemes = moved(visemes_of(phones(chunk.phoneme_alignments, sound, self._rate)), -start / self._rate)
        read = "".join(chunk.phonemes).rstrip()
        pause = self._sentence_pause if read.endswith((".", "!", "?", "…")) else pause_after(read)
        pcm = (sound[start:end] * 32767).astype("<i2").tobytes()
        yield Speech(pcm + bytes(2 * round(pause * self._rate)), visemes)
