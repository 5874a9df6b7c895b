"""The degree of a label as ordered steps, from a store's label embeddings to the run that learns them."""

import json

import numpy as np
import pytest
from command import good, one_thread, refused
from pictures import LABELS

from olrsearch import Store
from olrsearch.core.errors import TrainingError, UnknownLabelError
from olrsearch.pipeline.degrees import Degrees
from olrsearch.pipeline.training import train
from olrsearch.store.backend import Backend
from olrsearch.store.training_runs import run_array

TINY = ("--profile", "tiny", "--set", "epochs=1")


def test_steps_are_tenths_of_the_probability(gallery):
    with Backend.open(gallery.store, read_only=True) as backend:
        snapshot = backend.snapshot()
        found = Degrees.measure(snapshot, "bright")
        names = [name.removeprefix("Bright_") for name in found.names]
        assert found.label == "Bright"
        assert (names[0], names[-1]) == ("1", "10")
        labels = found.labels(np.append(snapshot.image_ids(), 10**6))
        assert labels[-1].tolist() == [0] * len(names)
        assert set((labels[:-1] > 0).sum(axis=1)) <= {0, 1}
        assert ((labels > 0).sum(axis=0) >= 10).all()
        stored = snapshot.labels(found.ids, ["Bright"])[:, 0]
        assert stored[found.steps == len(names) - 1].mean() > stored[found.steps == 0].mean() + 1
        with pytest.raises(UnknownLabelError, match="did you mean Bright"):
            Degrees.measure(snapshot, "brigth")


def test_orders_are_refused_where_they_mean_nothing(gallery, imported_pictures):
    for arguments, message in (
        (("atnl", *TINY), "the labels have no order: name them"),
        (("atnl", *TINY, "--order", "Red,Read"), "unknown label 'Read'; did you mean Red"),
        (("atnl", *TINY, "--order", "Red"), "an order of one step, Red"),
        (("atnl", *TINY, "--order", "Red,Bright", "--degree", "Red"), "are two orders: give one of them"),
        (("atnl", *TINY, "--degree", "Blue"), "unknown label 'Blue'"),
        (("atnl", "--resume", "--degree", "Red"), "there is no unfinished run"),
    ):
        assert message in refused(gallery.store, "-q", "train", *arguments)
    assert "there are none: run olrsearch encode" in refused(
        imported_pictures, "-q", "train", "atnl", *TINY, "--degree", "Red"
    )
    with Backend.open(gallery.store) as backend, pytest.raises(TrainingError, match="leave order and degree"):
        train(backend, "ae", degree="Red")
    assert not list((gallery.store / "runs").glob("a*"))


@pytest.fixture
def imported_pictures(gallery, tmp_path):
    store = tmp_path / "store"
    good(store, "-q", "import", "folder", gallery.data, "--labels", gallery.data / "labels.csv")
    return store


@pytest.mark.slow  # some seconds
def test_a_run_keeps_its_degrees_and_its_words_are_asked(gallery, tmp_path):
    one_thread()
    store = gallery.copy(tmp_path / "store")
    trained = good(store, "-q", "train", "atnl", *TINY, "--degree", "bright", "--json").row
    (run,) = (store / "runs").glob("atnl-*")
    config = json.loads((run / "run.json").read_text())["config"]
    assert (config["degree"], config["order"][0], config["order"][-1]) == ("Bright", "Bright_1", "Bright_10")
    assert config["labels"] == [*LABELS, *config["order"]]
    assert run_array(run, "labels").shape[1] == len(config["labels"])
    good(store, "-q", "encode", "--encoder", trained["space"])
    with Store.open(store, read_only=True) as opened:
        first = opened.images()[0].key
        (described,) = opened.describe_words(first, space=trained["space"])
        assert {row.word for row in described} == set(config["labels"])
        assert len(opened.similar(first, by="posterior", k=3, space=trained["space"])) == 3
