"""What a character is, and how one runs.

What a plugin author needs is imported from here: `hookimpl`, `Provider`, `Settings`, `CharacterContext`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from animacy.core.errors import AnimacyError
    from animacy.core.hookspecs import hookimpl
    from animacy.core.provider import CharacterContext, Provider, Settings

__version__ = "0.1.0"
__all__ = ["AnimacyError", "CharacterContext", "Provider", "Settings", "__version__", "hookimpl"]

_HOMES = {
    "AnimacyError": "errors",
    "CharacterContext": "provider",
    "Provider": "provider",
    "Settings": "provider",
    "hookimpl": "hookspecs",
}


def __getattr__(name: str) -> Any:
    """Import on first use, so that a GPU host can import `animacy.core.video` without the rest."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
