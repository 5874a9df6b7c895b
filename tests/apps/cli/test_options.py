"""Options are named as the arguments of the verbs they go to: nothing else checks it before they are used."""

import inspect

import click
import pytest
from command import call

from olrsearch import Store
from olrsearch.api.audits import Audits
from olrsearch.api.bench import Bench
from olrsearch.api.edits import Edits
from olrsearch.api.encoders import Encoders
from olrsearch.api.labels import Labels
from olrsearch.api.looks import Looks
from olrsearch.apps.cli import cli
from olrsearch.pipeline.importing import import_dataset

VERBS = {
    # command: the verb, and parameters that the command keeps to itself
    "search": (Store.search, {"sheets", "as_json"}),
    "words": (Store.words, {"sheets", "as_json"}),
    "similar": (Store.similar, {"sheets", "as_json"}),
    "edit": (Edits.find, {"grid", "find", "sheets", "as_json"}),
    "train olr": (Encoders.train, {"as_json"}),
    "train informed-prior": (Encoders.train, {"as_json"}),
    "import cifar100": (import_dataset, {"path", "coarse", "no_thumbnails", "as_json"}),
    "audit run": (Audits.run, {"as_json"}),
    "audit list": (Audits.list, {"csv_file", "as_json"}),
    "audit sheet": (Audits.sheet, {"out"}),
    "audit export": (Labels.export, {"out", "history_only", "as_json"}),
    "encoders publish": (Encoders.publish, {"out_dir"}),
    "imagine": (Store.imagine, {"sheets", "out", "as_json"}),
    "interpolate": (Store.interpolate, {"sheets", "out", "as_json"}),
    "look norms": (Looks.norms, {"out", "as_json"}),
    "look components": (Looks.components, {"sheets", "out", "as_json"}),
    "look disagreements": (Looks.disagreements, {"sheets", "as_json"}),
    "look posterior": (Looks.posteriors, {"out"}),
    "look map": (Looks.map, {"out", "as_json"}),
    "look words": (Looks.words, {"out"}),
    "bench attributes": (Bench.attributes, {"out", "as_json"}),
    "bench queries": (Bench.queries, {"out", "as_json"}),
    "bench similar": (Bench.similar, {"out", "as_json"}),
    "bench audit": (Bench.audit, {"out", "as_json"}),
}


@pytest.mark.parametrize("spelling", VERBS)
def test_options_are_arguments_of_their_verb(spelling):
    command: click.Command = cli
    for word in spelling.split():
        command = command.get_command(click.Context(command), word)
    verb, own = VERBS[spelling]
    options = {parameter.name for parameter in command.params}
    assert own <= options
    assert options - own <= set(inspect.signature(verb).parameters)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("look", "posterior", "x", "--out", "x.png", "--seed", "-1"), "-1 is not in the range x>=0"),
        (("bench", "spead"), "has no command 'spead'; did you mean speed?"),
    ],
)
def test_wrong_usage_is_said_before_a_store_is_opened(tmp_path, arguments, said):
    done = call(tmp_path / "none", *arguments)
    assert done.code == 2
    assert said in done.err


def test_commands_of_the_benchmarks_say_where_they_come_from(tmp_path, monkeypatch):
    monkeypatch.setattr("olrsearch.apps.cli.bench.entry_points", lambda **_: ())
    done = call(tmp_path / "none", "bench", "speed")
    assert done.code == 2
    assert "pip install -e ./benchmarks" in done.err


def test_a_command_of_another_package_that_cannot_be_loaded_harms_no_other(tmp_path, monkeypatch):
    class Broken:
        name = "broken"

        def load(self):
            raise ModuleNotFoundError("No module named 'gone'")

    monkeypatch.setattr("olrsearch.apps.cli.bench.entry_points", lambda **_: [Broken()])
    help_ = call(tmp_path, "bench", "--help")
    assert "broken cannot be loaded: No module named 'gone'" in " ".join(help_.out.split())
    called = call(tmp_path, "bench", "broken")
    assert called.code == 1
    assert called.err.startswith("error: broken cannot be loaded: No module named 'gone'; install")
