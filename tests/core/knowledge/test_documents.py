"""From files to passages that can be read alone."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from animacy.core.errors import KnowledgeError
from animacy.core.knowledge.documents import LARGEST, find_documents, read_document
from animacy.core.knowledge.markdown import LONGEST, length, markdown_pieces, text_pieces
from tests.conftest import RECIPES

MUSEUM = """---
title: The museum
tags: [art, science]
---
# Opening

Always open.
<!-- not for
visitors -->

Tickets
-------
| who | price |
|---|---|
| adults | 14 |
| children | 5 |

## Hidden

```python
# no heading
pay(1)
```
"""


def read(tmp_path, content, name="a.md"):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_document(name, path)


def test_a_passage_knows_its_headings_and_the_front_matter(tmp_path):
    document = read(tmp_path, MUSEUM)
    found = {passage.headings: passage.text for passage in document.passages}
    assert found[("The museum", "Opening")] == "Always open."
    assert found[("The museum", "Opening", "Tickets")].startswith("| who | price |\n|---|---|\n| adults | 14 |")
    assert "# no heading\npay(1)" in found[("The museum", "Opening", "Hidden")]
    assert document.metadata == {"title": "The museum", "tags": "art, science"}
    assert document.passages[0].metadata["tags"] == "art, science"


def test_each_part_of_a_long_table_has_its_header():
    rows = "\n".join(f"| exhibit number {number} | in the room {number} |" for number in range(60))
    pieces = list(markdown_pieces(f"# List\nSee below.\n\n| what | where |\n| --- | :-: |\n{rows}\n\nThat was it."))
    assert len(pieces) > 5
    tables = [piece.text for piece in pieces if "exhibit" in piece.text]
    assert all("| what | where |\n| --- | :-: |" in text for text in tables)
    assert sum(text.count("exhibit number") for text in tables) == 60


def test_code_stays_whole_and_paragraphs_stay_together():
    code = "```\n" + "\n".join(f"step {number} of many" for number in range(100)) + "\n```"
    paragraph = "This is a sentence of seven words. " * 10
    pieces = list(markdown_pieces(f"{paragraph}\n\n{code}\n\n{paragraph}"))
    assert [piece.text for piece in pieces] == [paragraph.strip(), code, paragraph.strip()]


def test_ids_are_stable_and_tell_what_changed(tmp_path):
    text = "# One\nFirst.\n\n# Two\nSecond.\n\n# Two\nSecond.\n"
    first, again = read(tmp_path, text), read(tmp_path, text)
    assert [passage.id for passage in first.passages] == [passage.id for passage in again.passages]
    assert len({passage.id for passage in first.passages}) == 3
    changed = read(tmp_path, text.replace("First", "Zeroth"))
    assert changed.digest != first.digest
    assert len({p.id for p in first.passages} & {p.id for p in changed.passages}) == 2


@given(st.lists(st.text(alphabet="ab.#|-`~>*\n \t?日本あไ1", max_size=200), max_size=8))
def test_nothing_crashes_or_grows_beyond_a_passage(parts):
    text = "\n\n".join(parts)
    for piece in text_pieces(text):
        assert piece.text.strip()
        assert length(piece.text) <= LONGEST
    assert all(piece.text.strip() for piece in markdown_pieces(text))


def test_no_word_of_the_bundled_documents_is_lost():
    for source, path in find_documents([RECIPES / "iris" / "documents"], RECIPES / "iris").items():
        document = read_document(source, path)
        words = {word for p in document.passages for word in " ".join((*p.headings, p.text)).split()}
        body = path.read_text().split("---\n")[-1] if path.read_text().startswith("---") else path.read_text()
        assert set(body.replace("#", "").split()) <= words
        assert all(length(p.text.replace("|", " ")) <= LONGEST for p in document.passages)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.md", b"\x89PNG\0\0", "binary"),
        ("a.txt", "Gr\xfc\xdfe\n".encode("latin-1"), "not in UTF-8 .line 1"),
        ("a.md", b"---\na: [\n---\ntext", "front matter of .*line"),
        ("a.md", b"x" * (LARGEST + 1), "5.0 MB"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path, name, content, message):
    with pytest.raises(KnowledgeError, match=message) as error:
        read(tmp_path, content, name)
    assert str(tmp_path / name) in str(error.value)
    assert error.value.remedy


def test_folders_are_walked_and_wrong_paths_named(tmp_path):
    for name in ("b/c.markdown", "a.md", "b/d.TXT", "b/e.pdf", ".git/f.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("text")
    (tmp_path / "b" / "loop").symlink_to(tmp_path, target_is_directory=True)
    assert list(find_documents([tmp_path], tmp_path)) == ["a.md", "b/c.markdown", "b/d.TXT"]
    assert list(find_documents([tmp_path / "a.md"], tmp_path / "b")) == [(tmp_path / "a.md").as_posix()]
    with pytest.raises(KnowledgeError, match="there is no document"):
        find_documents([tmp_path / "missing"], tmp_path)
    with pytest.raises(KnowledgeError, match="no document that can be read"):
        find_documents([tmp_path / "b" / "e.pdf"], tmp_path)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root reads everything")
def test_permissions_are_reported(tmp_path):
    (tmp_path / "a.md").write_text("secret")
    (tmp_path / "a.md").chmod(0)
    with pytest.raises(KnowledgeError, match="cannot read"):
        read_document("a.md", tmp_path / "a.md")


def test_windows_lines_and_marks_are_understood(tmp_path):
    assert read(tmp_path, b"\xef\xbb\xbf# A\r\nb\r\n").passages[0].headings == ("A",)
    assert read(tmp_path, "# Ä\nb".encode("utf-16")).passages[0].headings == ("Ä",)
