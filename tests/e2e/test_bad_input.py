"""What users get wrong: one message, one exit code, nothing left behind, no hang. Through the real command line."""

from __future__ import annotations

import os
import signal
import socket
import struct
import subprocess
import sys
import time
import zlib

import av
import numpy as np
import pytest
import soundfile
import yaml
from PIL import Image

from animacy.core.models import cache_dir, packaged
from tests.conftest import QUESTIONS, RECIPES, animacy

IRIS = RECIPES / "iris" / "recipe.yaml"
QUESTION = QUESTIONS / "01.flac"


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Iris in a small picture: the same conversation, less to draw."""
    data = yaml.safe_load(IRIS.read_text())
    data["character"]["image"] = str(next(IRIS.parent.glob("image.*")))
    data["video"] = {"width": 320, "height": 180}
    path = tmp_path_factory.mktemp("small") / "recipe.yaml"
    path.write_text(yaml.safe_dump(data))
    return path


@pytest.fixture
def recipe(tmp_path, picture):
    path = tmp_path / "recipe.yaml"
    path.write_text("character:\n  name: Test\n  image: picture.png\n  persona: You are a test.\n")
    return path


def refused(result, code, *says):
    """One message on stderr, no traceback, the right code."""
    assert result.returncode == code, result.stdout + result.stderr
    assert "Traceback" not in result.stderr
    assert result.stderr.count("error:") == 1, result.stderr
    for text in says:
        assert text in result.stderr, result.stderr


def huge_png(path, width, height):
    """A valid header that promises far more pixels than the file holds."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 64)), (b"IEND", b"")]
    data = b"".join(struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
                    for kind, body in chunks)  # fmt: skip
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + data)


def test_no_recipe(tmp_path):
    refused(animacy("check", tmp_path / "none.yaml"), 2, "does not exist")


def test_missing_image(recipe, picture):
    picture.unlink()
    refused(animacy("check", recipe), 2, "recipe.yaml:3:3: character.image", "does not exist")


def test_empty_image(recipe, picture):
    picture.write_bytes(b"")
    refused(animacy("check", recipe), 2, "is empty (0 bytes)")


def test_200_megapixels(recipe, picture):
    huge_png(picture, 20_000, 10_000)
    refused(animacy("check", recipe), 2, "200 megapixels", "Scale it down")


def test_corrupt_image(recipe, picture):
    picture.write_bytes(picture.read_bytes()[:200])
    refused(animacy("check", recipe), 2, "is damaged")


def test_not_an_image(recipe, picture):
    picture.write_text("hello")
    refused(animacy("check", recipe), 2, "is not a picture")


def test_no_face(recipe):
    refused(animacy("check", recipe), 3, "anchors", "left_eye")


def test_unknown_plugin(recipe):
    recipe.write_text(recipe.read_text() + "stt: wisper\n")
    refused(animacy("check", recipe), 2, "recipe.yaml:5:1: stt", 'Did you mean "whisper"?')


def test_misspelt_key(recipe):
    recipe.write_text(recipe.read_text().replace("persona", "persnoa"))
    refused(animacy("check", recipe), 2, "recipe.yaml:4:3: character.persnoa", 'Did you mean "persona"?')


def test_cyclic_yaml(recipe):
    recipe.write_text("character: &c {name: A, again: *c}\n")
    refused(animacy("check", recipe), 2, "refers to itself")


def test_huge_yaml(recipe):
    recipe.write_text("# " + "x" * 1_000_000)
    refused(animacy("check", recipe), 2, "KiB")


def test_absent_environment_variable(recipe):
    recipe.write_text(recipe.read_text().replace("You are a test.", "${env:ANIMACY_TEST_ABSENT}"))
    refused(animacy("check", recipe), 2, "ANIMACY_TEST_ABSENT is not set")


def test_unknown_voice():
    text = IRIS.read_text()
    path = IRIS.with_name("unknown-voice.tmp.yaml")
    path.write_text(text.replace("voice: ", "voice: no_such_"))
    try:
        result = animacy("render", path, "--text", "Hello.", "--out", path.with_suffix(".mp4"))
    finally:
        path.unlink()
    assert result.returncode in (2, 4), result.stderr
    assert "no_such_" in result.stderr
    assert not path.with_suffix(".mp4").exists()


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("missing.wav", None, "does not exist"),
        ("empty.wav", b"", "is empty"),
        ("text.wav", b"this is not sound" * 99, "is not an audio file"),
    ],
)
def test_non_audio_input(tmp_path, name, content, says):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    out = tmp_path / "answer.mp4"
    refused(animacy("run", IRIS, "--input", path, "--output", out), 3, says)
    assert not list(tmp_path.glob("*.mp4")) + list(tmp_path.glob(".*partial*"))


def test_a_picture_as_input(tmp_path):
    path = tmp_path / "picture.png"
    Image.fromarray(np.zeros((80, 80, 3), np.uint8)).save(path)
    refused(animacy("run", IRIS, "--input", path, "--output", tmp_path / "a.mp4"), 3, "holds no sound")


def test_output_that_cannot_be_written(tmp_path):
    blocker = tmp_path / "file"
    blocker.write_text("in the way")
    result = animacy("run", IRIS, "--input", QUESTION, "--output", blocker / "answer.mp4")
    refused(result, 3, "cannot be written")
    refused(animacy("run", IRIS, "--input", QUESTION, "--output", tmp_path), 3, "directory")
    refused(animacy("run", IRIS, "--input", QUESTION, "--output", tmp_path / "answer.txt"), 3, "not a film's name")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write to read-only folders")
def test_read_only_output(tmp_path):
    tmp_path.chmod(0o500)
    refused(animacy("run", IRIS, "--input", QUESTION, "--output", tmp_path / "a.mp4"), 3, "permission denied")


def test_no_files_given(recipe):
    recipe.write_text(recipe.read_text() + "transport: file\n")
    refused(animacy("run", recipe), 3, "--input question.wav --output answer.mp4")


def test_options_of_a_recording_without_one():
    refused(animacy("run", IRIS, "--report", "report.json"), 3, "--report goes with a recording")


def test_an_address_for_a_recording():
    refused(
        animacy("run", IRIS, "-i", QUESTION, "-o", "answer.mp4", "--port", "7861"), 3, "--port goes with a transport"
    )


def test_a_port_that_is_taken():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused(animacy("run", IRIS, "--port", port), 3, f"127.0.0.1:{port}: the port is taken", "--port 0 for any")


def test_model_hash_mismatch(tmp_path):
    """A model that was changed on disk is refused by name, with the way to mend it."""
    real = packaged("face-landmarker").ensure()
    cache = tmp_path / "cache"
    relative = real.relative_to(cache_dir())
    copy = cache / relative
    copy.parent.mkdir(parents=True)
    for file in real.parent.iterdir():
        if file.is_file():
            (copy.parent / file.name).write_bytes(file.read_bytes())
    content = bytearray(copy.read_bytes())
    content[1000] ^= 0xFF
    copy.write_bytes(bytes(content))
    result = animacy("check", IRIS, ANIMACY_CACHE=str(cache), PIP_NO_INDEX="1")
    refused(result, 5, "face-landmarker", "doctor --fetch")


def test_a_model_that_does_not_load(tmp_path):
    text = IRIS.read_text()
    model = tmp_path / "broken.gguf"
    model.write_bytes(b"GGUF" + b"\0" * 5000)
    recipe = IRIS.with_name("broken-model.tmp.yaml")
    recipe.write_text(text.replace("llm: llama", f"llm: {{plugin: llama, model: {model}}}"))
    try:
        result = animacy("run", recipe, "--input", QUESTION, "--output", tmp_path / "a.mp4")
    finally:
        recipe.unlink()
    assert result.returncode == 5, result.stderr
    assert "broken.gguf" in result.stderr
    assert "Traceback" not in result.stderr
    assert not list(tmp_path.glob("*.mp4")) + list(tmp_path.glob(".*partial*"))


def test_a_recording_without_speech(tmp_path, small):
    path = tmp_path / "silence.wav"
    soundfile.write(path, np.zeros(16_000), 16_000)
    result = animacy("run", small, "--input", path, "--output", tmp_path / "a.mp4", "--report", tmp_path / "r.json")
    refused(result, 3, "No speech was heard")
    assert (tmp_path / "a.mp4").exists()
    assert '"ended": "no speech"' in (tmp_path / "r.json").read_text()


@pytest.mark.parametrize("seconds", [0.15, 1.2, 4.0, 9.0])
def test_ctrl_c_at_any_moment(tmp_path, small, seconds):
    """Whenever it comes: a soon end, exit code 130, and either a film that plays or none at all."""
    film = tmp_path / "answer.mp4"
    command = [sys.executable, "-c", "from animacy.core.cli import main; main()", "run", small]
    with subprocess.Popen(
        [*map(str, command), "--input", str(QUESTION), "--output", str(film)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        time.sleep(seconds)
        process.send_signal(signal.SIGINT)
        sent = time.monotonic()
        try:
            _, errors = process.communicate(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    assert process.returncode in (130, -signal.SIGINT), errors  # before Python has set up, the signal itself ends it
    assert time.monotonic() - sent < 20
    assert "Task was destroyed" not in errors
    assert not list(tmp_path.glob(".*partial*"))
    if film.exists():
        with av.open(str(film)) as container:
            assert sum(1 for _ in container.decode(video=0)) > 0
