"""The kit finds what is wrong, and nothing where nothing is."""

from __future__ import annotations

import asyncio
import re
import subprocess

import pytest

from animacy.core.errors import PluginError
from animacy.core.plugins import ROLES, Plugins
from animacy.testing import check, check_async
from animacy.testing.common import AFTER, BEFORE
from animacy.testing.roles import suite_of
from tests.conftest import ROOT, animacy
from tests.testing.sample import KEY, Careless, Sampled, plugin

FLAWS = [
    ("vision", "another thing", "makes the right thing", "create returned object, expected"),
    ("vision", "blocks in create", "makes the right thing", r"stood still for 0\.[89].* at .*sample\.py:\d+ in create"),
    ("vision", "leaves a thread", "lets go of everything", "thread 'left behind'"),
    ("vision", "leak", "keeps secrets out of logs and errors", r"a secret was told to others: error: the key \*\*\*"),
    ("vision", "no remedy", "tells of a wrong key", "nothing says what to do"),
    ("vision", "raw error", "tells of a wrong key", "KeyError"),
    ("vision", "quits", "tells what is there", "SystemExit: 3"),
    ("vision", "mute", "tells what is there", "no summary"),
    ("vision", "paints", "tells what is there", "draws into the picture|cannot set WRITEABLE"),
    ("vision", "divides by nothing", "sees nothing where nothing is", "ZeroDivisionError"),
    ("stt", "blocks", "hears speech", r"stood still for .* in run_stt|stood still for .* in STT.run_stt"),
    ("stt", "never final", "hears speech", "finalized=True"),
    ("stt", "hallucinates", "hears nothing in silence", "Thanks for watching"),
    ("stt", "swallows", "passes on what is not its own", "DataFrame of others does not go through"),
    ("stt", "keeps", "forgets silence", "it is all kept"),
    ("stt", "leaves a task", "lets go of everything", "task 'left behind'"),
    ("llm", "goes on", "stops when it is interrupted", r"words still come .* after an interruption"),
    ("llm", "gives up", "tells of a server that is not there", "ends the whole conversation"),
    ("llm", "all at once", "streams its answer", "comes in one LLMTextFrame"),
    ("tts", "wrong rate", "speaks at the character's rate", "16000 Hz, asked for 24000"),
    ("tts", "silent", "speaks at the character's rate", "its speech is silence"),
    ("tts", "mumbles", "tells what it says", "nobody knows what was said"),
    ("tts", "stays away", "comes back after it was relieved", "no TTSAudioRawFrame"),
    ("video", "loses samples", "keeps every sample", "samples of turn 1 are lost"),
    ("video", "short of sound", "goes on when nobody speaks", "1 frames come with 999 samples"),
    ("video", "speaks on", "falls silent at an interruption", "still holds sound"),
    ("video", "draws ahead", "waits to be asked", "frames were drawn"),
    ("video", "knows no emotion", "shows every state", "KeyError"),
    ("video", "ends", "goes on when nobody speaks", "come to an end"),
    ("video", "closes once", "closes at any time", "closed already"),
    ("transport", "other rate", "carries sound and pictures", "48000 Hz"),
    ("tool", "wrong schema", "lists its tools", "schema of its parameters is not right"),
    ("tool", "wrong example", "lists its tools", "does not fit its own schema"),
    ("tool", "fails", "does what it is asked", "wait did not work"),
    ("tool", "goes on", "stops when it is cancelled", "goes on 3 s after it was cancelled"),
    ("embedding", "other dimensions", "keeps its form", "number of dimensions changes: 8, 9"),
    ("embedding", "any length", "keeps its form", "have lengths from"),
    ("embedding", "forgets", "gives a text the same vector", "another vector alone"),
    ("knowledge", "doubles", "keeps a document once", "added twice are there as"),
    ("knowledge", "forgets", "keeps what it has", "passages are gone"),
    ("knowledge", "remembers", "forgets a document", "remove leaves passages"),
    ("knowledge", "worst first", "finds the nearest", "the nearest passage is not the first"),
]

NEEDED = {
    "keeps secrets out of logs and errors": ["tells of a wrong key"],
    "streams its answer": ["answers"],
    "tells what it says": ["speaks at the character's rate"],
}
"""Rules that judge what happened while others were tried."""


ALONE = ("blocks", "blocks in create", "leaves a thread", "leaves a task", "keeps", "draws ahead", "leak")
"""Flaws that are found by what happens to the process."""


def installed(role, settings=Sampled):
    plugins = Plugins()
    plugins.register(plugin(role, settings), "sample")
    return plugins


def tried(role, flaw="", settings=Sampled):
    return check(role, "sample", {"flaw": flaw, "api_key": KEY}, installed(role, settings))


def judged(role, flaw, rule):
    """The report on one rule, and those that it rests on."""
    only = (*NEEDED.get(rule, ()), rule)
    return check_async(role, "sample", {"flaw": flaw, "api_key": KEY}, installed(role), only=only)


@pytest.mark.parametrize("role", ROLES)
def test_a_plugin_that_does_all_that_is_asked_passes(role):
    report = tried(role)
    report.raise_if_failed()
    outcomes = {result.name: result.outcome for result in report.results}
    for rule in ("tells of a server that is not there", "tells of a wrong key", "keeps secrets out of logs and errors"):
        assert outcomes[rule] == "passed", report


@pytest.fixture(scope="module")
def together():
    """The reports on those flaws that disturb no others, tried at the same time: they mostly wait."""

    async def all_of_them():
        reports = await asyncio.gather(*(judged(*flaw[:3]) for flaw in FLAWS if flaw[1] not in ALONE))
        return dict(zip([flaw[:2] for flaw in FLAWS if flaw[1] not in ALONE], reports, strict=True))

    return asyncio.run(all_of_them())


@pytest.mark.parametrize(("role", "flaw", "rule", "told"), FLAWS, ids=lambda value: str(value).replace(" ", "-")[:24])
def test_a_flaw_is_found_and_named(role, flaw, rule, told, together):
    report = together.get((role, flaw)) or asyncio.run(judged(role, flaw, rule))
    found = {result.name: result.details for result in report.failed}
    assert rule in found, report
    assert re.search(told, found[rule]), found[rule]
    assert KEY not in str(report)


def test_careless_settings_are_found():
    failed = {result.name: result.details for result in tried("vision", settings=Careless).failed}
    assert "extra='forbid'" in failed["refuses unknown settings"]
    assert "api_key" in failed["describes its settings"]
    assert "SecretStr" in failed["hides secrets in its settings"]


def test_the_sample_package_passes_as_the_documents_say(third_party):
    """Installed as a user installs it, with no test framework at hand."""
    example = ROOT / "tests" / "testing" / "example.py"
    hide = "import sys; sys.modules['pytest'] = None; import runpy; runpy.run_path(sys.argv[1])"
    command = [third_party, "-c", hide, str(example)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("video robot: ") and " 0 failed" in done.stdout


def test_a_report_is_a_table_an_error_and_json():
    report = tried("vision", "mute")
    with pytest.raises(AssertionError, match=r"failed +tells what is there"):
        report.raise_if_failed()
    assert re.match(r"vision sample: \d+ passed, 3 failed, \d+ skipped\n", str(report))
    assert report.as_dict()["ok"] is False


def test_what_cannot_be_tried_is_said():
    plugins = installed("vision")
    with pytest.raises(PluginError, match="there is no role 'visoin'"):
        check("visoin", "sample", plugins=plugins)
    with pytest.raises(PluginError, match="no vision plugin is called 'smaple'"):
        check("vision", "smaple", plugins=plugins)
    with pytest.raises(PluginError, match="flow: Extra inputs"):
        check("vision", "sample", {"flow": 1}, plugins)
    with pytest.raises(PluginError, match="no rule for vision is called 'tells'"):
        check("vision", "sample", plugins=plugins, only=["tells"])


def test_the_command_line(picture):
    settings = "{name: deal, description: Deal a card.}"
    done = animacy("conform", "tool", "client_event", "--settings", settings)
    assert done.returncode == 0 and "passed   lists its tools" in done.stdout, done.stderr
    recipe = picture.parent / "recipe.yaml"
    recipe.write_text(
        "character: {name: Ada, image: picture.png, persona: You are Ada.}\n"
        f"tools: [{{plugin: client_event, {settings[1:-1]}}}]\n"
    )
    done = animacy("conform", "tool", "client_event", "--recipe", recipe, "--json")
    assert done.returncode == 0 and '"details": "deal"' in done.stdout, done.stderr
    wrong = animacy("conform", "tool", "client_event", "--settings", "[")
    assert wrong.returncode == 2 and "--settings is no YAML" in wrong.stderr


def test_every_rule_is_documented():
    text = (ROOT / "docs" / "conformance.md").read_text()
    for suite in (BEFORE, AFTER, *(suite_of(role).rules for role in ROLES)):
        for rule in suite:
            assert f"| {rule.name} |" in text
