"""What a plugin was found to be."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any, Literal

Outcome = Literal["passed", "failed", "skipped"]
OUTCOMES: tuple[Outcome, ...] = ("passed", "failed", "skipped")


@dataclass(frozen=True, slots=True)
class Result:
    """One rule.

    `details` says what was found: what is wrong when it failed, why it could not be judged when it was skipped.
    `seconds` is how long that took.
    """

    name: str
    outcome: Outcome
    seconds: float
    details: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """Every rule of one plugin, in the order in which they were checked. As a text it is a table."""

    role: str
    name: str
    results: tuple[Result, ...]

    @property
    def ok(self) -> bool:
        """Whether no rule is broken. A rule that could not be judged breaks nothing."""
        return not self.failed

    @property
    def failed(self) -> list[Result]:
        """The rules that are broken."""
        return [result for result in self.results if result.outcome == "failed"]

    def raise_if_failed(self) -> None:
        """Raise AssertionError, with the table, if a rule is broken."""
        if self.failed:
            raise AssertionError(f"\n{self}")

    def as_dict(self) -> dict[str, Any]:
        """The same as plain JSON."""
        return {"role": self.role, "name": self.name, "ok": self.ok, "results": [asdict(r) for r in self.results]}

    def __str__(self) -> str:
        counted = Counter(result.outcome for result in self.results)
        told = ", ".join(f"{counted[outcome]} {outcome}" for outcome in OUTCOMES)
        widest = max((len(result.name) for result in self.results), default=0)
        rows = [_row(result, widest) for result in self.results]
        return "\n".join([f"{self.role} {self.name}: {told}", *rows])


def _row(result: Result, widest: int) -> str:
    row = f"{result.outcome:<8} {result.name:<{widest}} {result.seconds:6.2f} s"
    details = result.details.splitlines()
    if not details:
        return row
    margin = "\n" + " " * (len(row) + 2)
    return f"{row}  {margin.join(details)}"
