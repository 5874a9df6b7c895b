"""What is asked: conditions, very long names, arguments of other types."""

import inspect
import json
import math
import pickle
import time
from dataclasses import replace

import numpy as np
import pytest
from PIL import ExifTags, Image

from olrsearch import Store
from olrsearch.api.words_as_labels import meant
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
        ("identity = 'nobody'", "no image has the identity 'nobody': "),
        ("key = 'nothing.png'", "no image 'nothing.png' in"),
    ],
)
def test_an_empty_answer_says_which_value_no_image_has(store, where, said):
    assert store.select(where).size == 0
    for ranking in (
        store.search("bright", where=where),
        store.similar(1, where=where),
        store.images(where),
    ):
        assert not len(ranking)
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


# -- arguments from Python ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (lambda store: store.search("bright", 2.5), "k is a whole number, found 2.5"),
        (lambda store: store.search("bright", k="3"), "k is a whole number, found '3'"),
        (lambda store: store.search("bright", k=True), "k is a whole number, found True"),
        (lambda store: store.search("bright", k=None), "k is a whole number, found None"),
        (lambda store: store.search("bright", k=0), "k ≥ 1 entries"),
        (lambda store: store.search("bright", k=-(10**5_000)), "k ≥ 1 entries"),
        (lambda store: store.similar(1, offset=1.0), "offset is a whole number, found 1.0"),
        (lambda store: store.search(["bright"]), r"query is one text, found \['bright'\]"),
        (lambda store: store.search("bright", where=["id = 1"]), "where is one text"),
        (lambda store: store.search("bright", space=3), "space is one text, found 3"),
        (lambda store: store.search("bright", evidence=["labels"]), "evidence is one text"),
        (lambda store: store.search("bright", min_probability="0.5"), "min_probability is a number"),
        (lambda store: store.similar(1, max_distance=[1]), "max_distance is a number"),
        (lambda store: store.similar(1, include_self="no"), "include_self is True or False"),
        (lambda store: store.similar(1, by=5), "by is a text or a list of texts, found 5"),
        (lambda store: store.similar(1, by=[5]), "each of by is one text, found 5"),
        (lambda store: store.similar(1, by={"bright": "2"}), "the weight of 'bright' is a number"),
        (lambda store: store.similar(with_=["bright"]), "with_ is a dict"),
        (lambda store: store.similar(with_={"bright": ["a", "b"]}), "a vector of numbers"),
        (lambda store: store.similar(prototypes=3), "prototypes is a text or a list of texts"),
        (lambda store: store.similar(True), "an image is given by .*; found True"),
        (lambda store: store.similar(2.5), "an image is given by .*; found 2.5"),
        (lambda store: store.similar(b"\xff\xd8"), "an image is given by"),
        (lambda store: store.describe(None), "an image is given by .*; found None"),
        (lambda store: store.describe([1, None]), "an image is given by .*; found None"),
        (lambda store: store.describe(np.zeros((8, 8, 3))), r"found float64 \[8, 8, 3\]"),
        (lambda store: store.similar(np.zeros((8, 8), np.uint8)), r"found uint8 \[8, 8\]"),
        (lambda store: store.similar(np.zeros((0, 8, 3), np.uint8)), r"found uint8 \[0, 8, 3\]"),
        (lambda store: store.describe(np.zeros(3)), r"found float64 \[3\]"),
        (lambda store: store.picture(1, edge="big"), "edge is a whole number"),
        (lambda store: store.sheet("bright", "x.html"), "ranking is"),
        (lambda store: store.sheet(store.search("bright"), 3), "path is a path, found 3"),
        (lambda store: store.select(["id = 1"]), "where is one text"),
        (lambda store: store.images(k=2.5), "k is a whole number, found 2.5"),
        (
            lambda store: store.labels.decide([("a.png", "red", 5)], who="x"),
            "each of decisions is a Decision",
        ),
        (lambda store: store.labels.set([1], "red", [1], who="x"), "value is a whole number"),
        (lambda store: store.labels.set({"a": 1}, "red", 1, who="x"), "images is a list of ids and keys"),
        (lambda store: store.delete([2.5]), "each of images is an id or a key, found 2.5"),
        (lambda store: store.audit.list(k="3"), "k is a whole number"),
        (lambda store: store.audit.card(3, "x.html"), "entry is what audit.show returned, found 3"),
        (lambda store: store.encoders.train(labels=[3]), "each of labels is one text"),
        (lambda store: store.looks.norms(where=3), "where is one text, found 3"),
        (lambda store: store.bench.audit(noises=[], seeds=3), "seeds is a list of whole numbers"),
        (lambda store: store.indexes.build(3), "recipe is one text"),
        (lambda store: type(store).open(3), "path is a path, found 3"),
    ],
)
def test_arguments_of_other_types_are_refused_in_a_sentence(store, ask, said):
    with pytest.raises(QueryError, match=said):
        ask(store)


def test_every_public_verb_checks_its_arguments(store):
    parts = (store, store.labels, store.audit, store.encoders, store.indexes, store.looks, store.bench)
    for kind in map(type, parts):
        for name, found in vars(kind).items():
            verb = getattr(found, "__func__", found)
            if not name.startswith("_") and inspect.isfunction(verb):
                assert hasattr(verb, "__wrapped__"), f"{kind.__name__}.{name}"


def test_one_key_is_one_image_and_not_its_letters(gallery, tmp_path):
    with Store.open(gallery.copy(tmp_path / "store")) as store:
        with pytest.raises(UnknownImageError, match="no image '12nothing'"):
            store.delete("12nothing")
        assert store.delete("12") == 1
        assert 1 in store.select("id = 1")


def test_numbers_of_numpy_are_numbers(store):
    plain = store.search("bright", 3, offset=1, min_probability=0.25)
    numpy = store.search("bright", np.int64(3), offset=np.uint8(1), min_probability=np.float32(0.25))
    assert numpy == plain
    json.dumps(numpy.to_dicts())
    by = {"bright": np.float32(2), "red": np.int16(1)}
    assert store.similar(np.int32(1), by=by).query == store.similar(1, by={"bright": 2.0, "red": 1}).query


def test_images_of_pillow_and_their_pixels_are_images(store, gallery, tmp_path):
    path = tmp_path / "elsewhere.png"
    source = min(gallery.data.rglob("*.png"))
    image = Image.open(source).convert("RGB")
    image.save(path)
    by_file, *others = (store.describe(asked)[0] for asked in (path, str(path), image, np.asarray(image)))
    assert by_file.image == str(path)
    assert [other.estimates for other in others] == [by_file.estimates] * 3
    assert others[-1].image == f"an image of {image.width} × {image.height} pixels"
    assert others[-1].image_id is None
    for asked in (image, np.asarray(image)):
        found = store.similar(asked, by="bright")
        assert found.query == f"like {others[-1].image} in Bright"
        assert [(hit.image_id, hit.distance) for hit in found] == [
            (hit.image_id, hit.distance) for hit in store.similar(path, by="bright")
        ]
        mixed = store.similar(1, with_={"red": asked})
        assert [hit.image_id for hit in mixed] == [
            hit.image_id for hit in store.similar(1, with_={"red": path})
        ]
        assert store.picture(asked, 8)
    assert store.sheet(store.similar(image), tmp_path / "like.html", asked=[image]).exists()


def test_several_images_may_be_an_array_of_ids_or_of_pixels(store):
    ids = np.array([3, 1])
    assert [one.image_id for one in store.describe(ids)] == [3, 1]
    both = store.describe(np.stack([np.zeros((8, 6, 3), np.uint8), np.full((8, 6, 3), 255, np.uint8)]))
    assert [one.image for one in both] == ["an image of 6 × 8 pixels"] * 2
    assert both[0].estimates != both[1].estimates


def test_pillows_images_are_read_as_their_files_are(store, tmp_path):
    clear = Image.new("RGBA", (8, 8), (0, 0, 0, 0))
    clear.save(tmp_path / "clear.png")
    turned = Image.new("RGB", (8, 4), "red")
    turned.getexif()[ExifTags.Base.Orientation] = 6
    (clear_pixels,) = store.describe(clear)
    assert clear_pixels.estimates == store.describe(tmp_path / "clear.png")[0].estimates
    assert store.describe(turned)[0].image == "an image of 4 × 8 pixels"
    for mode in (
        "1",
        "L",
        "LA",
        "P",
        "PA",
        "La",
        "RGBa",
        "I",
        "I;16",
        "I;16B",
        "I;16L",
        "I;16N",
        "F",
        "CMYK",
    ):
        (found,) = store.describe(Image.new(mode, (8, 8)))
        assert found.estimates
    grey = Image.fromarray(np.full((8, 8), 40_000, np.int32))
    assert grey.mode == "I"
    grey.save(tmp_path / "grey.tif")
    assert store.describe(grey)[0].estimates == store.describe(tmp_path / "grey.tif")[0].estimates
    cut = Image.open(tmp_path / "clear.png")
    cut.fp.close()
    with pytest.raises(QueryError, match="the image given cannot be read"):
        store.describe(cut)


# -- what comes back ---------------------------------------------------------------------


def answers(store):
    return [
        store.search("bright & !red", 5),
        store.similar(1, k=5),
        store.images(k=5),
        *store.describe([1]),
    ]


def test_answers_are_sequences_tables_and_pages_of_notebooks(store):
    pytest.importorskip("pandas")
    for answer in answers(store):
        assert len(answer[:2]) == 2
        assert type(answer[:2]) is type(answer)
        assert answer[:2][0] == answer[0] == next(iter(answer))
        assert len(answer.to_pandas()) == len(answer)
        page = answer._repr_html_()
        assert page.count("<tr>") == len(answer) + 1
        assert page.count("data:image/jpeg") == (0 if hasattr(answer, "estimates") else len(answer))
        assert pickle.loads(pickle.dumps(answer)) == answer
    for answer in answers(store)[:3]:
        columns = list(answer[:0].to_pandas().columns)
        assert columns == list(answer.to_pandas().columns)[: len(columns)]
        assert len(columns) >= 7
    assert list(store.search("bright & !red").to_pandas().columns[-3:]) == ["similarity", "Bright", "!Red"]


def test_pictures_are_gone_with_the_store_and_in_copies(gallery):
    with Store.open(gallery.store, read_only=True) as opened:
        ranking = opened.similar(1, k=3)
    copy = pickle.loads(pickle.dumps(ranking))
    assert "data:image" not in copy._repr_html_()
    assert copy == ranking
    assert ranking._repr_html_()


def test_stores_and_rankings_show_themselves_on_one_line(store):
    ranking = store.search("bright & !red", 5)
    assert repr(store) == f"<Store {store.path}: 120 images, generation {ranking.generation}>"
    first = ", ".join(f"{hit.key} {hit.score:.4g}" for hit in ranking[:3])
    assert repr(ranking) == f"<Ranking Bright & !Red: 5 of 120 images: {first}, …>"
    assert repr(ranking[:0]) == "<Ranking Bright & !Red: 0 of 120 images>"


def test_notebooks_say_foreign_and_nothing_twice(store):
    ranking = store.search("bright", 2)
    hits = [replace(ranking[0], fit=6.159e-07, uri=ranking[0].key), replace(ranking[1], uri=ranking[1].key)]
    page = replace(ranking, hits=tuple(hits))._repr_html_()
    assert "<td>foreign (6.16e-07)</td>" in page
    assert "<th>uri</th>" not in page
    away = replace(ranking, hits=(replace(hits[0], uri="elsewhere/a.png"), hits[1]))._repr_html_()
    assert "<th>uri</th>" in away


def test_similarity_is_the_share_of_images_that_lie_farther(store):
    ranking = store.similar(1, k=200)
    shares = [hit.similarity for hit in ranking]
    assert len(shares) == ranking.candidates == 119
    assert (shares[0], shares[-1]) == (1.0, 0.0)
    assert shares == sorted(shares, reverse=True)
    assert [hit.similarity_percent for hit in ranking][:2] == ["100.0 %", "99.2 %"]
    assert {hit.similarity for hit in store.search("bright")} == {None}
    assert [hit.similarity for hit in store.similar(1, k=3, offset=5)] == shares[5:8]


def test_no_number_of_an_answer_is_minus_zero(store):
    for ranking in (store.similar(1, include_self=True), store.search("bright", 200)):
        for hit in ranking:
            numbers = [hit.score, hit.distance, *(part.value for part in hit.contributions)]
            assert not any(number == 0 and math.copysign(1, number) < 0 for number in numbers)


# -- evidence by stored labels -----------------------------------------------------------


@pytest.fixture
def more(gallery, tmp_path):
    """A store with a label that its encoder does not know, stored of a few images, and one of none."""
    with Store.open(gallery.copy(tmp_path / "store")) as opened:
        with opened.session.backend.writer() as writer:
            writer.gallery.add_labels(["Wears hat", "Empty", "bright"])
        opened.labels.set([1, 2, 3], "wears hat", "present", who="me")
        opened.labels.set([4, 5], "wears hat", "absent", who="me")
        yield opened


@pytest.mark.parametrize("evidence", ["labels", "both"])
def test_stored_labels_that_no_encoder_knows_answer(more, evidence):
    ranking = more.search("wears hat", 120, evidence=evidence)
    assert ranking.query == "Wears hat"
    assert [hit.image_id for hit in ranking[:3]] == [1, 2, 3]
    assert {hit.image_id for hit in ranking[-2:]} == {4, 5}
    chances = [round(hit.contributions[0].probability, 6) for hit in ranking]
    assert (chances[0], chances[-1]) == (0.98, 0.02)
    assert set(chances[3:-2]) == {round(4 / 7, 6)}
    assert any("does not know Wears hat: stored labels alone" in note for note in ranking.notes)


def test_they_stand_beside_labels_that_the_encoder_knows(more):
    mixed = more.search("Bright & !wears hat", 120, evidence="both")
    plain = {hit.image_id: hit.score for hit in more.search("Bright", 120, evidence="both")}
    (first,) = (hit for hit in mixed if hit.image_id == 1)
    assert first.score == pytest.approx(plain[1] + math.log(0.02))
    assert [part.literal for part in first.contributions] == ["Bright", "!Wears hat"]
    assert more.search("BRIGHT", 5, evidence="labels").query == "Bright"


def test_labels_of_which_nothing_is_stored_say_so(more):
    for evidence in ("labels", "both"):
        ranking = more.search("empty", evidence=evidence)
        assert any("no image has a stored value of Empty" in note for note in ranking.notes)
    assert not any("stored" in note for note in more.search("bright", evidence="both").notes)


def test_without_that_evidence_the_error_says_how_to_ask(more):
    with pytest.raises(UnknownLabelError, match=r"unknown label 'wears hat'.*add --evidence labels"):
        more.search("wears hat")
    with pytest.raises(UnknownLabelError, match=r"^(?!.*evidence)"):
        more.search("wears nothing")


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("gloomy", r"unknown label 'gloomy'; as a word it means !Bright: olrsearch search '!Bright'$"),
        ("a plain one", r"it means Red & !Striped: olrsearch search 'Red & !Striped'$"),
        ("framed & gloomy", r"it means !Bright: write \(!Bright\) in its place$"),
        ("framed & rosy", r"it means Red: write Red in its place$"),
    ],
)
def test_a_word_that_is_no_label_is_translated(gallery, tmp_path, query, said):
    folder = gallery.copy(tmp_path / "store")
    (folder / "meanings.toml").write_text(
        '[asks]\n"!Bright" = ["gloomy"]\n"Red" = ["rosy"]\n"Red & !Striped" = ["plain one"]\n'
    )
    with Store.open(folder, read_only=True) as opened, pytest.raises(UnknownLabelError, match=said):
        opened.search(query)


def test_a_translation_is_spelt_as_queries_are(gallery, tmp_path):
    folder = gallery.copy(tmp_path / "store")
    (folder / "meanings.toml").write_text('[asks]\n"!black and white" = ["colourful"]\n')
    with Store.open(folder, read_only=True) as opened:
        said = meant(opened.session, "colourful", ("Black and White",), alone=True)
    assert said == """as a word it means !"Black and White": olrsearch search '!"Black and White"'"""


def test_a_damaged_table_of_meanings_hides_no_unknown_label(gallery, tmp_path):
    folder = gallery.copy(tmp_path / "store")
    (folder / "meanings.toml").write_text("no table")
    with (
        Store.open(folder, read_only=True) as opened,
        pytest.raises(UnknownLabelError, match="did you mean Bright"),
    ):
        opened.search("brihgt")
