"""Which commands a recipe may start: those that the operator allowed."""

from __future__ import annotations

import os
import shutil

from animacy.core.errors import ToolError

VARIABLE = "ANIMACY_ALLOW_COMMANDS"


def allowed_command(command: str) -> str:
    """The path of an allowed command. Raises ToolError with a remedy.

    It is looked for where the operator's own commands are, whatever a recipe says.
    """
    allowed = {name.strip() for name in os.environ.get(VARIABLE, "").split(",") if name.strip()}
    if command not in allowed:
        raise ToolError(
            f"the recipe starts the command {command!r}, which is not allowed",
            f"If you trust this recipe, start with {VARIABLE}={','.join(sorted({*allowed, command}))}.",
        )
    path = shutil.which(command)
    if path is None:
        raise ToolError(f"the command {command!r} is not installed", "Install it, or correct its name.")
    return os.path.abspath(path)  # noqa: PTH100  (a link must keep its own name: some programs go by it)
