"""Which modules a recipe may name: those that the operator allowed. A recipe runs no code otherwise."""

from __future__ import annotations

import importlib
import os
import re
from types import ModuleType

from animacy.core.errors import PluginError

VARIABLE = "ANIMACY_ALLOW_MODULES"
_NAME = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")


def allowed_module(name: str) -> ModuleType:
    """Import the module `name`, if it is allowed. Raises PluginError with a remedy when it is not, or does not load.

    $ANIMACY_ALLOW_MODULES lists prefixes, separated by commas: "shop" allows `shop` and `shop.tools`, not `shopping`.
    """
    if not _NAME.fullmatch(name):
        raise PluginError(f"{name!r} is no name of a module", "Write it as in an import: package.module.")
    prefixes = {prefix.strip() for prefix in os.environ.get(VARIABLE, "").split(",") if prefix.strip()}
    if not any(name == prefix or name.startswith(f"{prefix}.") for prefix in prefixes):
        raise PluginError(
            f"the recipe names the module {name!r}, which is not allowed",
            f"If you trust this recipe, start with {VARIABLE}={','.join(sorted({*prefixes, name}))}.",
        )
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or name
        raise PluginError(
            f"the module {name!r} does not load: there is no module {missing!r}", "Install it, or correct its name."
        ) from error
    except Exception as error:  # a third party's code may fail in any way
        raise PluginError(f"the module {name!r} does not load: {type(error).__name__}: {error}") from error
