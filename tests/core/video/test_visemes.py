import itertools

from hypothesis import given
from hypothesis import strategies as st

from animacy.core.video.contract import VISEME_SHAPES
from animacy.core.video.visemes import shapes_of, visemes_of

ENGLISH = "AIOWYQbdfhijklmnpstuvwzæðŋɑɔəɛɜɡɪɹɾʃʊʌʒʤʧθᵊᵻ"


def test_every_english_phoneme_has_a_shape():
    assert [p for p in ENGLISH if not shapes_of(p)] == []


IPA = "pbmɓʙɸβfvɱʋθðtdɾʔʈɖkɡŋxhɦqɢχɣħʕʃʒɕʑʂʐszçɬɮʝnlɲɳʎɟcɹrʁɻɽʀaɑæɐʌɒeɛəɜɘɤøœiɪjɨoɔuʊwyʏɯʉɥ"


def test_every_sound_of_the_alphabet_has_one_shape():
    assert [symbol for symbol in IPA if len(shapes_of(symbol)) != 1] == []


def test_an_affricate_is_one_sound_and_a_diphthong_two():
    assert shapes_of("dʒ") == shapes_of("t͡ʃ") == ("CH",) and shapes_of("ts") == ("SS",)
    assert shapes_of("oʊ") == ("O", "U") and shapes_of("aɪ") == ("aa", "I") and shapes_of("tʰ") == ("DD",)


def test_labials_close_and_marks_are_silent():
    assert {shapes_of(p) for p in "pbm"} == {("PP",)}
    assert shapes_of("ˈ") == () and shapes_of("ː") == ()
    assert shapes_of("ˈaɪ") == ("aa", "I")


def test_diphthongs_split_and_neighbours_join():
    found = visemes_of([("m", 0.0, 0.1), ("b", 0.1, 0.2), ("A", 0.2, 0.4)])
    assert [v.shape for v in found] == ["PP", "E", "I"]
    assert (found[0].start, found[0].end) == (0.0, 0.2)
    assert found[1].end == found[2].start == 0.2 + 0.6 * 0.2


@given(st.lists(st.tuples(st.text(ENGLISH + "ˈˌː .,", max_size=3), st.floats(0, 0.4)), max_size=30))
def test_shapes_are_ordered_and_within_the_time_given(parts):
    time, phonemes = 0.0, []
    for symbols, length in parts:
        phonemes.append((symbols, time, time + length))
        time += length
    found = visemes_of(phonemes)
    assert all(v.shape in VISEME_SHAPES and v.start <= v.end for v in found)
    assert all(a.end <= b.start + 1e-6 for a, b in itertools.pairwise(found))
    assert all(v.start >= 0 and v.end <= time + 1e-6 for v in found)
