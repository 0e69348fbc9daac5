"""The report of a benchmark: a dated Markdown page with the machine it ran on, and the same as JSON."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import shutil
import subprocess
from collections import Counter
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

_LIBRARIES = ("torch", "triton", "diffusers", "animacy")


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of cells under the names of their columns."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def markdown(self) -> str:
        """The table in Markdown; bars in cells are kept from ending them."""
        lines = [self.columns, ("---",) * len(self.columns), *self.rows]
        return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


@dataclass(frozen=True, slots=True)
class Section:
    """One part of a benchmark: tables and pictures for readers, `data` for programs, what was left out or failed."""

    title: str
    tables: tuple[Table, ...] = ()
    notes: tuple[str, ...] = ()
    pictures: tuple[str, ...] = ()
    data: Any = None

    def markdown(self) -> str:
        """The section in Markdown."""
        notes = "\n".join(f"- {note}" for note in self.notes)
        pictures = "\n".join(f"![{self.title}]({picture})" for picture in self.pictures)
        parts = [f"## {self.title}", *(table.markdown() for table in self.tables), notes, pictures]
        return "\n\n".join(part for part in parts if part)


@dataclass(frozen=True, slots=True)
class Environment:
    """When and on what a benchmark ran."""

    date: str
    hardware: str
    driver: str
    versions: dict[str, str]
    system: str

    @classmethod
    def here(cls) -> Environment:
        """This machine, now."""
        versions = {"Python": platform.python_version(), **{name: _version(name) for name in _LIBRARIES}}
        if torch.cuda.is_available():
            versions |= {"CUDA": str(torch.version.cuda), "cuDNN": str(torch.backends.cudnn.version())}
        return cls(
            date=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
            hardware=_hardware(),
            driver=_driver(),
            versions=versions,
            system=platform.platform(),
        )


@dataclass(slots=True)
class Report:
    """Collects the sections of a benchmark; written anew after each, so that none is lost with a later one."""

    title: str
    command: str
    environment: Environment
    sections: list[Section] = field(default_factory=list)

    def write(self, folder: Path) -> Path:
        """Write `report.md` and `report.json` into `folder`; returns the page."""
        folder.mkdir(parents=True, exist_ok=True)
        page = folder / "report.md"
        page.write_text(self.markdown(), encoding="utf-8")
        (folder / "report.json").write_text(json.dumps(self._data(), indent=2) + "\n", encoding="utf-8")
        return page

    def markdown(self) -> str:
        """The whole page."""
        where = self.environment
        versions = ", ".join(f"{name} {version}" for name, version in where.versions.items())
        head = Table(
            ("", ""),
            (
                ("date", where.date),
                ("hardware", where.hardware),
                ("driver", where.driver),
                ("versions", versions),
                ("system", where.system),
                ("command", f"`{self.command}`"),
            ),
        )
        parts = [f"# {self.title}", head.markdown(), *(section.markdown() for section in self.sections)]
        return "\n\n".join(parts) + "\n"

    def _data(self) -> dict[str, Any]:
        sections = {section.title: {"data": section.data, "notes": list(section.notes)} for section in self.sections}
        return {"title": self.title, "command": self.command, **asdict(self.environment), "sections": sections}


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _hardware() -> str:
    """The GPUs that can be used, or the processor where there are none."""
    if not torch.cuda.is_available():
        return f"no GPU; {platform.machine()} processor, {torch.get_num_threads()} threads"
    names = Counter(
        f"{device.name} {device.total_memory / 2**30:.0f} GiB"
        for device in map(torch.cuda.get_device_properties, range(torch.cuda.device_count()))
    )
    return ", ".join(f"{count} x {name}" for name, count in names.items())


def _driver() -> str:
    """The NVIDIA driver's version as its own tool tells it; PyTorch does not know."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return "none"
    command = [tool, "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        told = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return told.split("\n")[0].strip() or "unknown"
