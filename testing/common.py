"""What every plugin is held to, whatever its role."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from animacy.core.errors import AnimacyError, ToolError
from animacy.core.pipeline.remote import RemoteError
from animacy.core.provider import Settings
from animacy.testing.addresses import addresses, default_addresses, leading_nowhere
from animacy.testing.bench import Bench
from animacy.testing.rule import BrokenError, NotJudgedError, Rule, expect
from animacy.testing.secrets import secrets_of, with_wrong_secrets
from animacy.testing.watch import Living

UNKNOWN_KEY = "no_such_setting_xyz"
NO_MODEL = "no-such-model-xyz"
FAIL_SECONDS = 60.0
"""In which a failure must be told: whoever waits for a character has gone by then."""
MAY_PASS = "raise an animacy.core.pipeline.remote.RemoteError, which is told while the conversation goes on"
CYCLES = 2
"""A library may keep a thread for the process; one more for each product is a leak."""


async def describes_itself(bench: Bench) -> str | None:
    """A recipe must be able to name it, and people to choose it."""
    name, summary = bench.provider.name, bench.provider.summary
    expect(re.fullmatch(r"[a-z][a-z0-9_]*", name), f"{name!r} must be lower case letters, digits and underscores")
    expect(summary.strip(), "Provider.summary is empty: `animacy plugins` has nothing to say of it")
    return summary


async def refuses_unknown_settings(bench: Bench) -> str | None:
    """A mistyped key must be an error with its line, not silence."""
    expect(issubclass(bench.provider.settings, Settings), "Provider.settings is no subclass of animacy.core.Settings")
    try:
        bench.validated({**bench.given, UNKNOWN_KEY: 1})
    except ValidationError as error:
        known = any(detail["loc"] == (UNKNOWN_KEY,) for detail in error.errors(include_input=False))
        expect(known, f"an unknown key is refused, but not as such: {error.errors(include_input=False)[0]['msg']}")
        return None
    raise BrokenError("an unknown key is accepted: keep extra='forbid' in model_config")


async def describes_settings(bench: Bench) -> str | None:
    """Editors complete recipes from these descriptions."""
    fields = bench.provider.settings.model_fields
    silent = [name for name, field in fields.items() if not field.description]
    expect(not silent, f"no description of {', '.join(silent)}: give pydantic.Field a `description`")
    schema = bench.provider.settings.model_json_schema()
    expect(schema.get("type") == "object", "the JSON Schema of its settings is no object")
    return f"{len(fields)} settings"


async def hides_secrets(bench: Bench) -> str | None:
    """Settings are printed in logs and tracebacks."""
    secrets = secrets_of(bench.settings)
    if not secrets:
        raise NotJudgedError("there is no secret among these settings")
    shown = f"{bench.settings!r} {bench.settings}"
    expect(
        not any(secret in shown for secret in secrets),
        "a secret is in repr(settings): make it a pydantic.SecretStr, or give its field repr=False",
    )
    return None


async def makes_product(bench: Bench) -> str | None:
    """Core counts on the type, and on `create` to be quick."""
    product = bench.make()
    try:
        expect(
            isinstance(product, bench.suite.product),
            f"create returned {type(product).__name__}, expected {bench.suite.product_name}",
        )
    finally:
        if isinstance(product, bench.suite.product):
            await bench.suite.close(bench, product)
    return type(product).__name__


async def lets_go(bench: Bench) -> str | None:
    """A conversation may fail before it starts, and a server makes thousands of them."""
    left: list[str] = []
    for _ in range(CYCLES):
        before = Living()
        product = bench.make()
        try:
            await bench.suite.load(bench, product)
        finally:
            await bench.suite.close(bench, product)
            await bench.suite.close(bench, product)  # twice does no harm
        left = await before.newcomers()
        if not left:
            return None
    raise BrokenError(f"after it was loaded and let go, there still is {', '.join(left)}")


async def tells_of_missing_model(bench: Bench) -> str | None:
    """A mistyped model is the commonest mistake of all."""
    if "model" not in bench.provider.settings.model_fields or not bench.provider.models(bench.settings):
        raise NotJudgedError("no setting names a model file")
    return await _failure(bench, {**bench.given, "model": NO_MODEL})


async def tells_of_nobody_there(bench: Bench) -> str | None:
    """Servers are down, and addresses mistyped."""
    given = {**default_addresses(bench.provider.settings), **bench.given}
    if not list(addresses(given)):
        raise NotJudgedError("no setting is the address of a server")
    return await _failure(bench, leading_nowhere(given), may_pass=True)


async def tells_of_wrong_key(bench: Bench) -> str | None:
    """Keys expire."""
    given = with_wrong_secrets(bench.given)
    if given == bench.given:
        raise NotJudgedError("there is no secret among these settings")
    return await _failure(bench, given)


async def keeps_secrets(bench: Bench) -> str | None:
    """Logs are sent to others, and errors are read aloud."""
    if not secrets_of(bench.settings):
        raise NotJudgedError("there is no secret among these settings")
    for text in bench.said:
        expect(not any(secret in text for secret in bench.secrets), f"a secret was told to others: {text[:500]}")
    return f"{len(bench.said)} lines of logs and errors"


BEFORE = (
    Rule("describes itself", describes_itself),
    Rule("refuses unknown settings", refuses_unknown_settings),
    Rule("describes its settings", describes_settings),
    Rule("hides secrets in its settings", hides_secrets),
    Rule("makes the right thing", makes_product),
    Rule("lets go of everything", lets_go, may_stall=True),
    Rule("tells of a missing model", tells_of_missing_model),
    Rule("tells of a server that is not there", tells_of_nobody_there),
    Rule("tells of a wrong key", tells_of_wrong_key),
)
AFTER = (Rule("keeps secrets out of logs and errors", keeps_secrets),)


async def _failure(bench: Bench, given: Mapping[str, Any], *, may_pass: bool = False) -> str:
    """What is told with settings that cannot work. Raises BrokenError when that is of no use to a user.

    `may_pass`: a conversation that is under way goes on.
    """
    try:
        error, at_work = await asyncio.wait_for(_first_error(bench, given), FAIL_SECONDS)
    except TimeoutError:
        raise BrokenError(f"nothing is told of it within {FAIL_SECONDS:.0f} s") from None
    if error is None:
        raise NotJudgedError("these settings work as well as the right ones, as far as can be seen")
    if isinstance(error, ValidationError):
        return error.errors(include_input=False)[0]["msg"]
    bench.note(error)
    told = f"{type(error).__name__}: {error}"
    expect(isinstance(error, AnimacyError), f"it is told as {told}\nraise an AnimacyError that says what to do")
    assert isinstance(error, AnimacyError)
    spoken = isinstance(error, ToolError)  # goes to the model, which says it to the user
    expect(error.remedy or spoken, f"nothing says what to do: {told}\ngive the error a remedy")
    if may_pass and at_work and bench.suite.conversing:
        goes_on = isinstance(error, RemoteError) and not error.lasts
        expect(goes_on, f"it ends the whole conversation: {told}\n{MAY_PASS}")
    return str(error)


async def _first_error(bench: Bench, given: Mapping[str, Any]) -> tuple[BaseException | None, bool]:
    """What goes wrong, and whether that was when it worked already."""
    product = None
    try:
        settings = bench.validated(given)
        list(bench.provider.models(settings))
        product = bench.make(settings)
        await bench.suite.load(bench, product)
        if bench.suite.use is not None:
            return next(iter(await bench.suite.use(bench, product)), None), True
    except Exception as error:  # whatever is raised is judged
        return error, False
    finally:
        if product is not None:
            await bench.suite.close(bench, product)
    return None, False
