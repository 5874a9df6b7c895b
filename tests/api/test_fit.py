"""Images unlike those an encoder was trained on: counted, marked in answers, left out when asked."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from command import good
from pictures import write_pictures
from PIL import Image

from olrsearch import Store
from olrsearch.core.errors import QueryError
from olrsearch.maths.fit import FOREIGN
from olrsearch.sheets.contents import ranking_sheet

NOISE = 4


@pytest.fixture(scope="module")
def mixed(world, tmp_path_factory):
    """The trained store of avatars with noise among them, encoded by the encoder that knows avatars."""
    home = world.copy(tmp_path_factory.mktemp("mixed") / "store")
    noise = tmp_path_factory.mktemp("noise")
    rng = np.random.default_rng(0)
    for number in range(NOISE):
        pixels = rng.integers(0, 256, (218, 178 if number else 60, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(noise / f"noise{number}.png")
    with Store.open(home) as store:
        store.import_folder(noise)
        report = store.encode()
    return home, noise, report


def test_encoding_counts_the_foreign_and_the_squashed(mixed):
    _, _, report = mixed
    assert (report.encoded, report.foreign, report.unmeasured, report.squashed) == (NOISE, NOISE, 0, 1)
    assert any("unlike those" in note and f'--where "fit >= {FOREIGN}"' in note for note in report.notes)
    assert any("squashed (noise0.png, 60 × 218 pixels" in note for note in report.notes)


def test_most_images_like_those_of_the_training_fit(mixed):
    home, _, _ = mixed
    with Store.open(home, read_only=True) as store:
        hits = store.search("smiling", k=1000).hits
    fits = {hit.key: hit.fit for hit in hits}
    assert all(0 <= fit <= 1 for fit in fits.values())
    avatars = [fit for key, fit in fits.items() if not key.startswith("noise")]
    assert np.mean([fit < FOREIGN for fit in avatars]) < 0.1
    assert {hit.key for hit in hits if hit.is_foreign} >= {f"noise{number}.png" for number in range(NOISE)}


def test_answers_mark_what_is_foreign_and_a_condition_leaves_it_out(mixed):
    home, _, _ = mixed
    with Store.open(home, read_only=True) as store:
        ranking = store.search("smiling", k=5, where="key like 'noise%'")
        assert any(f"{NOISE} of these {NOISE} images are unlike those" in note for note in ranking.notes)
        assert all("foreign" in card.score for card in ranking_sheet(ranking, lambda _: None).cards)
        assert ranking.to_dicts()[0]["fit"] == ranking.hits[0].fit < FOREIGN
        kept = store.search("smiling", k=1000, where=f"fit >= {FOREIGN} and dataset <> 'noise0'")
        assert not any(hit.is_foreign for hit in kept)
        assert not any("unlike those" in note for note in kept.notes)
        similar = store.similar("noise1.png", k=1000, where=f"not fit < {FOREIGN}")
        assert all(hit.fit >= FOREIGN for hit in similar)
        foreign = set(store.select(f"fit < {FOREIGN}"))
        assert not foreign & {hit.image_id for hit in kept}
        assert len(foreign) + kept.total == len(store.search("smiling", k=1000))
        assert len(store.select("fit is null")) == 0


def test_a_fit_that_no_image_has_leaves_nothing(mixed):
    home, _, _ = mixed
    with Store.open(home, read_only=True) as store:
        asked = f"fit < {FOREIGN} and key = 'none.png'"
        for answer in (
            store.search("smiling", where=asked),
            store.similar("noise1.png", where=asked),
            store.search("smiling", where="fit > 1"),
        ):
            assert not len(answer)
    assert "no image 'none.png' in" in good(home, "search", "smiling", "--where", asked).err


def test_descriptions_mark_files_as_they_mark_images(mixed):
    home, noise, _ = mixed
    with Store.open(home, read_only=True) as store:
        within, outside = store.describe(["noise0.png", noise / "noise0.png"])
        assert outside.fit == pytest.approx(within.fit, abs=1e-6)
        assert within.image_id is not None
        assert outside.image_id is None
        for one in (within, outside):
            assert any(note.startswith("foreign: ") for note in one.notes)
            assert any(note.startswith("squashed: 60 × 218") for note in one.notes)
        (plain,) = store.describe(store.search("smiling", where="fit > 0.3", k=1).hits[0].key)
        assert not plain.notes
    said = good(home, "describe", "noise0.png", "-k", "1").out
    assert "foreign: unlike the images" in said
    assert "squashed: " in said
    assert "[foreign: fit" in good(home, "search", "smiling", "--where", "key like 'noise%'").out


def test_encoders_without_statistics_say_so(gallery, tmp_path):
    home = gallery.copy(tmp_path / "store")
    write_pictures(tmp_path / "more", 3, first=900)
    with Store.open(home) as store:
        store.import_folder(tmp_path / "more")
        report = store.encode()
        assert report.unmeasured == 3
        assert any("does not know which images it was trained on" in note for note in report.notes)
        assert all(hit.fit is None and not hit.is_foreign for hit in store.search("bright"))
        (found,) = store.describe(store.search("bright").hits[0].key)
        assert found.fit is None
        with pytest.raises(QueryError, match="no image has a fit in"):
            store.search("bright", where="fit > 0.5")
        with pytest.raises(QueryError, match="no image has a fit in any space"):
            store.select("fit > 0.5")
        assert list(store.select("fit is null")) == [hit.image_id for hit in store.images(k=1000)]
        assert len(store.select("fit > 0.5 or fit is null")) == len(store.select("fit is null"))
        assert len(store.select("not fit is null")) == 0
        assert store.search("bright", where="fit is null").total == len(store.search("bright", k=1000))


def test_a_store_whose_labels_the_encoder_does_not_know_is_told(tmp_path):
    write_pictures(tmp_path / "pictures", 4)
    with Store.create(tmp_path / "store") as store:
        store.import_folder(tmp_path / "pictures", labels=tmp_path / "pictures" / "labels.csv")
        report = store.encode("faces")
    assert report.foreign == 4
    assert any("knows none of this store's labels" in note for note in report.notes)


def test_a_run_that_waits_to_be_finished_is_mentioned(world, tmp_path):
    home = world.copy(tmp_path / "store")
    (run,) = (home / "runs").glob("olr-*")
    waiting = shutil.copytree(run, run.with_name("olr-9999"))
    record = json.loads((waiting / "run.json").read_text())
    del record["checksum"]
    record["was"] = record.pop("fingerprint")
    (waiting / "run.json").write_text(json.dumps(record))
    with Store.open(home) as store:
        assert any("olr-9999, waits to be finished" in note for note in store.encode().notes)
    assert "olr-9999, waits to be finished" in good(home, "describe", "id:1").err
    with Store.open(world.copy(tmp_path / "other")) as store:
        assert not any("waits" in note for note in store.encode().notes)
