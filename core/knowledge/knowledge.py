"""What a live character knows: finds passages for what was said, off the event loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

from animacy.core.errors import AnimacyError
from animacy.core.knowledge.catalog import Catalog, folder_of, key_of
from animacy.core.knowledge.contract import Hit
from animacy.core.knowledge.index import Progress, Report, Stopped
from animacy.core.knowledge.library import Library
from animacy.core.recipe_loader import LoadedRecipe
from animacy.core.shared import Share

PATIENCE = 3.0
"""Seconds that a start waits for documents that changed; the rest of them come in while the character talks."""
NOTE_EVERY = 2.0
"""Seconds between two lines about the progress."""

Note = Callable[[str], None]


class Knowledge:
    """The documents of a character, for one conversation; conversations of a character share what is behind it.

    Parameters:
        share: of the library.
        passages: the most that one question gets.
        min_score: below it nothing counts as found.
    """

    def __init__(self, share: Share[Library], passages: int, min_score: float) -> None:
        self._share, self._passages, self._min_score = share, passages, min_score

    async def load(self, note: Note = lambda _: None) -> None:
        """Open the index and bring it up to date, telling `note` how far that is.

        A first index is waited for. When there is one already, documents that changed get PATIENCE seconds, and what is
        not done by then goes on in the background. Raises AnimacyError.
        """
        library = await self._share.load()
        indexing = asyncio.wrap_future(library.index(_Lines(note, asyncio.get_running_loop())))
        try:
            report = await asyncio.wait_for(asyncio.shield(indexing), None if library.empty else PATIENCE)
        except TimeoutError:
            note("knowledge: the documents that changed are being read; the others are known already")
            indexing.add_done_callback(lambda done: _tell_failure(done, note))
            return
        except Stopped:
            return
        except BaseException:
            self._share.release()
            raise
        for problem in report.problems:
            note(f"warning: {problem}")

    async def find(self, question: str, context: Sequence[str] = ()) -> list[Hit]:
        """What may answer, best first; nothing when the documents do not seem to.

        `context` is what was said just before, oldest first, for questions such as "and on Sundays?". Raises
        KnowledgeError when the store fails, RuntimeError before `load`.
        """
        hits = await self._share.run(self._share.value.find, question, tuple(context), self._passages)
        return [hit for hit in hits if hit.score >= self._min_score]

    async def close(self) -> None:
        """Let go of it. May be called twice."""
        self._share.release()


def library_of(loaded: LoadedRecipe) -> Library:
    """The library of a recipe that has knowledge; nothing is loaded. Raises PluginError, ModelError."""
    recipe = loaded.recipe
    assert recipe.knowledge is not None
    key = key_of(recipe.character.name, loaded.path)
    catalog = Catalog(key, recipe.knowledge.documents, loaded.folder, folder_of(key))
    return Library(loaded.create("knowledge"), loaded.create("embedding"), catalog, recipe.character.language)


def knowledge_of(loaded: LoadedRecipe) -> Knowledge | None:
    """What a recipe's character knows; None when the recipe has no knowledge."""
    section = loaded.recipe.knowledge
    if section is None:
        return None

    def make() -> Library:
        library = library_of(loaded)
        library.open()
        return library

    chosen = tuple((role, repr(loaded.chosen[role].settings)) for role in ("knowledge", "embedding"))
    key = ("knowledge", str(loaded.path), repr(section), loaded.recipe.character.language, chosen)
    return Knowledge(Share(key, make, Library.close), section.passages, section.min_score)


class _Lines:
    """Makes lines of progress, now and then, on the event loop."""

    def __init__(self, note: Note, loop: asyncio.AbstractEventLoop) -> None:
        self._note, self._loop = note, loop
        self._next = time.monotonic() + NOTE_EVERY

    def __call__(self, progress: Progress) -> None:
        if progress.done < progress.total and time.monotonic() >= self._next:
            self._next = time.monotonic() + NOTE_EVERY
            line = f"knowledge: {progress.done} of {progress.total} passages indexed"
            if not self._loop.is_closed():
                self._loop.call_soon_threadsafe(self._note, line)


def _tell_failure(done: asyncio.Future[Report], note: Note) -> None:
    error = None if done.cancelled() else done.exception()
    if isinstance(error, AnimacyError):
        note(f"warning: {error}")
