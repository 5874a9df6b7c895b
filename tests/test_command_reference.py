from pathlib import Path

import click
import pytest
from command import good
from command_reference import json_keys, reference
from pictures import LABELS
from tiny_encoders.posteriors import TinyPosteriorEncoder

from olrsearch.apps.cli.commands import _COMMANDS, cli

DOCUMENT = Path(__file__).parents[1] / "docs" / "commands.md"


def test_the_reference_is_in_step_with_the_program():
    assert DOCUMENT.read_text(encoding="utf-8") == reference(), "run `make docs`"


def test_every_command_is_there_with_help():
    text = reference()
    for name in _COMMANDS:
        assert f"\n## {name}" in text
    assert set(json_keys()) == {
        name
        for name, command in walk(cli, "")
        if any("--json" in parameter.opts for parameter in command.params)
    }


def walk(group, prefix):
    context = click.Context(group)
    for name in group.commands or group.list_commands(context):
        command = group.get_command(context, name)
        assert command.help
        if isinstance(command, click.Group):
            yield from walk(command, f"{prefix}{name} ")
        else:
            yield prefix + name, command


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        ("store info", ()),
        ("store verify", ("--sources",)),
        ("label list", ()),
        ("search", ("bright & red",)),
        ("similar", ("0001.png", "--by", "red")),
        ("describe", ("0001.png",)),
    ],
)
def test_json_keys_are_the_documented_ones(gallery, command, arguments):
    rows = good(gallery.store, *command.split(), *arguments, "--json").rows
    assert rows
    for row in rows:
        assert list(row) == list(json_keys()[command][1])


def test_json_keys_of_hits_are_those_of_the_design(gallery):
    row = good(gallery.store, "search", "bright & red", "-k", 1, "--json").row
    named = ["rank", "image_id", "key", "uri", "distance", "score", "contributions", "fit", "similarity"]
    assert list(row) == named
    assert [list(part) for part in row["contributions"]] == [["literal", "value", "probability"]] * 2


def test_json_keys_of_an_import(gallery):
    store = gallery.store.parent / "again"
    row = good(store, "import", "folder", gallery.data, "--limit", 2, "--json").row
    assert list(row) == list(json_keys()["import folder"][1])


def test_json_keys_of_words(gallery, tmp_path):
    encoder = TinyPosteriorEncoder.create(tmp_path, LABELS, input_size=(24, 24))
    store = gallery.copy(tmp_path / "store")
    good(store, "encode", "--encoder", tmp_path / encoder.fingerprint)
    for arguments in (("words", "bright"), ("describe", "0001.png", "--words")):
        row = good(store, *arguments, "--json").rows[0]
        assert list(row) == list(json_keys()[arguments[0]][1])
    assert list(row["estimates"][0]) == ["word", "probability", "ratio", "stored", "own"]


def test_json_keys_of_index_info(gallery):
    row = good(gallery.store, "index", "info", "--json").row
    assert list(row) == list(json_keys()["index info"][1])
