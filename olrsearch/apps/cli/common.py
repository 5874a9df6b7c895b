"""What several commands share: the store, progress, JSON lines."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from typing import TYPE_CHECKING, Any, TextIO

import click

from olrsearch.apps.cli.everywhere import Group as Group  # noqa: PLC0414 - handed on
from olrsearch.apps.cli.everywhere import this_call
from olrsearch.core.counted import counted
from olrsearch.core.progress import Heartbeat, T, Track, silent, size
from olrsearch.core.shown import escaped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from tqdm import tqdm

    from olrsearch import Store


def examples(*lines: str) -> str:
    """The end of a command's help: how it is called."""
    return "\b\n" + "\n".join(
        ["Examples:" if len(lines) > 1 else "Example:", *(f"  {line}" for line in lines)]
    )


def store_path(ctx: click.Context) -> Path:
    """The store named by `--store`, the environment or the default."""
    return this_call(ctx).store


@contextlib.contextmanager
def open_store(ctx: click.Context, *, read_only: bool = False, create: bool = False) -> Iterator[Store]:
    """The store of this call, closed at the end.

    If `create` and there is none it is made first, and not kept where nothing gets into it.
    """
    from olrsearch import Store

    path, track = store_path(ctx), tracker(ctx)
    made = create and not (path / "store.json").exists()
    if made:
        say(f"creating a store in {path}")
        opened = Store.create(path, track=track)
    else:
        opened = Store.open(path, read_only=read_only, track=track)
    try:
        with opened as store:
            yield store
    finally:
        if made and Store.discard_empty(path):
            say(f"nothing was imported: {path} was removed again")


def open_to_measure(ctx: click.Context) -> AbstractContextManager[Store]:
    """The store, so that what the teacher says can be kept for the next protocol where that is possible."""
    return open_store(ctx, read_only=not os.access(store_path(ctx), os.W_OK))


def tracker(ctx: click.Context) -> Track:
    """Progress on stderr: bars on a terminal, a line every half minute elsewhere, silence where asked for."""
    if this_call(ctx).quiet:
        return silent
    return _bars if on_terminal(sys.stderr) else Heartbeat(say)


def on_terminal(stream: TextIO | None) -> bool:
    """Whether somebody looks at a stream; it is None where the caller has closed it."""
    return stream is not None and stream.isatty()


def _bars(items: Iterable[T], *, total: int, what: str, unit: str = "images") -> Iterator[T]:
    with _bar(total, what, unit) as bar:
        for item in items:
            yield item
            bar.update(size(item))


@contextlib.contextmanager
def counter(
    ctx: click.Context, *, total: int, what: str, unit: str = "images"
) -> Iterator[Callable[[int], None]]:
    """A function to call with how many units more are done; shows what `tracker` would."""
    if this_call(ctx).quiet:
        yield lambda _: None
    elif on_terminal(sys.stderr):
        with _bar(total, what, unit) as bar:
            yield bar.update
    else:
        yield Heartbeat(say).work(total=total, what=what, unit=unit).update


def _bar(total: int, what: str, unit: str) -> tqdm:
    from tqdm import tqdm

    return tqdm(total=total, desc=what, unit=f" {unit}", file=sys.stderr, smoothing=0.1)


def say(text: str) -> None:
    """A line for the person at the terminal: stderr, so that stdout stays data; nothing with `-q`.

    As `tell`, it shows control characters instead of sending them to the terminal.
    """
    if not this_call().quiet:
        click.echo(escaped(text), err=True)


def tell(text: str) -> None:
    r"""A line of an answer for people, on stdout.

    Reasons, names and keys were typed by somebody, or came with a file: what a terminal would obey, or take
    for the end of the line, is shown as `\x1b`.
    """
    click.echo(escaped(text))


def images(number: int) -> str:
    """`1 image`, `2 images`."""
    return counted(number, "image")


def emit_json(value: Any) -> None:
    """One JSON object, on one line of stdout."""
    click.echo(json.dumps(value, ensure_ascii=False, allow_nan=False))


def show(
    found: Sequence[dict[str, Any]],
    lines: Iterable[str],
    *,
    as_json: bool,
    err: bool = False,
    nothing: str | None = None,
) -> None:
    """Print what was found or done: a JSON object each, or lines of text.

    Args:
        found: JSON-ready.
        lines: The same for people; not asked for where JSON is printed.
        as_json: Which of the two.
        err: Lines are no data and go to stderr.
        nothing: What to say to people where nothing was found.
    """
    if as_json:
        for item in found:
            emit_json(item)
        return
    for line in lines:
        (say if err else tell)(line)
    if nothing is not None and not found:
        say(nothing)


def say_notes(notes: Iterable[str]) -> None:
    """What a reader must know beside an answer, on stderr."""
    for note in notes:
        say(f"note: {note}")
