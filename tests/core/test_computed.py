"""Results kept on disk: found again, never believed when damaged, never more than so many."""

import os

import pytest

from animacy.core.computed import Computed, file_identity


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ANIMACY_CACHE", str(tmp_path))
    return tmp_path / "results"


@pytest.fixture
def results():
    return Computed("results", limit=3)


def test_what_was_added_is_found_by_its_key_only(results):
    results.add(b"content", "text", 1.5)
    assert results.find("text", 1.5).read_bytes() == b"content"
    assert results.find("text", 1.6) is None and results.find("other") is None


@pytest.mark.parametrize("content", [b"", b"conten", b"contenu"])
def test_a_damaged_file_is_thrown_away(results, content):
    results.add(b"content", "text")
    path = results.find("text")
    path.write_bytes(content)
    assert results.find("text") is None and not path.exists()


def test_those_used_last_are_kept(results, cache):
    for i in range(3):
        results.add(b"%d" % i, i)
        os.utime(results.find(i), (i, i))
    results.find(0)  # used just now
    results.add(b"new", "new")
    assert [results.find(i) is not None for i in range(3)] == [True, False, True] and len(list(cache.iterdir())) == 3


def test_a_disk_that_refuses_is_no_failure(results, cache):
    cache.write_bytes(b"a file where the folder should be")
    results.add(b"content", "text")
    assert results.find("text") is None


def test_a_file_that_was_written_anew_is_another(tmp_path):
    file = tmp_path / "model"
    file.write_bytes(b"one")
    before = file_identity(file)
    assert file_identity(file) == before
    file.write_bytes(b"other")
    assert file_identity(file) != before
