"""What is asked: conditions, very long names, arguments of other types."""

import time

import pytest

from olrsearch import Store
from olrsearch.core.errors import (
    IndexBuildError,
    OlrsearchError,
    QueryError,
    QuerySyntaxError,
    UnknownImageError,
    UnknownLabelError,
    UnknownSpaceError,
)

LONG = "bright" * 200_000


@pytest.fixture
def store(gallery):
    with Store.open(gallery.store, read_only=True) as opened:
        yield opened


# -- conditions --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("partition = 'tset'", "no image has the partition 'tset': partition is train, val or test"),
        ("not partition in ('val', 'Test')", "the partition 'Test': partition is train, val or test"),
        ("dataset != 'picture'", "no image has the dataset 'picture': dataset is pictures"),
    ],
)
def test_a_partition_or_data_set_that_is_not_there_is_misspelt(store, where, said):
    for asked in (store.select, lambda where: store.search("bright", where=where)):
        with pytest.raises(QueryError, match=said):
            asked(where)


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("identity = 99999", "no image has the identity 99999: "),
        ("key = 'nothing.png'", "no image 'nothing.png' in"),
    ],
)
def test_an_empty_answer_says_which_value_no_image_has(store, where, said):
    assert store.select(where).size == 0
    for ranking in (store.search("bright", where=where), store.similar(1, where=where)):
        assert not ranking.hits
        assert any(note.startswith(said) for note in ranking.notes)


def test_what_has_other_reasons_to_be_empty_gets_no_such_note(store):
    some = store.search("bright", where="key != 'nothing.png' and id = 1")
    none = store.search("bright", where="width < 0")
    assert not any("no image" in note for note in (*some.notes, *none.notes))


# -- very long and odd text --------------------------------------------------------------


@pytest.mark.parametrize(
    ("ask", "error"),
    [
        (lambda store, text: store.search(text), UnknownLabelError),
        (lambda store, _: store.search(" & ".join(["bright"] * 100_000)), QuerySyntaxError),
        (lambda store, text: store.search("bright", where=f"{text} = present"), QuerySyntaxError),
        (lambda store, text: store.search("bright", where=f"partition = '{text}'"), QueryError),
        (lambda store, text: store.search("bright", space=text), UnknownSpaceError),
        (lambda store, text: store.search("bright", evidence=text), QueryError),
        (lambda store, text: store.similar(text), UnknownImageError),
        (lambda store, _: store.similar("id:" + "9" * 5_000), UnknownImageError),
        (lambda store, _: store.similar("9" * 5_000), UnknownImageError),
        (lambda store, _: store.similar("\udcff.png"), UnknownImageError),
        (lambda store, _: store.similar("a\0.png"), UnknownImageError),
        (lambda store, text: store.similar(1, by=text), UnknownLabelError),
        (lambda store, text: store.similar(1, recipe=text), OlrsearchError),
        (lambda store, text: store.describe(text), UnknownImageError),
        (lambda store, text: store.picture(text), UnknownImageError),
    ],
)
def test_long_and_odd_text_is_refused_at_once_in_a_short_line(store, ask, error):
    began = time.monotonic()
    with pytest.raises(error) as caught:
        ask(store, LONG)
    assert time.monotonic() - began < 3
    assert len(str(caught.value)) < 1_000
    assert "\n" not in str(caught.value)


def test_a_recipe_of_posteriors_is_not_advised_for_label_embeddings(store):
    with pytest.raises(IndexBuildError, match=r"label embeddings are .*hnsw.*, or a file") as caught:
        store.similar(1, recipe="kl-projected")
    assert "--recipe kl-projected" not in str(caught.value)
    with pytest.raises(IndexBuildError, match="run olrsearch index build --recipe hnsw --space tiny"):
        store.similar(1, recipe="hnsw")
