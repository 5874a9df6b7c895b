"""Kinds of encoder that come as plug-ins: found, refused by name, and no harm to the others."""

import logging

import pytest

from olrsearch.core.errors import EncoderError, TrainingError
from olrsearch.encoders import registry


@pytest.fixture
def plug(tmp_path, monkeypatch):
    """Install a distribution that offers a kind of encoder."""
    registry._plugged.cache_clear()
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "made_plug.py").write_text(
        "from olrsearch.encoders.registry import Kind\nGOOD = Kind('made_plug:open')\nNUMBER = 5\n"
    )

    def install(name, kind, value):
        home = tmp_path / f"{name}-1.0.dist-info"
        home.mkdir()
        (home / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (home / "entry_points.txt").write_text(f"[olrsearch.encoders]\n{kind} = {value}\n")
        registry._plugged.cache_clear()

    yield install
    monkeypatch.undo()
    registry._plugged.cache_clear()


def test_a_plug_in_is_a_kind_like_others(plug):
    plug("good", "fine", "made_plug:GOOD")
    assert "fine" in registry.kinds()
    assert "fine" not in registry.trainable()
    with pytest.raises(TrainingError, match="no encoder of kind 'fine' can be trained: expected aae"):
        registry.config_class("fine")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("no_such_module:KIND", "bad, which cannot be loaded .*no_such_module"),
        ("made_plug:MISSING", "bad, which cannot be loaded .*MISSING"),
        ("made_plug:NUMBER", "made_plug:NUMBER of bad is no kind of encoder"),
    ],
)
def test_a_broken_plug_in_is_named_and_harms_no_other_kind(plug, caplog, value, said):
    plug("bad", "broken", value)
    with pytest.raises(EncoderError, match=said):
        registry.config_class("broken")
    assert registry.config_class("olr").kind == "olr"
    with caplog.at_level(logging.WARNING):
        assert {"informed-prior", "olr"} <= set(registry.trainable())
        assert "bad" not in registry.trainable()
    assert "uninstall bad" in caplog.text


def test_a_plug_in_cannot_take_the_place_of_a_kind_of_the_package(plug):
    plug("bad", "olr", "made_plug:NUMBER")
    assert registry.config_class("olr").kind == "olr"


def test_two_plug_ins_of_one_name_are_refused(plug):
    plug("one", "twice", "made_plug:GOOD")
    plug("two", "twice", "made_plug:GOOD")
    with pytest.raises(EncoderError, match="'twice' are offered by one and two: uninstall all but one"):
        registry.config_class("twice")
