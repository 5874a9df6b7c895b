"""How an encoder came about, told from its run."""

import json
import shlex

import numpy as np
import pytest
from trained import add_run

from olrsearch import Store
from olrsearch.core.errors import TrainingError
from olrsearch.encoders import registry
from olrsearch.encoders.folder.card import CELEBA_TERMS, OWN_TERMS
from olrsearch.encoders.informed_prior.config import InformedPriorConfig
from olrsearch.encoders.olr.config import OlrConfig
from olrsearch.pipeline.publishing.provenance import data_of, terms_of, train_commands, training_of
from olrsearch.store.training_runs import read_run
from olrsearch.store.values import DatasetInfo


def config_of(command, labels, kind="olr"):
    """The configuration that a command trains with."""
    words = shlex.split(command)
    assert words[:4] == ["olrsearch", "train", kind, "--profile"]
    sets = [words[place + 1] for place, word in enumerate(words) if word == "--set"]
    if "--labels" in words:
        labels = words[words.index("--labels") + 1].split(",")
    return (
        registry.config_class(kind)
        .of_profile(words[4], labels)
        .with_overrides(dict(text.split("=", 1) for text in sets))
    )


@pytest.fixture
def opened(gallery, tmp_path):
    store = gallery.copy(tmp_path / "store")
    with Store.open(store) as found:
        yield found


@pytest.mark.parametrize("name", sorted(OlrConfig.profiles))
def test_the_command_trains_with_the_very_same_settings(opened, name):
    labels = opened.labels.known()
    changed = OlrConfig.of_profile(name, labels).with_overrides(
        {"seed": "11", "occlusion": "0.1,0.25", "flip": "false", "dropout": "0.35"}
    )
    run = add_run(opened.path, config=changed.to_dict())
    (command,) = train_commands(run, labels)
    assert f"--profile {name}" in command
    assert config_of(command, labels) == changed


def test_labels_that_were_chosen_are_named(opened):
    chosen = OlrConfig.of_profile("tiny", ("Red", "Bright"))
    run = add_run(opened.path, config=chosen.to_dict())
    (command,) = train_commands(run, opened.labels.known())
    assert command == "olrsearch train olr --profile tiny --labels Red,Bright"
    assert config_of(command, opened.labels.known()) == chosen


@pytest.mark.parametrize(("fingerprint", "named"), [("ab" * 32, "olr-abababab"), (None, "RUN")])
def test_a_teacher_of_another_run_is_trained_first(opened, fingerprint, named):
    labels = opened.labels.known()
    longer = OlrConfig.of_profile("tiny", labels).with_overrides({"teacher_epochs": "9"})
    teacher = add_run(opened.path, name="olr-teacher", fingerprint=fingerprint, config=longer.to_dict())
    run = add_run(opened.path, name="olr-second", teacher="olr-teacher")
    first, second = train_commands(run, labels)
    assert first == train_commands(teacher, labels)[0]
    assert second.endswith(f" --teacher {named}")
    assert config_of(second.removesuffix(f" --teacher {named}"), labels).teacher_epochs != 9


def test_a_teacher_that_the_run_would_have_trained_itself_is_not_told_of(opened):
    labels = opened.labels.known()
    add_run(opened.path, name="olr-teacher", fingerprint=None)
    before = OlrConfig.from_dict(read_run(opened.path / "runs" / "olr-teacher")["config"])
    other = before.with_overrides({"head": "query", "siamese_epochs": "7"})
    assert other.same_teacher(before)
    run = add_run(opened.path, name="olr-second", teacher="olr-teacher", config=other.to_dict())
    (command,) = train_commands(run, labels)
    assert "--teacher" not in command
    assert config_of(command, labels) == other


def test_training_is_told_from_the_run(opened):
    run = add_run(opened.path)
    snapshot = opened.session.backend.snapshot()
    found = training_of(run, snapshot, hardware="an abacus")
    assert (found.images, found.selection, found.seed, found.hardware) == (48, 24, 4, "an abacus")
    assert found.commands[0] == "olrsearch import folder PATH"
    assert found.commands[-1] == "olrsearch encode"
    assert OlrConfig.from_dict(found.settings).to_dict() == read_run(run)["config"]
    assert found.seconds == {"teacher": 30.0, "siamese": 90.0}
    held_back = np.load(run / "selection.npy")
    learnt = np.load(run / "labels.npy")[~held_back]
    assert found.prevalence == pytest.approx(
        dict(zip(opened.labels.known(), (learnt > 0).mean(axis=0), strict=True))
    )
    assert json.dumps(found.prevalence)


def test_labels_nobody_knows_have_no_prevalence(opened):
    run = add_run(opened.path)
    labels = np.load(run / "labels.npy")
    labels[:, 1] = 0
    np.save(run / "labels.npy", labels)
    found = training_of(run, opened.session.backend.snapshot(), hardware="x")
    assert found.prevalence[opened.labels.known()[1]] is None


def test_data_sets_that_were_trained_on(opened, gallery):
    run = add_run(opened.path)
    opened.import_folder(gallery.data, name="later")
    snapshot = opened.session.backend.snapshot()
    assert [item.name for item in snapshot.datasets()] == ["pictures", "later"]
    assert [item.name for item in data_of(run, snapshot)] == ["pictures"]


def test_terms_follow_the_data(tmp_path):
    names = ("5_o_Clock_Shadow", "Attractive", "Bags_Under_Eyes", "Blurry", "Chubby", "Young")

    def data(*kinds):
        return [
            DatasetInfo(number, f"set{number}", kind, tmp_path, 9, 0) for number, kind in enumerate(kinds)
        ]

    assert terms_of(data("celeba"), names) == CELEBA_TERMS
    assert terms_of(data("celeba", "folder"), names) == OWN_TERMS
    assert terms_of(data("celeba"), names[1:]) == OWN_TERMS  # avatars have the layout and other labels
    assert terms_of(data(), names) == OWN_TERMS


# -- informed priors ---------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(InformedPriorConfig.profiles))
def test_runs_of_words_have_their_own_command(opened, name):
    labels = opened.labels.known()
    changed = InformedPriorConfig.of_profile(name, labels).with_overrides(
        {"seed": "11", "shrinkage": "0.25", "decoder_size": "8,8", "flip": "false"}
    )
    run = add_run(opened.path, kind="informed-prior", config=changed.to_dict(), seconds={"posterior": 60.0})
    (command,) = train_commands(run, labels)
    assert f"--profile {name}" in command
    assert config_of(command, labels, "informed-prior") == changed
    found = training_of(run, opened.session.backend.snapshot(), hardware="an abacus")
    assert (found.seed, found.seconds, found.images) == (11, {"posterior": 60.0}, 48)
    assert InformedPriorConfig.from_dict(found.settings) == changed


def test_the_encoder_a_trunk_came_from_is_named_and_trained_first_if_it_was_trained_here(opened):
    labels = opened.labels.known()
    faces = InformedPriorConfig.of_profile("faces", labels)
    shipped = add_run(opened.path, name="one", kind="informed-prior", config=faces.to_dict())
    assert train_commands(shipped, labels) == ("olrsearch train informed-prior --profile faces",)
    assert (
        training_of(shipped, opened.session.backend.snapshot(), hardware="x").settings["start_from"]
        == "faces"
    )
    base = add_run(opened.path, name="base", fingerprint="cd" * 32)
    own = faces.with_overrides({"start_from": "olr-cdcdcdcd"})
    run = add_run(opened.path, name="two", kind="informed-prior", config=own.to_dict(), fingerprint="ef" * 32)
    first, second = train_commands(run, labels)
    assert (first,) == train_commands(base, labels)
    assert second == "olrsearch train informed-prior --profile faces --set start_from=olr-cdcdcdcd"


def test_paths_of_the_machine_are_not_told(opened):
    labels = opened.labels.known()
    config = InformedPriorConfig.of_profile("faces", labels).with_overrides(
        {"start_from": "/home/me/models/faces", "words": "/data/glove.txt", "label_words": "own.toml"}
    )
    run = add_run(opened.path, kind="informed-prior", config=config.to_dict())
    (command,) = train_commands(run, labels)
    for said in ("start_from=PATH/faces", "words=PATH/glove.txt", "label_words=own.toml"):
        assert said in command
    settings = training_of(run, opened.session.backend.snapshot(), hardware="x").settings
    assert (settings["start_from"], settings["words"]) == ("PATH/faces", "PATH/glove.txt")


def test_an_unknown_kind_of_run_is_named(opened):
    run = add_run(opened.path, kind="mixture")
    with pytest.raises(TrainingError, match=r"kind 'mixture': expected one of .*informed-prior, .*olr, "):
        train_commands(run, opened.labels.known())
