"""A conformance kit for plugin authors: one call runs a plugin of any role through what the built-ins pass.

    from animacy.testing import check

    check("video", "robot", {"light": "#ffcc00"}).raise_if_failed()

It needs no test framework and nothing but the base install. What is checked, and why, is in docs/conformance.md.
"""

from __future__ import annotations

from animacy.testing.conformance import check, check_async
from animacy.testing.material import Material
from animacy.testing.report import Report, Result

__all__ = ["Material", "Report", "Result", "check", "check_async"]
