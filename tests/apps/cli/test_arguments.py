"""What no command can take: bytes that are no text, and users that nobody knows."""

import getpass
import os

import pytest
from command import call

LATIN = os.fsdecode(b"caf\xe9")


@pytest.mark.parametrize(
    "arguments",
    [
        ("audit", "decide", "x.jpg", "Bright", "flip", "--why", LATIN),
        ("label", "set", "Bright", "present", "x.jpg", "--who", LATIN),
        ("import", "folder", LATIN),
        ("import", "folder", "x", "--name", LATIN),
        ("import", "folder", "x", "--labels", f"{LATIN}.csv"),
        ("search", LATIN),
    ],
)
def test_bytes_that_are_no_utf8_are_named(tmp_path, arguments):
    found = call(tmp_path / "store", *arguments)
    assert found.code == 2
    assert "argument 'caf\\xe9" in found.err
    assert "no UTF-8" in found.err
    assert not (tmp_path / "store").exists()


def test_so_are_those_of_the_store(tmp_path, monkeypatch):
    found = call(tmp_path / LATIN, "store", "info")
    assert found.code == 2
    assert "caf\\xe9' holds bytes that are no UTF-8" in found.err
    monkeypatch.setenv("OLRSEARCH_STORE", LATIN)
    found = call(tmp_path, "store", "info")
    assert found.code == 2
    assert "OLRSEARCH_STORE 'caf\\xe9'" in found.err


@pytest.mark.parametrize("error", [OSError("No username set"), KeyError("uid not found: 4711")])
@pytest.mark.parametrize(
    "command",
    [("label", "set", "Bright", "present", "x.jpg"), ("audit", "decide", "x.jpg", "Bright", "flip")],
)
def test_a_user_without_a_name_is_asked_for_one(tmp_path, monkeypatch, command, error):
    def nameless():
        raise error

    monkeypatch.setattr(getpass, "getuser", nameless)  # a container's user stands in no list of users
    found = call(tmp_path, *command)
    assert found.code == 2
    assert "say who decides with --who" in found.err
    assert "--who" not in call(tmp_path, *command, "--who", "ann").err
