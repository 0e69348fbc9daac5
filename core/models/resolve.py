"""From the text in a recipe to a model."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, ValidationInfo

from animacy.core.errors import ModelError
from animacy.core.models.hub import HubModel
from animacy.core.models.local import LocalModel
from animacy.core.models.model import Model
from animacy.core.models.packaged import packaged

_HUB = re.compile(r"(?P<repo>[\w.-]+/[\w.-]+)(?::(?P<file>[\w./-]+))?(?:@(?P<revision>[\w./-]+))?")
_WEIGHTS = (".gguf", ".onnx", ".bin", ".safetensors", ".task", ".tflite", ".pt", ".npz")


def resolve(
    spec: str, packaged_names: Sequence[str] = (), base_dir: Path | None = None, patterns: Sequence[str] | None = None
) -> Model:
    """The model that `spec` means: a packaged one's name, a local path, or "owner/name[:file][@revision]" on the hub.

    `packaged_names` are the packaged models that fit the role; a relative path starts at `base_dir`, the folder of the
    recipe (None: the working folder). Fetches nothing. Raises ModelError when it is none of the three.
    """
    if spec in packaged_names:
        return packaged(spec)
    path = (base_dir or Path()) / Path(spec).expanduser()
    if _looks_local(spec) or path.exists():
        if not path.exists():
            remedy = "check the path; it is relative to the recipe"
            raise ModelError(f"there is no model file {path.absolute()}", remedy)
        return LocalModel(path)
    match = _HUB.fullmatch(spec)
    if match:
        return HubModel(match["repo"], match["file"], match["revision"], patterns)
    names = ", ".join(packaged_names) or "none for this role"
    raise ModelError(
        f"{spec!r} is no model",
        f"give a packaged model ({names}), a local path, or a Hugging Face repository as owner/name or owner/name:file",
    )


def _looks_local(spec: str) -> bool:
    path = Path(spec).expanduser()
    return path.is_absolute() or spec.startswith(("./", "../")) or (":" not in spec and path.suffix in _WEIGHTS)


def _absolute(spec: str, info: ValidationInfo) -> str:
    base = (info.context or {}).get("base_dir")
    if base is None:
        return spec
    path = Path(base) / Path(spec).expanduser()
    return str(path.absolute()) if _looks_local(spec) or (path.exists() and "/" in spec) else spec


ModelSpec = Annotated[str, AfterValidator(_absolute)]
"""A model as a recipe names it. Validate with `context={"base_dir": folder}` to make relative paths absolute."""
