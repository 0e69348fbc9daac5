"""What a conversation has besides hearing and speaking: documents, sight and tools, and its record of their use."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

from animacy.core.errors import ToolError
from animacy.core.knowledge.contract import Hit
from animacy.core.knowledge.grounding import KnowledgeSource
from animacy.core.pipeline.grounding import Source
from animacy.core.pipeline.loading import Products
from animacy.core.pipeline.transport import LiveTransport, Transport
from animacy.core.recipe_loader import LoadedRecipe
from animacy.core.report import ToolReport, TurnReport
from animacy.core.tools.pipecat import CallRecord, ToolBridge
from animacy.core.vision.contract import PictureSource
from animacy.core.vision.sight import SightSource

KEPT_TURNS = 500
SHOWN_TEXT = 400
"""Characters of a passage that the page shows."""


class Beside:
    """One conversation's documents, sight and tools.

    Parameters:
        loaded: whose.
        transport: the visitor, who is told of sources, of looks, and what tools do in the page.
    """

    def __init__(self, loaded: LoadedRecipe, transport: Transport) -> None:
        self._loaded = loaded
        self._live = transport if isinstance(transport, LiveTransport) else None
        self._sources: list[str] = []
        self._calls: list[ToolReport] = []
        self._turns: OrderedDict[int, tuple[list[str], list[ToolReport]]] = OrderedDict()

    async def tell(self, kind: str, data: Mapping[str, Any]) -> None:
        """Send a tool's message to the visitor's client. Raises ToolError when there is none."""
        if self._live is None or not self._live.tell(kind, data):
            raise ToolError("there is no page that could show it")

    def sources(self, products: Products) -> list[Source]:
        """Who finds out what the model is told for a turn."""
        recipe = self._loaded.recipe
        sources: list[Source] = []
        if products.sight is not None and recipe.vision is not None and self._live is not None:
            sources.append(SightSource(products.sight, self._live, recipe.vision.sources, self._note_look))
        if products.knowledge is not None and recipe.knowledge is not None:
            section, language = recipe.knowledge, recipe.character.language
            sources.append(
                KnowledgeSource(
                    products.knowledge,
                    section.characters,
                    section.sure_score,
                    section.unknown,
                    language,
                    self._note_sources,
                )
            )
        return sources

    def tools(self, products: Products) -> ToolBridge | None:
        """What lets the llm use the tools."""
        if products.toolbox is None or not products.toolbox.tools:
            return None
        return ToolBridge(products.toolbox, language=self._loaded.recipe.character.language, on_call=self._note_call)

    def end_turn(self, turn: TurnReport) -> TurnReport:
        """The turn is over: what was used since the last one belongs to it."""
        self._turns[turn.index] = (self._sources, self._calls)
        self._sources, self._calls = [], []
        while len(self._turns) > KEPT_TURNS:
            self._turns.popitem(last=False)
        return self.annotated(turn)

    def annotated(self, turn: TurnReport) -> TurnReport:
        """A turn's report with what was used for it."""
        sources, tools = self._turns.get(turn.index, ([], []))
        return turn.model_copy(update={"sources": sources, "tools": tools})

    async def _note_sources(self, hits: Sequence[Hit]) -> None:
        self._sources = list(dict.fromkeys(hit.passage.source for hit in hits))
        if self._live is not None:
            shown = [
                {
                    "source": hit.passage.source,
                    "headings": list(hit.passage.headings),
                    "text": hit.passage.text[:SHOWN_TEXT],
                    "score": round(hit.score, 3),
                }
                for hit in hits
            ]
            self._live.tell("sources", {"sources": shown})

    async def _note_look(self, source: PictureSource) -> None:
        if self._live is not None:
            self._live.tell("looking", {"source": source})

    def _note_call(self, call: CallRecord) -> None:
        result = call.result
        self._calls.append(
            ToolReport(
                name=call.name,
                arguments=dict(call.arguments),
                status=result.status,
                result=str(result.error or result.value or ""),
                seconds=call.seconds,
            )
        )
