"""Over which GPUs an engine is spread: the one table. Needs no PyTorch."""

from __future__ import annotations

from dataclasses import dataclass

from animacy.engine.errors import EngineError


@dataclass(frozen=True, slots=True)
class Spread:
    """How many GPUs share the transformer, and how many others the decoder; 0 decodes on the transformer's first."""

    dit: int
    vae: int

    @property
    def gpus(self) -> int:
        """All of them."""
        return self.dit + self.vae


SPREADS = {spread.gpus: spread for spread in (Spread(1, 0), Spread(1, 1), Spread(2, 1), Spread(2, 2), Spread(3, 2))}
"""By the number of GPUs: first the transformer's, then the decoder's.

They run beside each other and take about as long, so that each gets one more in turn. The transformer goes first, since
that shortens the way from speech to its frames too. Two stripes of the decoder are always equal: a token has two rows.
"""


def spread(gpus: int) -> Spread:
    """How `gpus` GPUs are used; raises EngineError where it is not known."""
    if gpus not in SPREADS:
        raise EngineError(
            f"an engine cannot be spread over {gpus} GPUs", f"take {' or '.join(map(str, SPREADS))} of them"
        )
    return SPREADS[gpus]
