"""The façade: answers against oracles, and what bad questions get."""

import json
import math
import shutil
import sqlite3
from pathlib import Path

import numpy as np
import pytest
from pictures import LABELS, name, write_pictures
from PIL import Image

from olrsearch import Store
from olrsearch.core.errors import (
    EmptyStoreError,
    IndexBuildError,
    OlrsearchError,
    QueryError,
    QuerySyntaxError,
    StoreExistsError,
    StoreNotFoundError,
    StoreReadOnlyError,
    StoreVersionError,
    UnknownDatasetError,
    UnknownImageError,
    UnknownLabelError,
    UnknownSpaceError,
)
from olrsearch.search.index.label import LabelIndex

BRIGHT, RED, STRIPED, FRAMED = range(4)
EVERYTHING = 10_000


@pytest.fixture
def store(gallery):
    with Store.open(gallery.store, read_only=True) as opened:
        yield opened


@pytest.fixture
def own(gallery, tmp_path):
    """A store one may change."""
    with Store.open(gallery.copy(tmp_path / "store")) as opened:
        yield opened


def keys(ranking):
    return [hit.key for hit in ranking]


def everything(store):
    """Ids int64 [N] and embeddings float32 [L, N, k], by a way round the search code."""
    (segment,) = (
        store.session.backend.snapshot().open_segment(info)
        for info in store.session.backend.snapshot().space(None).segments
    )
    return np.array(segment.ids), np.array(segment.embeddings)


def by_hand(store, label, query):
    """Scaled distances of one label to a vector, float64 [N]."""
    _, embeddings = everything(store)
    metric = store.indexes.metric()
    return metric.distances(query, embeddings[label], label).astype(float) / metric.scale[label]


# -- attributes --------------------------------------------------------------------------


def test_attribute_scores_are_sums_of_calibrated_log_probabilities(store):
    ranking = store.search("bright & !red^2 & striped", EVERYTHING)
    assert ranking.candidates == ranking.total == len(ranking) == 120
    assert ranking.query == "Bright & !Red^2 & Striped"
    for hit in ranking.hits[:10]:
        chance = {estimate.label: estimate.probability for estimate in store.describe(hit.image_id)[0]}
        wanted = math.log(chance["Bright"]) + 2 * math.log(1 - chance["Red"]) + math.log(chance["Striped"])
        assert hit.score == pytest.approx(wanted, abs=1e-5)
        assert [part.literal for part in hit.contributions] == ["Bright", "!Red^2", "Striped"]
        assert [part.probability for part in hit.contributions] == pytest.approx(
            [chance["Bright"], 1 - chance["Red"], chance["Striped"]], abs=1e-6
        )
    scores = [hit.score for hit in ranking]
    assert scores == sorted(scores, reverse=True)
    assert [hit.rank for hit in ranking] == list(range(1, 121))


def test_contributions_of_a_conjunction_add_up(store):
    for hit in store.search("bright & (red | striped) & !framed^0.5", 20):
        assert sum(part.value for part in hit.contributions) == pytest.approx(hit.score, abs=1e-12)
        assert hit.distance == -hit.score


def test_the_tiny_encoder_finds_what_pictures_show(store):
    found = store.search("bright & !red", 10)
    ids = [hit.image_id for hit in found]
    stored = store.session.backend.snapshot().labels(ids, ("Bright", "Red"))
    assert (stored == (1, -1)).all(axis=1).mean() >= 0.8


def test_pages_join_without_gaps_or_overlaps(store):
    whole = store.search("bright | framed", EVERYTHING)
    pages = [store.search("bright | framed", 7, offset=offset) for offset in range(0, 126, 7)]
    joined = [hit for page in pages for hit in page]
    assert joined == list(whole.hits)
    assert not store.search("bright", 5, offset=500).hits


def test_similarity_pages_join_too(store):
    whole = store.similar(name(0), k=EVERYTHING)
    joined = [hit for offset in range(0, 130, 11) for hit in store.similar(name(0), k=11, offset=offset)]
    found, wanted = ([(hit.rank, hit.image_id, hit.distance) for hit in hits] for hits in (joined, whole))
    assert found == wanted


def test_a_cut_off_by_probability(store):
    whole = store.search("bright & red", EVERYTHING)
    cut = store.search("bright & red", EVERYTHING, min_probability=0.5)
    assert 0 < cut.total < cut.candidates == 120
    assert list(cut.hits) == [hit for hit in whole if hit.score >= math.log(0.5)]
    assert store.search("bright", min_probability=0).total == 120
    nothing = store.search("bright & !bright", min_probability=0.9)
    assert not nothing.hits
    assert nothing.total == 0


def test_more_hits_than_images(store):
    ranking = store.search("bright", EVERYTHING)
    assert len(ranking) == 120
    assert any("were asked for, and 120 images are all there are" in note for note in ranking.notes)


@pytest.mark.parametrize("evidence", ["labels", "both"])
def test_stored_labels_as_evidence(store, evidence):
    ranking = store.search("bright & red", 5, evidence=evidence)
    stored = store.session.backend.snapshot().labels([hit.image_id for hit in ranking], ("Bright", "Red"))
    assert (stored > 0).all()


def test_corrected_labels_count_at_once(own):
    before = own.search("striped", 1, evidence="labels").hits[0]
    assert own.labels.set([before.image_id], "striped", "absent", who="me", why="seen") == 1
    assert own.search("striped", 1, evidence="labels").hits[0].image_id != before.image_id
    (described,) = own.describe(before.image_id)
    assert {item.label: item.stored for item in described}["Striped"] == -1
    notes = own.search("striped", 1).notes
    assert any("run olrsearch calibrate" in note for note in notes)
    assert own.info()["spaces"][0]["calibration_stale"]
    own.encoders.calibrate()
    assert not own.search("striped", 1).notes
    with pytest.raises(QueryError, match="present, absent or unknown, found 'perhaps'"):
        own.labels.set([1], "striped", "perhaps", who="me")
    with pytest.raises(UnknownLabelError):
        own.labels.set([1], "stripy", "absent", who="me")


# -- similarity --------------------------------------------------------------------------


def test_exemplars_rank_by_one_label_alone(store):
    ids, embeddings = everything(store)
    query = embeddings[STRIPED, 4]
    distances = by_hand(store, STRIPED, query)
    ranking = store.similar(int(ids[4]), by="striped", k=EVERYTHING, include_self=True)
    order = np.lexsort((ids, distances))
    assert [hit.image_id for hit in ranking] == ids[order].tolist()
    assert [hit.distance for hit in ranking] == pytest.approx(distances[order].tolist(), abs=1e-5)
    assert {part.literal for hit in ranking for part in hit.contributions} == {"Striped"}
    assert ranking.exact


def test_labels_of_a_composition_count_alike(store):
    ids, embeddings = everything(store)
    bright = by_hand(store, BRIGHT, embeddings[BRIGHT, 3])
    framed = by_hand(store, FRAMED, embeddings[FRAMED, 8])
    wanted = bright / bright.std() + framed / framed.std()
    ranking = store.similar(with_={"Bright": name(3), "framed": name(8)}, k=EVERYTHING, include_self=True)
    order = np.lexsort((ids, wanted))
    assert [hit.distance for hit in ranking] == pytest.approx(wanted[order].tolist(), abs=1e-5)
    assert [hit.image_id for hit in ranking.hits[:20]] == ids[order][:20].tolist()
    for hit in ranking.hits[:20]:
        assert [part.literal for part in hit.contributions] == ["Bright", "Framed"]
        assert sum(part.value for part in hit.contributions) == pytest.approx(hit.score, abs=1e-5)


def test_a_face_with_anothers_label(store):
    ids, embeddings = everything(store)
    mixed = embeddings[:, 2].copy()
    mixed[RED] = embeddings[RED, 9]
    wanted = sum(by_hand(store, label, mixed[label]) for label in range(4))
    ranking = store.similar(name(2), with_={"red": name(9)}, k=5)
    order = [number for number in ids[np.lexsort((ids, wanted))] if number not in (ids[2], ids[9])]
    assert [hit.image_id for hit in ranking] == order[:5]


def test_weights_of_labels(store):
    ids, embeddings = everything(store)
    red, framed = by_hand(store, RED, embeddings[RED, 1]), by_hand(store, FRAMED, embeddings[FRAMED, 1])
    wanted = 3 * red / red.std() + framed / framed.std()
    ranking = store.similar(name(1), by={"red": 3.0, "framed": 1.0}, k=5, include_self=True)
    assert [hit.distance for hit in ranking] == pytest.approx(np.sort(wanted)[:5].tolist(), abs=1e-5)
    assert ids[np.argmin(wanted)] == ranking.hits[0].image_id


def test_prototypes_are_means_of_the_images_that_have_a_label(store):
    ids, embeddings = everything(store)
    stored = store.session.backend.snapshot().labels(ids, LABELS)
    mean = embeddings[STRIPED][stored[:, STRIPED] > 0].mean(axis=0)
    ranking = store.similar(prototypes=["striped"], k=3)
    assert store.similar(prototypes="striped", k=3) == ranking
    assert [hit.distance for hit in ranking] == pytest.approx(
        np.sort(by_hand(store, STRIPED, mean))[:3].tolist(), abs=1e-4
    )
    same = store.similar(with_={"striped": mean.astype(np.float32)}, k=3)
    assert keys(same) == keys(ranking)
    with pytest.raises(QueryError, match="one of the two"):
        store.similar(prototypes=["striped"], with_={"striped": name(1)})


def test_the_whole_embedding(store):
    ids, embeddings = everything(store)
    wanted = sum(by_hand(store, label, embeddings[label, 6]) for label in range(4))
    ranking = store.similar(name(6), k=EVERYTHING)
    order = [number for number in ids[np.lexsort((ids, wanted))] if number != ids[6]]
    assert [hit.image_id for hit in ranking] == order
    near = store.similar(name(6), k=EVERYTHING, max_distance=ranking.hits[9].distance)
    assert near.total == 10


def test_the_label_indexes_answer_similarity(store, monkeypatch):
    straight = store.similar(name(5), by=["bright", "red"], k=EVERYTHING)
    asked = []
    original = LabelIndex.distances

    def turned_round(self, query):
        asked.append(self.label)
        return -original(self, query)

    monkeypatch.setattr(LabelIndex, "distances", turned_round)
    turned = store.similar(name(5), by=["bright", "red"], k=EVERYTHING)
    assert asked == [BRIGHT, RED]
    assert [hit.distance for hit in turned] == pytest.approx(
        [-hit.distance for hit in reversed(straight.hits)]
    )
    asked.clear()
    store.similar(with_={"framed": name(5), "striped": name(6)})
    assert asked == [STRIPED, FRAMED]


def test_each_label_has_its_own_index(own, monkeypatch):
    """A changed plane of one label changes answers by that label, and no others."""
    monkeypatch.setenv("OLRSEARCH_CHECKS", "off")
    before = {label: keys(own.similar(name(5), by=label, k=30, include_self=True)) for label in LABELS}
    composed = own.similar(with_={"Striped": name(5), "Red": name(6)}, k=30).hits
    (info,) = own.session.backend.snapshot().space(None).segments
    plane = np.load(info.path / "embeddings.npy", mmap_mode="r+")
    plane[STRIPED] = plane[STRIPED][::-1].copy()
    plane.flush()
    del plane
    own.session._opened.clear()
    after = {label: keys(own.similar(name(5), by=label, k=30, include_self=True)) for label in LABELS}
    assert {label for label in LABELS if before[label] != after[label]} == {"Striped"}
    assert own.similar(with_={"Striped": name(5), "Red": name(6)}, k=30).hits != composed
    assert not own.verify().ok


# -- images from elsewhere ---------------------------------------------------------------


def test_a_file_outside_the_store_is_encoded_as_inside(store, gallery, tmp_path):
    path = tmp_path / "copy of a picture.png"
    shutil.copy(gallery.data / name(7), path)
    np.testing.assert_allclose(store.looks.embedding(path), store.looks.embedding(name(7)), atol=1e-5)
    assert keys(store.similar(path, k=20)) == keys(store.similar(name(7), k=20, include_self=True))
    inside, outside = store.describe([name(7), path])
    assert outside.image_id is None
    assert outside.image == str(path)
    assert [item.label for item in inside] == [item.label for item in outside]
    assert [item.probability for item in outside] == pytest.approx(
        [item.probability for item in inside], abs=1e-5
    )
    assert {item.stored for item in outside} == {None}
    by_file = store.similar(with_={"red": path, "bright": path}, k=3)
    by_key = store.similar(with_={"red": name(7), "bright": name(7)}, k=3, include_self=True)
    assert keys(by_file) == keys(by_key)


def test_pictures_and_their_sizes(store, gallery, tmp_path):
    with Image.open(gallery.data / name(1)) as image:
        image.resize((600, 300)).save(tmp_path / "wide.png")
    assert store.picture(name(1)).startswith(b"\xff\xd8")
    wide = store.picture(tmp_path / "wide.png", edge=120)
    (tmp_path / "wide.jpg").write_bytes(wide)
    with Image.open(tmp_path / "wide.jpg") as image:
        assert image.size == (120, 60)
    with pytest.raises(UnknownImageError):
        store.picture("nothing.png")


def test_thumbnails_stand_in_for_missing_files(tmp_path):
    folder = tmp_path / "pictures"
    write_pictures(folder, 3)
    with Store.create(tmp_path / "store") as store:
        store.import_folder(folder)
        store.import_folder(folder, name="bare", thumbnails=False)
        shutil.rmtree(folder)
        assert store.picture(f"pictures/{name(0)}").startswith(b"\xff\xd8")
        assert store.picture(f"bare/{name(0)}") is None


# -- filters, deletions, moves -----------------------------------------------------------


def test_filters_by_columns_and_stored_labels(store):
    ranking = store.search("bright", EVERYTHING, where="partition = 'test' and Red = present")
    assert 0 < ranking.candidates == len(ranking) < 24
    snapshot = store.session.backend.snapshot()
    ids = [hit.image_id for hit in ranking]
    assert set(snapshot.columns(ids, ["partition"])["partition"]) == {"test"}
    assert (snapshot.labels(ids, ("Red",)) > 0).all()
    assert keys(store.similar(name(0), where="key = '0007.png'")) == [name(7)]
    assert not store.search("bright", where="partition = 'train' and partition = 'test'").hits


@pytest.mark.parametrize(
    "where", ["partition ==", "colour = 'red'", "partition = 'test", "1; DROP TABLE image"]
)
def test_bad_filters_name_the_place(store, where):
    with pytest.raises(QueryError) as caught:
        store.search("bright", where=where)
    assert "\n" not in str(caught.value)
    assert store.info()["images"] == 120


def test_deleted_images_are_gone_at_once(own):
    best = own.search("bright", 3).hits
    neighbour = own.similar(best[0].key, k=1).hits[0]
    assert own.delete([best[1].key, neighbour.image_id, best[1].image_id]) == len(
        {best[1].image_id, neighbour.image_id}
    )
    gone = {best[1].key, neighbour.key}
    assert not gone & set(keys(own.search("bright", EVERYTHING)))
    assert not gone & set(keys(own.similar(best[0].key, k=EVERYTHING)))
    with pytest.raises(UnknownImageError):
        own.describe(best[1].key)
    assert own.verify().ok
    left = own.info()["images"]
    assert own.delete(where="partition = 'test'") > 0
    assert own.info()["images"] < left
    own.delete(where="id >= 0")
    with pytest.raises(EmptyStoreError):
        own.search("bright")


def test_nothing_is_deleted_where_one_name_is_wrong(own):
    with pytest.raises(UnknownImageError):
        own.delete([name(0), "nobody.png"])
    assert own.info()["images"] == 120


def test_relocation(gallery, tmp_path):
    shutil.copytree(gallery.data, tmp_path / "here")
    with Store.create(tmp_path / "store") as store:
        store.import_folder(tmp_path / "here", name="pictures")
        shutil.move(tmp_path / "here", tmp_path / "there")
        report = store.verify(sources=True)
        assert (report.ok, report.sources_missing) == (True, 120)
        assert store.relocate("pictures", tmp_path / "there") == (120, 120)
        assert store.verify(sources=True).sources_missing == 0
        with pytest.raises(UnknownDatasetError):
            store.relocate("pictured", tmp_path / "there")


def test_keys_in_two_data_sets(own, tmp_path):
    folder = tmp_path / "others"
    write_pictures(folder, 3, seed=4)
    own.import_folder(folder)
    own.encode()
    with pytest.raises(UnknownImageError, match=rf"write pictures/{name(0)} or others/{name(0)}"):
        own.similar(name(0))
    one, other = own.describe([f"pictures/{name(0)}", f"others/{name(0)}"])
    assert one.image_id != other.image_id
    assert own.describe(f"id:{other.image_id}")[0].estimates == other.estimates


# -- questions without answer ------------------------------------------------------------


def test_unknown_labels_name_the_nearest(store):
    with pytest.raises(UnknownLabelError) as caught:
        store.search("bright & stripd")
    assert caught.value.nearest[0] == "Striped"
    for ask in (lambda: store.similar(name(0), by="framd"), lambda: store.similar(prototypes=["framd"])):
        with pytest.raises(UnknownLabelError) as caught:
            ask()
        assert caught.value.nearest[0] == "Framed"


def test_unknown_images_name_the_nearest(store):
    for ask in (store.similar, store.describe, store.looks.embedding):
        with pytest.raises(UnknownImageError, match=r"did you mean 0001\.png|did you mean 00"):
            ask("00001.png")
    with pytest.raises(UnknownImageError, match="id:99999"):
        store.describe(99999)


def test_syntax_errors_point_at_the_place(store):
    with pytest.raises(QuerySyntaxError) as caught:
        store.search("bright & & red")
    assert caught.value.position == 9
    assert caught.value.text == "bright & & red"


@pytest.mark.parametrize(
    "options", [{"k": 0}, {"offset": -1}, {"min_probability": 1.5}, {"evidence": "hope"}]
)
def test_impossible_pages(store, options):
    with pytest.raises(QueryError):
        store.search("bright", **options)


def test_impossible_similarity(store):
    for options in ({}, {"by": "red"}, {"with_": {"red": np.zeros(3, np.float32)}}):
        with pytest.raises(Exception, match=r"needs an image|no image to take|shape"):
            store.similar(**options)
    with pytest.raises(QueryError):
        store.similar(name(0), by={"red": -1.0})


@pytest.mark.usefixtures("nothing_shipped")
def test_empty_stores_say_what_comes_next(gallery, tmp_path):
    with Store.create(tmp_path / "store") as store:
        for ask in (lambda: store.search("bright"), lambda: store.similar("a"), lambda: store.describe("a")):
            with pytest.raises(EmptyStoreError, match="import"):
                ask()
        with pytest.raises(EmptyStoreError):
            store.encoders.train("olr", "tiny")
        store.import_folder(gallery.data)
        with pytest.raises(EmptyStoreError):
            store.search("bright")
        with pytest.raises(EmptyStoreError):
            store.encode()
        with pytest.raises(EmptyStoreError, match="label"):
            store.encoders.train("olr", "tiny")


def test_unknown_spaces(store):
    for ask in (store.similar, store.describe, store.looks.embedding, store.search):
        with pytest.raises(UnknownSpaceError, match="nothing"):
            ask("bright", space="nothing")


# -- opening -----------------------------------------------------------------------------


def test_read_only_stores_refuse_changes(store, tmp_path):
    for change in (
        lambda: store.delete([1]),
        lambda: store.labels.set([1], "red", 1, who="me"),
        store.encode,
        store.encoders.calibrate,
        store.indexes.build,
        lambda: store.encoders.train("olr", "tiny"),
        lambda: store.relocate("pictures", tmp_path),
    ):
        with pytest.raises(StoreReadOnlyError, match="read-only"):
            change()


def test_reading_changes_no_file(gallery):
    def state():
        return {path: path.read_bytes() for path in gallery.store.rglob("*") if path.is_file()}

    before = state()
    with Store.open(gallery.store, read_only=True) as store:
        store.search("bright", 3)
        store.similar(name(1), k=3)
        store.describe(name(1))
        store.verify()
    assert state() == before


def test_stores_that_are_not_there_or_are_already(gallery, tmp_path):
    with pytest.raises(StoreNotFoundError, match="import folder IMAGES"):
        Store.open(tmp_path / "nothing")
    with pytest.raises(StoreExistsError):
        Store.create(gallery.store)


def test_newer_stores_are_refused(gallery, tmp_path):
    files = gallery.copy(tmp_path / "files")
    about = json.loads((files / "store.json").read_text())
    del about["checksum"]  # a newer program writes what fits, or another one
    (files / "store.json").write_text(json.dumps({**about, "format_version": 99, "created_by": "9.1"}))
    with pytest.raises(StoreVersionError, match=r"install olrsearch 9\.1 or newer"):
        Store.open(files)
    tables = gallery.copy(tmp_path / "tables")
    with sqlite3.connect(tables / "metadata.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.execute("UPDATE store SET migrated_by = '9.1'")
    connection.close()
    for ask in (Store.open, Store.migrate):
        with pytest.raises(StoreVersionError, match=r"install olrsearch 9\.1 or newer"):
            ask(tables)


def test_migrating_a_store_that_is_up_to_date_does_nothing(gallery, tmp_path):
    before, after = Store.migrate(gallery.copy(tmp_path / "store"))
    assert before == after


def test_verify_finds_a_damaged_model(own):
    weights = next(Path(own.path, "models").glob("*/weights.safetensors"))
    data = bytearray(weights.read_bytes())
    data[-5] ^= 1
    weights.write_bytes(data)
    report = own.verify()
    assert [problem.code for problem in report.problems] == ["model"]


def test_verify_finds_changed_sources(tmp_path):
    folder = tmp_path / "pictures"
    write_pictures(folder, 4)
    with Store.create(tmp_path / "store") as store:
        store.import_folder(folder)
        shutil.copy(folder / name(1), folder / name(2))
        assert store.verify().ok
        report = store.verify(sources=True)
        assert [problem.code for problem in report.problems] == ["source-changed"]


# -- indexes -----------------------------------------------------------------------------


def test_kept_scores_answer_as_computed_ones(own):
    computed = own.search("bright & !red", EVERYTHING)
    assert own.indexes.build()
    kept = own.search("bright & !red", EVERYTHING)
    assert keys(kept) == keys(computed)
    assert [hit.score for hit in kept] == pytest.approx([hit.score for hit in computed], abs=1e-6)
    own.delete([computed.hits[0].image_id])
    assert keys(own.search("bright & !red", EVERYTHING)) == keys(computed)[1:]
    assert own.verify().ok


def test_a_damaged_model_is_replaced_by_a_good_copy(own, gallery):
    (weights,) = own.path.glob("models/*/weights.safetensors")
    weights.write_bytes(weights.read_bytes()[:-1])
    assert not own.verify().ok
    own.encode(gallery.model)
    assert own.verify().ok
    assert len(own.info()["spaces"]) == 1
    inode = weights.stat().st_ino
    own.encode(gallery.model)
    assert weights.stat().st_ino == inode  # a good one is left alone


def test_verify_finds_damaged_scores(own):
    own.indexes.build()
    (path,) = own.path.glob("indexes/*/scores/*.npy")
    data = bytearray(path.read_bytes())
    data[-1] ^= 0x40  # the exponent of the last score
    path.write_bytes(data)
    (problem,) = own.verify().problems
    assert problem.code == "index"
    assert str(path) in problem.message
    own.indexes.build()
    assert own.verify().ok


def test_recipes_say_what_they_recall(own):
    pytest.importorskip("faiss")
    lines = own.indexes.build("sq8")
    assert any("1 whole index" in line and "recall@10" in line for line in lines)
    assert any("4 label indexes" in line for line in lines)
    assert own.indexes.estimate("sq8")[0] > 0
    for asked in ({}, {"by": "red"}):
        exact = own.similar(name(3), k=10, **asked)
        proposed = own.similar(name(3), k=10, recipe="sq8", **asked)
        assert exact.exact
        assert not proposed.exact
        assert len(set(keys(exact)) & set(keys(proposed))) >= 9
    with pytest.raises(OlrsearchError, match="hnsw"):
        own.similar(name(3), recipe="hnsw")
    info = own.indexes.info()
    assert own.info()["spaces"][0]["indexes"] == ["sq8"]
    assert info["indexes"]["sq8"]["count"] == 120
    assert own.verify().ok
    with pytest.raises(IndexBuildError, match="no index recipe 'hope'"):
        own.indexes.build("hope")


def test_a_recipe_of_ones_own(own, tmp_path):
    (tmp_path / "mine.toml").write_text('description = "scan"\n[promise]\nrecall_at_10 = 1.0\n')
    own.indexes.build(str(tmp_path / "mine.toml"))
    assert own.info()["spaces"][0]["indexes"] == ["mine"]
    kept = sorted(own.path.glob("indexes/*/scores/*"))
    (tmp_path / "mine.toml").rename(tmp_path / "scores.toml")
    with pytest.raises(IndexBuildError, match="cannot be called 'scores'"):
        own.indexes.build(str(tmp_path / "scores.toml"))
    assert sorted(own.path.glob("indexes/*/scores/*")) == kept != []


@pytest.mark.parametrize("count", [0, 1])
def test_similarity_where_there_is_no_pair_to_measure_a_metric_on(gallery, tmp_path, count):
    write_pictures(tmp_path / "one", 1)
    write_pictures(tmp_path / "more", 2, first=7)
    with Store.create(tmp_path / "store") as store:
        store.import_folder(tmp_path / "one")
        store.encode(gallery.model)
        if not count:
            store.import_folder(tmp_path / "more")
            store.delete([1])
        ranking = store.similar(with_={"Bright": np.ones(6, np.float32)})
        assert len(ranking) == ranking.candidates == count


def test_the_labels_queries_may_name(store):
    assert store.labels.known() == LABELS


# -- ids ---------------------------------------------------------------------------------


def test_ids_as_select_returns_them(store):
    chosen = store.select("partition = 'val'")[0]
    asked = int(chosen)
    assert store.describe(chosen) == store.describe(asked)
    assert store.similar(chosen, k=3) == store.similar(asked, k=3)
    assert keys(store.similar(with_={"Bright": chosen})) == keys(store.similar(with_={"Bright": asked}))
    assert store.picture(chosen) == store.picture(asked)
    with pytest.raises(UnknownImageError, match="'id:9999'"):
        store.looks.embedding(np.int64(9999))


# -- counts ------------------------------------------------------------------------------


def test_label_counts(store):
    rows = {row["label"]: row for row in store.labels.counts()}
    assert tuple(rows) == LABELS
    assert all(row["present"] + row["absent"] + row["unknown"] == 120 for row in rows.values())


def test_calibration_on_chosen_images(own):
    report = own.encoders.calibrate(where="partition = 'train'")
    assert report.calibration.count == 72
    assert report.lines()
    with pytest.raises(Exception, match="expected 20 or more"):
        own.encoders.calibrate(where="id <= 5")


def test_a_ranking_is_still_drawn_after_one_of_its_images_was_deleted(own, tmp_path):
    ranking = own.search("red", 3)
    own.delete([ranking.hits[0].image_id])
    sheet = own.sheet(ranking, tmp_path / "before.html").read_text()
    assert all(hit.key in sheet for hit in ranking)
    assert "picture not available" not in sheet
