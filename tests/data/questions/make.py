"""Makes the spoken questions again: python make.py VOICES, where VOICES is package/voices of npm kokoro-js 1.2.1.

The two that Piper spoke are left alone. What comes out is heard by whisper-base before it is kept.
"""

import json
import sys
from pathlib import Path

import numpy as np
import soundfile
import soxr

from animacy.core.models import packaged
from animacy.plugins.kokoro.g2p import Phonemizer, vocabulary
from animacy.plugins.kokoro.network import SAMPLE_RATE, Network
from animacy.plugins.kokoro.timing import audible

HERE = Path(__file__).parent
RATE = 16_000
LEVEL = 0.07
"""Root mean square of the whole file, about -23 dB of full scale: a calm voice at a laptop."""

SILENCE = 0.25


def speak(network, voices, voice, text, speed):
    styles = np.fromfile(voices / f"{voice}.bin", np.float32).reshape(510, 256)
    tokens = vocabulary()
    sound = []
    for phonemes in Phonemizer(is_british=voice.startswith("b"))(text):
        plan = network.encode([tokens[symbol] for symbol in phonemes], styles, speed)
        sound.append(network.decode(plan, *audible(plan)))
    return soxr.resample(np.concatenate(sound), SAMPLE_RATE, RATE)


def keep(samples, gain, path):
    samples = samples * (LEVEL * gain / np.sqrt(np.mean(samples**2)))
    samples *= min(1.0, 0.8 / np.abs(samples).max())
    edge = np.zeros(int(SILENCE * RATE), np.float32)
    soundfile.write(path, np.concatenate([edge, samples, edge]), RATE, subtype="PCM_16")


def main(voices):
    network = Network(packaged("kokoro-82m-int8"))
    network.load()
    for question in json.loads((HERE / "questions.json").read_text())["questions"]:
        if question["made_with"] == "kokoro":
            samples = speak(network, voices, question["voice"], question["text"], question["speed"])
            keep(samples, question["gain"], HERE / question["file"])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
