"""Errors a user can act on."""

from __future__ import annotations


class AnimacyError(Exception):
    """Something a user can mend. The message names what is wrong, and `remedy` what to do about it.

    The CLI prints both and ends with `exit_code`; anything else that escapes is a bug and shows its traceback.
    """

    exit_code = 1

    def __init__(self, message: str, remedy: str | None = None) -> None:
        super().__init__(message)
        self.remedy = remedy

    def __str__(self) -> str:
        message = super().__str__()
        return f"{message}\n  {self.remedy}" if self.remedy else message


class RecipeError(AnimacyError):
    """The recipe, or something it names, is not usable."""

    exit_code = 2


class InputError(AnimacyError):
    """An input or output file named by the user is not usable."""

    exit_code = 3


class PluginError(AnimacyError):
    """A plugin is unknown, broken, or lacks the package it needs."""

    exit_code = 4


class KnowledgeError(AnimacyError):
    """Documents or their index cannot be read or written."""


class ToolError(AnimacyError):
    """A tool did not do what it was asked to; the message is fit to be spoken."""


class ModelError(AnimacyError):
    """A model file is missing, damaged, or does not load."""

    exit_code = 5
