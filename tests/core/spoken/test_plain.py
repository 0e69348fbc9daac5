"""What is only for the eye is not read aloud, in any language."""

import pytest

from animacy.core.spoken.plain import without_markup, without_pictures


@pytest.mark.parametrize(
    ("written", "spoken"),
    [
        ("## Grüße\n- **fett** und `Code`\n- [ein Link](http://x.y)", "Grüße\nfett und Code\nein Link"),
        ("snake_case * 2 und 5*3", "snake_case  2 und 5*3"),
        ("Schön 😀👍🏽!", "Schön    !"),
        ("👩‍👧 20 °C, $5 + 3", "    20 °C, $5 + 3"),
        ("日本語。한국어", "日本語。한국어"),
        ("हिन्दी", "हिन्दी"),
    ],
)
def test_the_words_stay(written, spoken):
    assert without_pictures(without_markup(written)) == spoken
