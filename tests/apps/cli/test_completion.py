"""What the shell offers at the tab key."""

import pytest
from click.shell_completion import ShellComplete, get_completion_class
from pictures import name

from olrsearch.apps.cli import cli
from olrsearch.apps.cli.everywhere import Call


def offered(*words):
    """What is offered for the last of some words, files and folders by their kind."""
    *before, written = map(str, words)
    completer = ShellComplete(cli, {"obj": Call()}, "olrsearch", "_OLRSEARCH_COMPLETE")
    return [
        item.value if item.type == "plain" else item.type
        for item in completer.get_completions(before, written)
    ]


@pytest.fixture
def at(gallery, monkeypatch):
    """The gallery, named by the environment."""
    monkeypatch.setenv("OLRSEARCH_STORE", str(gallery.store))
    return gallery


def test_commands_without_loading_them(monkeypatch):
    monkeypatch.setattr("importlib.import_module", lambda *_: pytest.fail("a module was loaded"))
    assert offered("enc") == ["encode", "encoders"]
    assert offered("--st") == ["--store"]


def test_options_of_a_command_and_those_of_every_command():
    assert offered("search", "--sh") == ["--sheet"]
    assert offered("search", "--st") == ["--store"]
    assert offered("audit", "sum") == ["summary"]
    assert offered("nothing", "x") is not None


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (("search", "bri"), ["Bright"]),
        (("search", "bright & !r"), ["bright & !Red"]),
        (("search", "(bright | STR"), ["(bright | Striped"]),
        (("similar", "x", "--by", "f"), ["Framed"]),
        (("similar", "--with", "re"), ["Red="]),
        (("label", "set", "br"), ["Bright"]),
        (("label", "set", "bright", "pre"), ["present"]),
        (("look", "norms", "--labels", "Red,st"), ["Red,Striped"]),
        (("audit", "list", "--label", "r"), ["Red"]),
        (("search", "x", "--where", "par"), [f"partition = '{one}'" for one in ("train", "val", "test")]),
        (
            ("list", "--where", "partition = 'test' and re"),
            [f"partition = 'test' and Red = {one}" for one in ("present", "absent")],
        ),
        (("describe", "000"), ["file", *(name(number) for number in range(10))]),
        (("delete", "001"), [name(number) for number in range(10, 20)]),
        (("delete", "%"), []),
        (("delete", "'"), []),
        (("index", "build", "--recipe", "k"), ["kl-projected", "kl-torch"]),
        (("train", "olr", "--profile", "t"), ["tiny"]),
        (("encode", "--encoder", "faces-"), ["faces-words"]),
        (("import", "folder", ""), ["file"]),
        (("search", "x", "--evidence", "l"), ["labels"]),
        (("store", "relocate", "p"), ["pictures"]),
    ],
)
def test_names_of_the_store(at, words, found):
    assert at
    assert offered(*words) == found


def test_the_store_that_is_named_is_asked(gallery):
    assert offered("search", "bri") == []  # there is no store at the default place
    assert offered("search", "--store", gallery.store, "bri") == ["Bright"]
    assert offered("--store", gallery.store, "search", "bri") == ["Bright"]


def test_spaces_and_audits(at):
    (space,) = offered("search", "x", "--space", "")
    assert offered("search", "x", "--space", space[:3]) == [space]
    assert offered("audit", "summary", "--run", "") == []
    assert at


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_shell_has_its_script(shell):
    script = get_completion_class(shell)(cli, {}, "olrsearch", "_OLRSEARCH_COMPLETE").source_template
    assert "%(prog_name)s" in script
