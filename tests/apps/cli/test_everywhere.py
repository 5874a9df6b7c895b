"""What holds for every command: options before and after its name, near names, quiet, interruptions."""

import contextlib
import io
import logging
import os
import sys
import warnings

import click
import pytest
from command import call, good
from pictures import name, write_pictures

from olrsearch import OlrsearchError, Store
from olrsearch.apps.cli import cli, run
from olrsearch.apps.cli.commands import _COMMANDS, main, wait_without_spinning
from olrsearch.apps.cli.everywhere import start_logging


def said(*arguments):
    """A call without a store before the command: code, stdout, stderr."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run([str(argument) for argument in arguments])
    return code, out.getvalue(), err.getvalue()


def every_command(group=cli, context=None):
    context = context or click.Context(cli, info_name="olrsearch")
    for word in group.list_commands(context):
        _, command, _ = group.resolve_command(context, [word])
        inner = click.Context(command, info_name=word, parent=context)
        yield inner
        if isinstance(command, click.Group):
            yield from every_command(command, inner)


def test_every_command_takes_store_quiet_and_verbose():
    found = list(every_command())
    assert len(found) > 60
    for context in found:
        options = [option for parameter in context.command.params for option in parameter.opts]
        for option in ("--store", "-q", "--quiet", "-v", "--verbose"):
            assert options.count(option) == 1, (context.command_path, option)


@pytest.mark.parametrize(
    "words",
    [
        ("--store", "STORE", "search", "bright"),
        ("search", "--store", "STORE", "bright"),
        ("search", "bright", "--store", "STORE"),
        ("--store", "/nowhere", "search", "bright", "--store", "STORE"),
        ("store", "--store", "STORE", "info"),
        ("store", "--store", "/nowhere", "info", "--store", "STORE"),
    ],
)
def test_the_store_is_named_anywhere_and_the_later_one_wins(gallery, words):
    code, out, err = said(*(str(gallery.store) if word == "STORE" else word for word in words))
    assert (code, err) == (0, "")
    assert out


def test_a_store_after_the_command_wins_over_the_environment(gallery, monkeypatch):
    monkeypatch.setenv("OLRSEARCH_STORE", "/nowhere")
    assert said("store", "info", "--store", gallery.store)[0] == 0
    code, _, err = said("store", "info")
    assert code == 1
    assert "/nowhere" in err


def test_quiet_hides_everything_on_stderr_but_errors(gallery, tmp_path):
    store = gallery.copy(tmp_path / "store")
    good(store, "label", "set", "striped", "unknown", name(1), "--who", "me")
    assert "note: " in good(store, "search", "bright", "-k", 1).err
    for words in (
        ("search", "bright", "-k", 1, "--sheet", tmp_path / "x.html"),
        ("search", "bright", "--where", "key = 'x'"),
        ("label", "set", "striped", "unknown", name(2), "--who", "me"),
        ("encode",),
        ("calibrate",),
        ("index", "build"),
        ("delete", "--where", f"key = '{name(3)}'", "--yes"),
        ("import", "folder", gallery.data, "--name", "more", "--limit", 3),
    ):
        for quiet in (("-q", *words), (words[0], *words[1:], "-q")):
            assert good(store, *quiet).err == "", quiet
    assert call(store, "search", "nothing", "-q").err.startswith("error: ")


def test_of_quiet_and_verbose_the_later_one_wins(gallery):
    root = logging.getLogger()
    for words, level in (
        (("-v", "search", "bright"), logging.INFO),
        (("search", "bright", "-vv"), logging.DEBUG),
        (("-v", "search", "bright", "-v"), logging.DEBUG),
        (("-v", "search", "bright", "-q"), logging.ERROR),
        (("-q", "search", "bright", "-v"), logging.INFO),
        (("search", "bright"), logging.WARNING),
    ):
        good(gallery.store, *words)
        assert root.level == level, words


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (("serch", "x"), ("no command 'serch'", "did you mean search?")),
        (("summary",), ("did you mean audit summary?",)),
        (("audit", "lst"), ("olrsearch audit has no command 'lst'", "did you mean list?")),
        (("bench", "audt"), ("did you mean audit?",)),
        (("zzzz",), ("olrsearch --help lists them",)),
        (("x" * 100_000,), ("…",)),
        (("search", "x", "--sheat", "a.html"), ("no such option --sheat; did you mean --sheet?",)),
        (("search", "x", "-k", "y" * 100_000), ("…",)),
        (("search",), ("missing argument 'QUERY'", "usage: olrsearch search [OPTIONS] QUERY")),
        (("store", "info", "--store"), ("--store", "requires an argument")),
    ],
)
def test_wrong_usage_is_two_lines_at_most(words, parts):
    code, out, err = said(*words)
    assert (code, out) == (2, "")
    first, *rest = err.splitlines()
    assert first.startswith("error: ")
    assert len(rest) <= 1
    assert all(line.startswith("usage: olrsearch ") for line in rest)
    assert len(err) < 1000
    for part in parts:
        assert part in err


def test_a_missing_store_says_how_to_make_one_and_how_to_name_one(tmp_path):
    code, _, err = said("search", "x", "--store", tmp_path / "none")
    assert code == 1
    (line,) = err.splitlines()
    for part in (f"olrsearch --store {tmp_path / 'none'} import folder", "--store", "OLRSEARCH_STORE"):
        assert part in line


def test_no_help_is_said_of_a_group_alone():
    assert said("audit")[0] == 2
    assert "Commands:" in said("audit")[2]


class Interrupting:
    """A Heartbeat that is interrupted at the first item."""

    def __init__(self, *_, **__):
        pass

    def __call__(self, items, **_):
        for item in items:
            raise KeyboardInterrupt
            yield item

    def work(self, **_):
        raise KeyboardInterrupt


@pytest.mark.parametrize("where", ["before", "after"])
def test_an_interruption_names_the_command_that_goes_on(tmp_path, monkeypatch, where):
    write_pictures(tmp_path / "my pictures", 3)
    monkeypatch.setattr("olrsearch.apps.cli.common.Heartbeat", Interrupting)
    named = ("--store", tmp_path / "store")
    words = ("import", "folder", tmp_path / "my pictures")
    words = (*named, *words) if where == "before" else (*words, *named)
    code, _, err = said(*words)
    assert code == 130
    line = err.splitlines()[-1]
    assert line.startswith("interrupted; go on with: olrsearch ")
    assert f"'{tmp_path / 'my pictures'}'" in line
    assert f"--store {tmp_path / 'store'}" in line


def test_an_interrupted_training_is_resumed_by_its_own_command(imported_pictures, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt("interrupted while training the teacher: 2 of 5 epochs are kept in runs/x")

    monkeypatch.setattr("olrsearch.pipeline.training.train", interrupted)
    monkeypatch.setattr("olrsearch.api.encoders.Encoders.has_unfinished_run", lambda *_: True)
    code, _, err = said("train", "olr", "--profile", "tiny", "--store", imported_pictures)
    assert code == 130
    assert err.strip() == (
        "interrupted while training the teacher: 2 of 5 epochs are kept in runs/x; "
        f"go on with: olrsearch --store {imported_pictures} train olr --resume"
    )


@pytest.fixture
def imported_pictures(tmp_path):
    table = write_pictures(tmp_path / "pictures", 3)
    good(tmp_path / "store", "import", "folder", tmp_path / "pictures", "--labels", table)
    return tmp_path / "store"


def test_where_there_is_no_terminal_a_line_says_how_far_work_is(tmp_path, monkeypatch):
    from olrsearch.core.progress import Heartbeat

    write_pictures(tmp_path / "pictures", 3)
    monkeypatch.setattr("olrsearch.apps.cli.common.Heartbeat", lambda write: Heartbeat(write, every=0.0))
    err = good(tmp_path / "store", "import", "folder", tmp_path / "pictures").err
    assert "import: 3 of 3 images, " in err
    assert "0 s left" in err
    assert "\r" not in err
    assert not good(tmp_path / "store", "import", "folder", tmp_path / "pictures", "-q").err


def test_help_needs_no_command_module(monkeypatch):
    monkeypatch.setattr("importlib.import_module", lambda *_: pytest.fail("a module was loaded"))
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.suppress(SystemExit):
        run(["--help"])
    assert all(f"\n  {command}" in out.getvalue() for command in _COMMANDS)


def test_building_indexes_says_how_far_it_is(gallery, tmp_path, monkeypatch):
    pytest.importorskip("faiss")
    from olrsearch.core.progress import Heartbeat

    store = gallery.copy(tmp_path / "store")
    monkeypatch.setattr("olrsearch.apps.cli.common.Heartbeat", lambda write: Heartbeat(write, every=0.0))
    err = good(store, "index", "build", "--recipe", "sq8").err
    assert "label scores: 1 of 1 segments" in err
    assert "sq8: 5 of 5 indexes" in err


def test_nothing_is_promised_before_a_recipe_fails(gallery, tmp_path):
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    called = call(gallery.copy(tmp_path / "store"), "index", "build", "--recipe", "torch")
    assert called.code == 1
    (line,) = called.err.splitlines()
    assert line.startswith("error: torch sees no GPU")


@pytest.mark.parametrize(
    ("load", "before", "after"), [(9.0, None, "PASSIVE"), (0.1, None, None), (9.0, "ACTIVE", "ACTIVE")]
)
def test_threads_sleep_while_they_wait_where_the_machine_is_busy(monkeypatch, load, before, after):
    monkeypatch.setattr(os, "getloadavg", lambda: (load, load, load))
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    monkeypatch.setattr(os, "environ", {} if before is None else {"OMP_WAIT_POLICY": before})
    wait_without_spinning()
    assert os.environ.get("OMP_WAIT_POLICY") == after


def test_a_store_without_labels_lists_none_and_says_so(tmp_path):
    write_pictures(tmp_path / "pictures", 2)
    good(tmp_path / "store", "import", "folder", tmp_path / "pictures")
    listed = good(tmp_path / "store", "label", "list")
    assert listed.out == ""
    assert "no label is stored" in listed.err


@pytest.mark.parametrize("columns", ["1", "5", "20"])
def test_narrow_terminals_and_no_colour(gallery, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setenv("NO_COLOR", "1")
    for words in (("search", "--help"), ("list", "-k", 2), ("search", "bright", "-k", 2), ("label", "list")):
        assert "\x1b" not in good(gallery.store, *words).out


def test_streams_that_are_closed_are_no_fault(gallery, monkeypatch, tmp_path):
    for stream, words in (("stdout", ("list",)), ("stderr", ("encode",)), ("stderr", ("search", "bright"))):
        with monkeypatch.context() as patched:
            patched.setattr(sys, stream, None)
            assert run(["--store", str(gallery.copy(tmp_path / f"{stream}{words[0]}")), *words]) == 0


def test_an_import_says_what_comes_next_until_something_is_encoded(gallery, tmp_path):
    store = tmp_path / "a store"
    first = good(store, "import", "folder", gallery.data, "--limit", 3)
    assert (
        f"next: olrsearch --store '{store}' list shows them, olrsearch --store '{store}' encode" in first.err
    )
    assert "next: " not in good(store, "import", "folder", gallery.data, "--limit", 3).err
    other = gallery.copy(tmp_path / "encoded")
    assert "next: " not in good(other, "import", "folder", gallery.data, "--name", "more", "--limit", 2).err


JSON = (
    ("store", "info"),
    ("store", "verify"),
    ("label", "list"),
    ("list", "-k", 3),
    ("search", "bright", "-k", 3),
    ("similar", name(1), "-k", 3),
    ("describe", name(1)),
    ("encoders", "list"),
    ("index", "info"),
    ("look", "norms"),
    ("audit", "history"),
    ("audit", "runs"),
    ("audit", "rules"),
)


@pytest.mark.parametrize("words", JSON, ids=lambda words: " ".join(map(str, words[:2])))
def test_json_is_all_of_stdout(gallery, words):
    rows = good(gallery.store, *words, "--json", "-v").rows
    assert all(isinstance(row, dict) for row in rows)


def test_quiet_hides_the_warnings_of_libraries(monkeypatch, capsys):
    def warned():
        start_logging()
        logging.getLogger().setLevel(logging.ERROR)  # as -q does
        warnings.warn("what a library warns of", stacklevel=1)
        return 0

    monkeypatch.setattr("olrsearch.apps.cli.commands.run", warned)
    monkeypatch.setattr("olrsearch.apps.cli.commands.wait_without_spinning", lambda: None)
    with warnings.catch_warnings(action="always"), pytest.raises(SystemExit):
        main()
    logging.captureWarnings(capture=False)
    assert "library" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("message", "advised"),
    [
        ("run olrsearch encode", "run olrsearch --store 'my faces' encode"),
        ("run `olrsearch audit run --resume`", "run `olrsearch --store 'my faces' audit run --resume`"),
        ("run olrsearch import first", "run olrsearch --store 'my faces' import first"),
        ("write one with olrsearch words woman", "write one with olrsearch --store 'my faces' words woman"),
        ("it is no olrsearch store: make one", "it is no olrsearch store: make one"),
        ("run olrsearch --store x encode", "run olrsearch --store x encode"),
        ("pip install 'olrsearch[html]', olrsearch 1.2", "pip install 'olrsearch[html]', olrsearch 1.2"),
    ],
)
def test_errors_advise_commands_for_the_store_that_was_typed(monkeypatch, tmp_path, message, advised):
    def fail(_):
        raise OlrsearchError(message)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("olrsearch.Store.info", fail)
    Store.create("my faces").close()
    assert call("my faces", "store", "info").err == f"error: {advised}\n"
    monkeypatch.setenv("OLRSEARCH_STORE", "my faces")
    assert said("store", "info") == (1, "", f"error: {message}\n")
