"""The suites, one module a role; imported when asked for."""

from __future__ import annotations

import importlib

from animacy.core.plugins import Role
from animacy.testing.rule import Suite


def suite_of(role: Role) -> Suite:
    """How plugins of a role are handled, and the rules for them."""
    suite: Suite = importlib.import_module(f"animacy.testing.roles.{role}").SUITE
    return suite
