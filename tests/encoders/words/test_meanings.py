"""Tables of meanings: the one that comes with the package, and a user's own."""

import pytest

from olrsearch.core.errors import WordVectorsError
from olrsearch.encoders.words.meanings import Asked, read_meanings
from olrsearch.encoders.words.negation import denial

FACES = ("Male", "Smiling", "No_Beard", "Goatee", "Bushy_Eyebrows", "Eyeglasses")


def written(folder, text):
    path = folder / "meanings.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_shipped_table_says_what_opposites_ask_for():
    shipped = read_meanings().of_labels(FACES)
    assert shipped.find("woman") == (Asked("Male", negated=True),)
    assert shipped.find("A  Woman") == shipped.find("woman")
    assert shipped.find("sad") == (Asked("Smiling", negated=True),)
    assert shipped.find("carburetor") is None
    assert shipped.find("freckles") == ()
    assert shipped.find("blonde") is None  # of a label that these do not have


def test_labels_of_an_encoder_keep_their_own_spelling():
    assert read_meanings().of_labels(["MALE"]).find("lady") == (Asked("MALE", negated=True),)
    # Of two labels that avatars and faces have for it, the one that there is.
    assert read_meanings().of_labels(["Beard"]).find("bearded") == (Asked("Beard", negated=False),)
    assert read_meanings().of_labels(["No_Beard"]).find("bearded") == (Asked("No_Beard", negated=True),)


def test_the_opposite_of_a_phrase_of_the_table():
    table = read_meanings().of_labels(FACES)
    assert table.opposite("dense brows") is None
    assert table.opposite("sparse brows") == (Asked("Bushy_Eyebrows", negated=True),)
    assert read_meanings().of_labels(["5_o_Clock_Shadow"]).opposite("shaven") == (
        Asked("5_o_Clock_Shadow", negated=True),
    )


def test_a_table_of_the_users_goes_first(tmp_path):
    path = written(
        tmp_path,
        '[asks]\n"!Male & Smiling" = ["auntie"]\nEyeglasses = ["woman"]\n'
        '[none]\nmine = ["happy"]\n[opposites]\nloud = ["quiet"]\n',
    )
    table = read_meanings(path).of_labels(FACES)
    assert table.find("auntie") == (Asked("Male", negated=True), Asked("Smiling", negated=False))
    assert table.find("woman") == (Asked("Eyeglasses", negated=False),)
    assert table.find("happy") == ()
    assert table.find("lady") == (Asked("Male", negated=True),)
    assert table.turned("a loud tie") == ("quiet tie",)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[asks]\nMale = ["man"]\n"Male &" = ["x"]\n', "line 3: 'Male &', expected a label"),
        ('[asks]\n"Male & !male" = ["x"]\n', "line 2: 'Male & !male', expected a label"),
        ('[asks]\n"!!Male" = ["x"]\n', "line 2: '!!Male', expected a label"),
        ('[asks]\nMale = "man"\n', "line 2: 'Male' has 'man', expected a list of words"),
        ('[asks]\nMale = ["man", 3]\n', "line 2: 'Male' has .* expected a list of words"),
        ('[asks]\nMale = [" "]\n', "line 2: 'Male' has .* expected a list of words"),
        ('[asks]\nMale = ["he"]\n"!Male" = ["He"]\n', "line 3: 'He' asks for Male and for !Male"),
        ("asks = 3\n", "line 1: asks is no section"),
        ('[words]\nMale = ["man"]\n', r"line 1: 'words', expected the sections \[asks\]"),
        ("[asks\n", "is no TOML .*line 1"),
        ('[asks]\nMale = ["man"]\nMale = ["guy"]\n', "is no TOML .*line 3"),
    ],
)
def test_bad_lines_are_named(tmp_path, text, said):
    with pytest.raises(WordVectorsError, match=said):
        read_meanings(written(tmp_path, text))


def test_a_table_that_cannot_be_read(tmp_path):
    with pytest.raises(WordVectorsError, match=r"cannot be read .*check the path"):
        read_meanings(tmp_path / "none.toml")
    (tmp_path / "latin.toml").write_bytes(b'[asks]\nMale = ["ma\xeftre"]\n')
    with pytest.raises(WordVectorsError, match="is no TOML"):
        read_meanings(tmp_path / "latin.toml")


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ("without glasses", "glasses"),
        ("without a hat", "hat"),
        ("no makeup", "makeup"),
        ("No Longer Young", "young"),
        ("not wearing any earrings", "earrings"),
        ("isn’t smiling", "smiling"),
        ("does not wear a hat", "hat"),
        ("glasses-free", "glasses"),
        ("non-smiling", "smiling"),
        ("hatless", "hat"),
        ("unsmiling", "smiling"),
        ("not without glasses", "without glasses"),
    ],
)
def test_denials(text, rest):
    assert denial(text).rest == rest


@pytest.mark.parametrize(
    "text", ["glasses", "a hat", "noble", "notable face", "nothing", "withoutglasses", ""]
)
def test_what_denies_nothing(text):
    assert denial(text) is None
