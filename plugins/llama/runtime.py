"""llama.cpp in this process: load a GGUF file, write answers, stop when told."""

from __future__ import annotations

import json
import math
import os
import secrets
import shutil
import struct
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from http.client import HTTPConnection, HTTPException
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from animacy.core.computed import Computed, file_identity
from animacy.core.errors import ModelError
from animacy.core.llm.contract import Usage
from animacy.core.models import Model

KEPT_MIB = 64
"""About what one full conversation takes, computed (28 kB a token with the default model)."""
REUSE = 16
"""Tokens in a row from which computed ones are moved rather than computed again when older turns were dropped."""

CANDIDATES = 20
"""Of the first token of an answer, when only their chances are asked for."""

STATES = Computed("llama-states", limit=8)
"""What characters' first messages leave in the model's memory: 12 MB each with the default model and 400 tokens."""


class Runtime:
    """One model, answering one request at a time. Call `load` and `write` from one thread; both block.

    Parameters:
        model: a GGUF file, or a folder that holds exactly one.
        context_tokens: prompt and answer together.
        threads: compute threads while writing.
        batch_threads: compute threads while reading the prompt.
        conversations: how many alternate. All but one wait computed in memory of their own; with one, there is nothing
            worth keeping but what it reads anyway, and memory does not grow by turns that were dropped.
        aside_tokens: room for requests of another kind, which then do not evict the conversation.
    """

    def __init__(
        self,
        model: Model,
        context_tokens: int = 2048,
        threads: int = 1,
        batch_threads: int = 2,
        conversations: int = 1,
        aside_tokens: int = 0,
    ) -> None:
        self.model = model
        self.context_tokens = context_tokens
        self.threads = threads
        self.batch_threads = batch_threads
        self.conversations = conversations
        self.aside_tokens = aside_tokens
        self._server: Any = None
        self._file = Path()
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._password = secrets.token_urlsafe(32)

    def load(self) -> None:
        """Load the model. Raises ModelError."""
        if self._server is not None:
            return
        file = self._file = gguf_file(self.model.ensure())
        # Read once by the OpenMP library when it is loaded. By default its threads spin while they wait for each other,
        # and on two cores that are busy otherwise an answer was seen to come two to three times as late.
        os.environ.setdefault("OMP_WAIT_POLICY", "passive")
        try:
            import xllamacpp
        except ImportError as error:
            raise ModelError(f"xllamacpp does not load: {error}", "pip install 'xllamacpp>=2026.10'") from error
        params = xllamacpp.CommonParams()
        params.model.path = str(file)
        params.verbosity = -1
        # Both kinds find what was computed for them by how alike the prompts are.
        params.n_ctx = self.context_tokens + self.aside_tokens
        params.n_parallel = 2 if self.aside_tokens else 1
        params.kv_unified = True
        params.cpuparams.n_threads = self.threads
        params.cpuparams_batch.n_threads = self.batch_threads
        params.cache_ram_mib = KEPT_MIB * (self.conversations - 1)
        params.n_cache_reuse = REUSE
        # The library always listens on a local port as well: nobody else is to talk to it.
        params.api_keys = [self._password]
        params.ui = params.endpoint_slots = False
        self._folder = tempfile.TemporaryDirectory(prefix="animacy-llama-")
        params.slot_save_path = self._folder.name + os.sep
        try:
            self._server = xllamacpp.Server(params)
        except RuntimeError as error:
            raise ModelError(
                f"{file} does not load as a language model",
                "the file may be cut short, or newer than this llama.cpp: copy it again, or pip install -U xllamacpp",
            ) from error

    def read(self, messages: Sequence[Mapping[str, Any]], slot: int = 0) -> Usage | None:
        """Read a conversation that others will begin with, or remember having read it at an earlier start.

        `slot` 1 is for what is asked aside.
        """
        room = (self.context_tokens, self.aside_tokens, slot)
        key = (file_identity(self._file), version("xllamacpp"), room, [dict(m) for m in messages])
        known = STATES.find(*key)
        is_known = known is not None and self._restore(known, slot)
        usage = self.write(messages, lambda _: None, threading.Event(), max_tokens=1, id_slot=slot)
        if not is_known and (state := self._state(slot)) is not None:
            STATES.add(state, *key)
        return usage

    def chance(
        self, messages: Sequence[Mapping[str, Any]], word: str, other: str, stop: threading.Event, **options: Any
    ) -> float | None:
        """How much more likely the model would answer `word` than `other`, from 0 to 1.

        Only the beginnings of both are asked for, so they must differ in their first token. None when stopped.
        """
        weights = {word: 0.0, other: 0.0}

        def on_choice(choice: Mapping[str, Any]) -> None:
            for first in (choice.get("logprobs") or {}).get("content", ())[:1]:
                for token in first["top_logprobs"]:
                    text = token["token"].strip().lower()
                    for one in weights:
                        if text and one.startswith(text):
                            weights[one] += math.exp(token["logprob"])

        options |= {"max_tokens": 1, "temperature": 0.0, "logprobs": True, "top_logprobs": CANDIDATES}
        usage = self._complete(messages, on_choice, stop, options)
        total = sum(weights.values())
        return None if usage is None or not total else weights[word] / total

    def write(
        self,
        messages: Sequence[Mapping[str, Any]],
        on_text: Callable[[str], None],
        stop: threading.Event,
        **options: Any,
    ) -> Usage | None:
        """Write one answer, telling `on_text` of each token's text, until the end or until `stop` is set.

        `options` are those of llama.cpp's chat completions (max_tokens, temperature, seed, response_format, ...).
        Returns None when stopped before the first token. Raises ModelError when the request is refused.
        """

        def on_choice(choice: Mapping[str, Any]) -> None:
            if content := choice["delta"].get("content"):
                on_text(content)

        return self._complete(messages, on_choice, stop, options)

    def _complete(
        self,
        messages: Sequence[Mapping[str, Any]],
        on_choice: Callable[[Mapping[str, Any]], None],
        stop: threading.Event,
        options: Mapping[str, Any],
    ) -> Usage | None:
        if self._server is None:
            raise ModelError(f"model {self.model.name} is not loaded")
        last: dict[str, Any] = {}
        finish: str | None = None
        refused: Any = None

        def on_chunk(text: str) -> bool:
            nonlocal finish, last, refused
            chunk = json.loads(text)
            if "error" in chunk:
                refused = chunk["error"]
                return True
            last = chunk.get("timings") or last
            for choice in chunk.get("choices", ()):
                finish = choice.get("finish_reason") or finish
                on_choice(choice)
            return stop.is_set()

        request = {"messages": list(messages), "stream": True, "timings_per_token": True, **options}
        self._server.handle_chat_completions(json.dumps(request), on_chunk)
        if refused is not None:
            message = refused.get("message", refused) if isinstance(refused, dict) else refused
            raise ModelError(f"model {self.model.name} refused the request: {message}")
        if not last:
            return None
        return Usage(last["cache_n"] + last["prompt_n"], last["cache_n"], last["predicted_n"], finish == "length")

    def close(self) -> None:
        """Free the model. May be called twice."""
        self._server = None
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    def _restore(self, state: Path, slot: int) -> bool:
        assert self._folder is not None
        copy = Path(self._folder.name, "state")
        try:
            shutil.copyfile(state, copy)
            return self._slot(slot, "restore")
        except OSError:
            return False
        finally:
            copy.unlink(missing_ok=True)

    def _state(self, slot: int) -> bytes | None:
        assert self._folder is not None
        written = Path(self._folder.name, "state")
        try:
            return written.read_bytes() if self._slot(slot, "save") else None
        except OSError:
            return None
        finally:
            written.unlink(missing_ok=True)

    def _slot(self, slot: int, action: str) -> bool:
        """Save the model's memory to the folder, or restore it; the library offers that by HTTP only."""
        address = urlsplit(self._server.listening_address)
        connection = HTTPConnection(address.hostname or "", address.port, timeout=30)
        try:
            headers = {"Authorization": f"Bearer {self._password}", "Content-Type": "application/json"}
            connection.request("POST", f"/slots/{slot}?action={action}", json.dumps({"filename": "state"}), headers)
            return connection.getresponse().status == 200
        except (OSError, HTTPException):
            return False
        finally:
            connection.close()


def gguf_file(path: Path) -> Path:
    """The GGUF file that `path` is or holds, its header checked. Raises ModelError.

    llama.cpp says nothing of use about a file that is something else, and a web page saved by mistake is common.
    """
    if path.is_dir():
        found = sorted(path.rglob("*.gguf"))
        if len(found) != 1:
            names = ", ".join(file.name for file in found) or "none"
            raise ModelError(
                f"{path} holds {len(found)} GGUF files ({names})", "name one: owner/name:file.gguf, or a path"
            )
        path = found[0]
    try:
        with path.open("rb") as file:
            header = file.read(24)
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error.strerror}") from error
    if len(header) < 24 or header[:4] != b"GGUF":
        raise ModelError(f"{path} is not a GGUF file", "download it again; it must begin with the letters GGUF")
    version, tensors, keys = struct.unpack("<IQQ", header[4:])
    if version not in (2, 3) or not 0 < tensors < 1 << 20 or not 0 < keys < 1 << 20:
        raise ModelError(f"{path} is a damaged or unknown GGUF file (version {version})", "download it again")
    return path
