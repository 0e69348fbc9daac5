"""One plugin under test: how it is made again and again, and everything that it says meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import numpy as np
from loguru import logger
from numpy.typing import NDArray
from PIL import Image

from animacy.core.errors import AnimacyError
from animacy.core.film import read_audio
from animacy.core.provider import CharacterContext, Provider, Settings
from animacy.testing.addresses import addresses
from animacy.testing.material import Material
from animacy.testing.rule import NotJudgedError, Suite
from animacy.testing.secrets import WRONG, revealed, secrets_of
from animacy.testing.watch import LoopWatch

T = TypeVar("T")


@dataclass
class Bench:
    """What a rule may use.

    Parameters:
        given: the settings as plain values; `settings` are the same, validated.
        folder: for whatever is written meanwhile.
        kept: a loaded product, if the suite keeps one; `unloaded` says why there is none.
        said: logs, and the texts of errors, to be searched for secrets.
        seen: what one rule saw and another judges too, by name.
    """

    role: str
    provider: Provider
    given: Mapping[str, Any]
    settings: Settings
    character: CharacterContext
    material: Material
    suite: Suite
    folder: Path
    thread: ThreadPoolExecutor
    watch: LoopWatch = field(default_factory=LoopWatch)
    kept: Any = None
    unloaded: str = ""
    said: list[str] = field(default_factory=list)
    seen: dict[str, Any] = field(default_factory=dict)

    @property
    def secrets(self) -> set[str]:
        """What nobody may read, and what stands in for it when the key is to be wrong."""
        return {*secrets_of(self.settings), WRONG}

    @property
    def is_local(self) -> bool:
        """Whether the settings name a server on this machine."""
        hosts = {urlsplit(address).hostname for address in addresses(self.given)}
        return bool(hosts & {"127.0.0.1", "localhost", "::1"})

    def validated(self, given: Mapping[str, Any]) -> Settings:
        """Settings as a recipe's are checked. Raises pydantic's ValidationError."""
        context = {"base_dir": self.character.folder.resolve()}
        return self.provider.settings.model_validate(dict(given), context=context)

    def make(self, settings: Settings | None = None) -> Any:
        """Let the provider create its product."""
        return self.provider.create(self.settings if settings is None else settings, self.character)

    @contextlib.asynccontextmanager
    async def loaded(self, settings: Settings | None = None) -> AsyncIterator[Any]:
        """A product of its own, loaded, and let go of at the end. Not judged where none loads."""
        if self.unloaded:
            raise NotJudgedError(self.unloaded)
        product = self.make(settings)
        try:
            await self.suite.load(self, product)
            yield product
        finally:
            await self.suite.close(self, product)

    @property
    def product(self) -> Any:
        """The product that is kept. Not judged where none loads."""
        if self.kept is None:
            raise NotJudgedError(self.unloaded or "no product is kept")
        return self.kept

    async def blocking(self, function: Callable[..., T], *arguments: Any) -> T:
        """Call what blocks, in the one worker thread of this bench."""
        return await asyncio.get_running_loop().run_in_executor(self.thread, function, *arguments)

    async def speech(self, rate: int) -> bytes:
        """Somebody says a few words, mono 16-bit."""
        samples = await self.blocking(read_audio, self.material.speech, rate)
        return samples.tobytes()

    async def picture(self) -> NDArray[np.uint8]:
        """Somebody is seen, RGB."""
        return await self.blocking(_read_picture, self.material.portrait.image)

    def note(self, error: BaseException) -> None:
        """Remember what an error says, and what caused it."""
        seen: set[int] = set()
        while id(error) not in seen:
            seen.add(id(error))
            self.said.append(f"error: {error}" if isinstance(error, AnimacyError) else f"error: {error!r}")
            if error.__cause__ is None or isinstance(error, AnimacyError):
                return
            error = error.__cause__

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Hear all that is logged meanwhile, as `--verbose` shows it."""
        handler = _Handler(self.said)
        root = logging.getLogger()
        level = root.level
        root.addHandler(handler)
        root.setLevel(min(level, logging.INFO))
        sink = logger.add(lambda line: self.said.append(f"log: {line}"), level="DEBUG", format="{message}")
        try:
            yield
        finally:
            logger.remove(sink)
            root.removeHandler(handler)
            root.setLevel(level)


class _Handler(logging.Handler):
    def __init__(self, said: list[str]) -> None:
        super().__init__(logging.INFO)
        self._said = said

    def emit(self, record: logging.LogRecord) -> None:
        self._said.append(f"log of {record.name}: {self.format(record)}")


def _read_picture(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def plain_settings(settings: Settings | Mapping[str, Any] | None) -> Mapping[str, Any]:
    """Settings as a recipe would give them."""
    if isinstance(settings, Settings):
        return dict(revealed(settings))
    return settings or {}
