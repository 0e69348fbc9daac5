"""Model files: which there are, where they come from, and how they get onto this machine.

In a recipe a model is the name of a packaged one ("whisper-base"), a local path, or a Hugging Face repository
("owner/name" or "owner/name:file"). `resolve` turns that text into a Model; `Model.ensure` returns its path.
"""

from __future__ import annotations

from animacy.core.models.cache import cache_dir
from animacy.core.models.hub import HubModel
from animacy.core.models.local import LocalModel
from animacy.core.models.model import Model, fetch_all
from animacy.core.models.packaged import PackagedModel, packaged, packaged_names
from animacy.core.models.progress import ConsoleProgress, Progress
from animacy.core.models.resolve import ModelSpec, resolve

__all__ = [
    "ConsoleProgress",
    "HubModel",
    "LocalModel",
    "Model",
    "ModelSpec",
    "PackagedModel",
    "Progress",
    "cache_dir",
    "fetch_all",
    "packaged",
    "packaged_names",
    "resolve",
]
