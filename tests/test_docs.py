"""What the documentation shows is true: links lead somewhere, commands parse and run."""

import ast
import itertools
import re
import shlex
import shutil
from pathlib import Path
from types import SimpleNamespace

import click
import pytest
from command import call, good

from olrsearch import Store
from olrsearch.apps.cli import cli

ROOT = Path(__file__).parents[1]
PAGES = [
    path
    for path in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "indexes").glob("*.md")]
    if path.exists()
]
PLACEHOLDERS = ("[", "…", "...", "{")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")

# What stands for the reader's own things, and what the tests' store of avatars has for it.
STANDS_FOR = {
    "holiday.jpg": "portrait.jpg",
    "Male": "Beard",
    "male": "beard",
    "Wavy_Hair": "Long_Hair",
    "wavy hair": "long hair",
    "mouth slightly open": "mouth open",
    "000456.jpg": "000156.jpg",
    "Young": "Bald",
}


def blocks(page, *languages):
    return [text for language, text in FENCE.findall(page.read_text("utf-8")) if language in languages]


def commands(page):
    """The `olrsearch …` lines of a page's code blocks, and of its `code` in running text, as words."""
    text = page.read_text("utf-8")
    lines = [line for block in blocks(page, "", "sh") for line in block.splitlines()]
    lines += re.findall(r"^ {4}(olrsearch .*)$", text, re.MULTILINE)
    lines += re.findall(r"`(olrsearch [^`\n]+)`", FENCE.sub("", text))
    found = []
    for line in lines:
        shown = line.strip().removeprefix("$ ").split("   ")[0]  # what is said beside a command
        if shown.startswith("olrsearch ") and not any(mark in shown for mark in PLACEHOLDERS):
            found.append(shlex.split(shown, comments=True)[1:])
    return found


ALL = [
    pytest.param(words, id=f"{page.relative_to(ROOT)}: {' '.join(words)}")
    for page in PAGES
    for words in commands(page)
]


def test_there_are_commands_to_look_at():
    assert len(ALL) > 40


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_something(page):
    for target in LINK.findall(FENCE.sub("", page.read_text("utf-8"))):
        if not re.match(r"[a-z]+:", target) and not target.startswith("#"):
            assert (page.parent / target.partition("#")[0]).exists(), target


@pytest.mark.parametrize(
    "page", [ROOT / "CONTRIBUTING.md", ROOT / "docs" / "papers.md"], ids=lambda page: page.name
)
def test_modules_are_where_a_page_says(page):
    named = set(re.findall(r"`((?:\w+/)+(?:\w+\.\w+)?)`", page.read_text("utf-8")))
    assert len(named) > 10
    assert not [
        name for name in named if not any((home / name).exists() for home in (ROOT, ROOT / "olrsearch"))
    ]


@pytest.mark.parametrize("words", ALL)
def test_commands_in_the_docs_have_the_options_shown(words):
    command, context, rest = cli, click.Context(cli, info_name="olrsearch"), list(words)
    while isinstance(command, click.Group) and rest:
        options, rest = command.make_parser(context).parse_args(rest)[:2]
        context.params.update(options)
        if not rest:
            break
        _, found, _ = command.resolve_command(context, rest)  # with the options of every command
        assert found is not None, f"no command {rest[0]!r}"
        command, context, rest = found, click.Context(found, parent=context, info_name=rest[0]), rest[1:]
    # Arguments may be left out where the running text speaks of a command; options must exist.
    context.resilient_parsing = True
    command.make_parser(context).parse_args(rest)


def asks(words):
    """Whether an example asks a store: it needs no data of the reader's, and no training."""
    return words[0] in {"search", "similar", "describe"}


EXAMPLES = [
    pytest.param(words, id=" ".join(words))
    for page in (
        ROOT / "README.md",
        *(ROOT / "docs" / name for name in ("queries.md", "datasets.md", "tutorial.md")),
        *sorted((ROOT / "docs" / "howto").glob("*.md")),
    )
    for words in commands(page)
    if asks(words) and len(words) > 1
]


@pytest.fixture(scope="module")
def reader(world, tmp_path_factory):
    """A reader's folder: a store they may change, and a picture that is in no store."""
    home = tmp_path_factory.mktemp("reader")
    world.copy(home / "faces")
    for name in ("portrait.jpg", "holiday.jpg"):
        shutil.copy(world.data / "img_align_celeba" / "000003.jpg", home / name)
    return SimpleNamespace(home=home, store=home / "faces")


def instead(text):
    for shown, ours in STANDS_FOR.items():
        text = text.replace(shown, ours)
    return text


@pytest.mark.parametrize("words", EXAMPLES)
def test_examples_run(reader, words, monkeypatch):
    monkeypatch.chdir(reader.home)
    called = good(reader.store, *map(instead, words))
    assert called.out
    for name in (word for option, word in itertools.pairwise(words) if option == "--sheet"):
        assert (reader.home / name).stat().st_size > 10_000


@pytest.mark.parametrize(
    ("page", "number"),
    [
        (page, number)
        for page in (
            ROOT / "README.md",
            *(ROOT / "docs" / name for name in ("queries.md", "datasets.md", "encoders.md", "looks.md")),
        )
        for number in range(len(blocks(page, "python")))
    ],
    ids=lambda value: value.name if isinstance(value, Path) else str(value),
)
def test_python_examples_run(reader, world, page, number, monkeypatch, capsys):
    monkeypatch.chdir(reader.home)
    monkeypatch.setattr("sys.argv", ["example"])
    if not (reader.home / "celeba").exists():
        (reader.home / "celeba").symlink_to(world.data)
    code = instead(blocks(page, "python")[number])
    ast.parse(code)
    with Store.open(reader.store) as store:
        names = {"store": store, "my_vector": store.looks.embedding("000001.jpg")[0]}
        exec(compile(code, str(page), "exec"), names)
    if page.name == "README.md":
        assert (reader.home / "answer.html").stat().st_size > 10_000
        assert capsys.readouterr().out.startswith("1 ")


def test_help_of_every_command_says_something():
    def walk(command, context):
        assert command.get_short_help_str(), context.command_path
        assert call("unused", *context.command_path.split()[1:], "--help").code == 0
        for option in command.params:
            if isinstance(option, click.Option) and not option.hidden:
                assert option.help, f"{context.command_path} {option.opts[-1]}"
        if not isinstance(
            command, click.Group
        ):  # how it is called; the reference shows it, and it is parsed there
            shown = [line.strip() for line in (command.epilog or "").splitlines()[2:]]
            assert shown, context.command_path
            assert all(
                shlex.split(line)[0] == "olrsearch" and context.command_path.split()[-1] in line
                for line in shown
            )
        if isinstance(command, click.Group):
            for name in command.list_commands(context):
                child = command.get_command(context, name)
                walk(child, click.Context(child, parent=context, info_name=name))

    walk(cli, click.Context(cli, info_name="olrsearch"))
