"""What several commands share: the store, progress, JSON lines."""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
from typing import TYPE_CHECKING, Any

import click

from olrsearch.core.progress import T, Track, silent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from olrsearch import Store


_QUOTED = re.compile(r'"((?:[^"]|"")+)"')


class Group(click.Group):
    """A group whose help says of every command what it does, in a whole sentence."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """As click does, with no summary cut."""
        known = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl(
                [(name, command.get_short_help_str(limit=1000)) for name, command in known if command]
            )


def examples(*lines: str) -> str:
    """The end of a command's help: how it is called."""
    return "\b\n" + "\n".join(
        ["Examples:" if len(lines) > 1 else "Example:", *(f"  {line}" for line in lines)]
    )


def store_path(ctx: click.Context) -> Path:
    """The store named by `--store`, the environment or the default."""
    path: Path = ctx.obj["store"]
    return path


@contextlib.contextmanager
def open_store(ctx: click.Context, *, read_only: bool = False, create: bool = False) -> Iterator[Store]:
    """The store of this call, closed at the end; made first if `create` and there is none."""
    from olrsearch import Store

    path, track = store_path(ctx), tracker(ctx)
    if create and not (path / "store.json").exists():
        say(f"creating a store in {path}")
        opened = Store.create(path, track=track)
    else:
        opened = Store.open(path, read_only=read_only, track=track)
    with opened as store:
        yield store


def open_to_measure(ctx: click.Context) -> AbstractContextManager[Store]:
    """The store, so that what the teacher says can be kept for the next protocol where that is possible."""
    return open_store(ctx, read_only=not os.access(store_path(ctx), os.W_OK))


def tracker(ctx: click.Context) -> Track:
    """Progress bars on stderr, or silence where nobody looks."""
    if ctx.obj["quiet"] or not sys.stderr.isatty():
        return silent
    return _bar


def _bar(items: Iterable[T], *, total: int, what: str, unit: str = "images") -> Iterator[T]:
    from tqdm import tqdm

    with tqdm(total=total, desc=what, unit=f" {unit}", file=sys.stderr, smoothing=0.1) as bar:
        for item in items:
            yield item
            bar.update(len(item) if hasattr(item, "__len__") else 1)


@contextlib.contextmanager
def counter(
    ctx: click.Context, *, total: int, what: str, unit: str = "images"
) -> Iterator[Callable[[int], None]]:
    """A function to call with how much more is done; shows a bar where `tracker` would."""
    if ctx.obj["quiet"] or not sys.stderr.isatty():
        yield lambda _: None
        return
    from tqdm import tqdm

    with tqdm(total=total, desc=what, unit=f" {unit}", file=sys.stderr, smoothing=0.1) as bar:
        yield bar.update


def say(text: str) -> None:
    """A line for the person at the terminal: stderr, so that stdout stays data."""
    click.echo(text, err=True)


def images(number: int) -> str:
    """`1 image`, `2 images`."""
    return f"{number:,} image{'' if number == 1 else 's'}"


def emit_json(value: Any) -> None:  # noqa: ANN401 - whatever JSON can hold
    """One JSON object, on one line of stdout."""
    click.echo(json.dumps(value, ensure_ascii=False, allow_nan=False))


def split_names(text: str | None) -> list[str] | None:
    """Names that are given as `A, B, C`; None where none are."""
    return None if text is None else [part.strip() for part in text.split(",")]


def say_notes(notes: Iterable[str]) -> None:
    """What a reader must know beside an answer, on stderr."""
    for note in notes:
        say(f"note: {note}")


def split_name(text: str, separator: str) -> tuple[str, str | None]:
    """A label's name, in double quotes or not, and what follows the separator (None where it is missing).

    In quotes a name may hold the separator, and a double quote doubled, as in queries.
    """
    if quoted := _QUOTED.match(text):
        name, rest = quoted.group(1).replace('""', '"'), text[quoted.end() :]
        if not rest:
            return name, None
        if rest.startswith(separator):
            return name, rest[len(separator) :]
    before, found, after = text.partition(separator) if separator == "=" else text.rpartition(separator)
    return (before, after) if found else (text, None)


def parse_pairs(pairs: Iterable[str], option: str, form: str) -> dict[str, str]:
    """Options such as `LABEL=IMAGE` as a dict; `option` and `form` are for the error.

    Raises:
        click.UsageError: no equals sign, or the same name twice.
    """
    found: dict[str, str] = {}
    for pair in pairs:
        name, value = split_name(pair, "=")
        if not name or not value:
            raise click.UsageError(f"{option} wants {form}, found {pair!r}")
        if name in found:
            raise click.UsageError(f"{option} names {name!r} twice")
        found[name] = value
    return found
