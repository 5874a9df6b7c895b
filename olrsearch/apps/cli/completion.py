"""What the shell offers at the tab key: labels, images, spaces and recipes of the store that is named.

A store that cannot be read offers nothing: whoever presses tab wants no error.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from click.shell_completion import CompletionItem

from olrsearch.apps.cli.everywhere import this_call

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import TypeAlias

    import click

    from olrsearch import Store

    Completion: TypeAlias = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]

_MOST_IMAGES: Final = 30
_LAST_LABEL: Final = re.compile(r"(.*[&|!(),]\s*|)(.*)", re.DOTALL)
"""A query, and the label at its end that is being written."""
_LAST_CONDITION: Final = re.compile(r"(.*(?:\band|\bor|\bnot|\()\s+|)(.*)", re.DOTALL | re.IGNORECASE)
_WHOLE: Final = re.compile(r"()(.*)", re.DOTALL)
_LIST: Final = re.compile(r"(.*,\s*|)(.*)", re.DOTALL)


def one_of(*names: str) -> Completion:
    """Names that are always the same."""
    return lambda _ctx, _parameter, written: _fitting(names, written, _WHOLE)


def labels(*, listed: bool = False, ending: str = "") -> Completion:
    """The labels of the store.

    Args:
        listed: Several may be written, with commas between them.
        ending: What follows a label.
    """
    return _of_store(
        lambda store, _: [name + ending for name in store.labels.names()], _LIST if listed else _WHOLE
    )


def query() -> Completion:
    """Labels that the newest encoder knows, at the end of a query."""
    return _of_store(lambda store, _: _known_labels(store), _LAST_LABEL)


def edits() -> Completion:
    """Labels that the newest encoder knows, after the sign of an edit."""
    return _of_store(lambda store, _: _known_labels(store), re.compile(r"([-+!]?)(.*)", re.DOTALL))


def words() -> Completion:
    """The own words of the encoders of posteriors."""

    def found(store: Store, _: str) -> Iterable[str]:
        entries = (entry for entry in store.encoders.list() if entry.layout == "posterior")
        return dict.fromkeys(name for entry in entries for name in entry.labels)

    return _of_store(found, re.compile(r"(!?)(.*)", re.DOTALL))


def conditions() -> Completion:
    """Conditions over partitions and labels."""

    def found(store: Store, _: str) -> Iterable[str]:
        yield from (f"partition = '{partition}'" for partition in ("train", "val", "test"))
        yield from (f"{name} = {value}" for name in store.labels.names() for value in ("present", "absent"))

    return _of_store(found, _LAST_CONDITION)


def images(*, files: bool = False) -> Completion:
    """Keys of images, as many as somebody reads.

    Args:
        files: Names of files are offered too.
    """

    def found(store: Store, written: str) -> Iterable[str]:
        quoted = re.sub(r"([%_\\])", r"\\\1", written).replace("'", "''")
        return (image.key for image in store.images(f"key like '{quoted}%'", _MOST_IMAGES))

    keys = _of_store(found, _WHOLE)

    def offered(ctx: click.Context, parameter: click.Parameter, written: str) -> list[CompletionItem]:
        # Files first: of the scripts of click, bash's drops what came before them.
        return [*([CompletionItem(written, type="file")] if files else []), *keys(ctx, parameter, written)]

    return offered


def spaces() -> Completion:
    """Names of the spaces of the store."""
    return _of_store(lambda store, _: (space["name"] for space in store.info()["spaces"]), _WHOLE)


def encoders() -> Completion:
    """Names of encoders: shipped ones, and those of the store."""

    def found(ctx: click.Context, parameter: click.Parameter, written: str) -> list[CompletionItem]:
        del parameter
        from olrsearch import shipped_encoders

        shipped = [entry.name for entry in shipped_encoders()]
        own = _asked(ctx, lambda store: [entry.name for entry in store.encoders.list()])
        return _fitting([*shipped, *own], written, _WHOLE)

    return found


def audits() -> Completion:
    """Names of the audits of the store."""
    return _of_store(lambda store, _: (run.run for run in store.audit.runs()), _WHOLE)


def datasets() -> Completion:
    """Names of the data sets of the store."""
    return _of_store(lambda store, _: (item["name"] for item in store.info()["datasets"]), _WHOLE)


def _known_labels(store: Store) -> Iterable[str]:
    from olrsearch import OlrsearchError

    try:
        return store.labels.known()
    except OlrsearchError:  # nothing is encoded yet
        return store.labels.names()


def _of_store(find: Callable[[Store, str], Iterable[str]], ending: re.Pattern[str]) -> Completion:
    """What a store offers for the end of what is written."""

    def offered(ctx: click.Context, parameter: click.Parameter, written: str) -> list[CompletionItem]:
        del parameter
        return _fitting(_asked(ctx, lambda store: find(store, written)), written, ending)

    return offered


def _asked(ctx: click.Context, find: Callable[[Store], Iterable[str]]) -> list[str]:
    from olrsearch import OlrsearchError, Store

    try:
        with Store.open(this_call(ctx).store, read_only=True) as store:
            return list(find(store))
    except (OlrsearchError, OSError):
        return []


def _fitting(names: Iterable[str], written: str, ending: re.Pattern[str]) -> list[CompletionItem]:
    """Names that go on from the end of what is written, in any spelling, after what stands before it."""
    found = ending.fullmatch(written)
    before, begun = ("", written) if found is None else found.groups()
    begun = _folded(begun)
    return [CompletionItem(before + name) for name in dict.fromkeys(names) if _folded(name).startswith(begun)]


def _folded(name: str) -> str:
    return name.casefold().replace("_", " ")
