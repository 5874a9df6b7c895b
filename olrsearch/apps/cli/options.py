"""Options that several commands have, and how their values are read.

Options are named as the arguments of the verbs they are for, so that commands hand them on as they are.
"""

from __future__ import annotations

import getpass
import re
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import click

from olrsearch.apps.cli import completion

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import TypeAlias

    Option: TypeAlias = Callable[[Callable[..., Any]], Callable[..., Any]]

PATH: Final = click.Path(path_type=Path)
NATURAL: Final = click.IntRange(min=0)
POSITIVE: Final = click.IntRange(min=1)
_QUOTED: Final = re.compile(r'"((?:[^"]|"")+)"')


class _Drawn(click.Path):
    """A file to draw: a form that is not written is refused before anything is searched or measured."""

    def __init__(self, check: Callable[[Path], None]) -> None:
        super().__init__(path_type=Path)
        self._check = check

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        path = cast("Path", super().convert(value, param, ctx))
        self._check(path)
        return path


def _check_sheet(path: Path) -> None:
    from olrsearch.api.pictures import check_sheet  # numpy comes with it, which a command's help does without

    check_sheet(path)


def _check_plot(path: Path) -> None:
    from olrsearch.api.pictures import check_plot

    check_plot(path)


SHEET: Final = _Drawn(_check_sheet)
PLOT: Final = _Drawn(_check_plot)


def together(*options: Option) -> Option:
    """Several options as one, in the order in which help lists them."""
    return lambda command: reduce(lambda made, option: option(made), reversed(options), command)


def json_option(text: str) -> Option:
    """Whether to print JSON; the text says what is one object."""
    return click.option("--json", "as_json", is_flag=True, help=text)


def space_option(newest: str) -> Option:
    """Which space; the text says which is taken when none is named."""
    return click.option(
        "--space",
        help=f"Name, `olr` for the only `olr-…`, or fingerprint; the newest {newest}.",
        shell_complete=completion.spaces(),
    )


def seed_option(what: str) -> Option:
    """The seed of something random."""
    return click.option("--seed", type=NATURAL, default=0, show_default=True, help=what)


def conditions_option(text: str) -> Option:
    """A condition on images; of several all must hold."""
    return click.option(
        "--where",
        multiple=True,
        callback=_all_of,
        help=f"{text} Of several all must hold.",
        shell_complete=completion.conditions(),
    )


def _all_of(ctx: click.Context, parameter: click.Parameter, given: tuple[str, ...]) -> str | None:
    del ctx, parameter
    if len(given) < 2:
        return given[0] if given else None
    return " and ".join(f"({condition})" for condition in given)


where_option: Final = conditions_option("Only images this selects, e.g. \"partition = 'test'\".")
sheets_option: Final = click.option(
    "--sheet",
    "sheets",
    type=SHEET,
    multiple=True,
    help="Also write a contact sheet, .html or .png (repeatable).",
)
meanings_option: Final = click.option(
    "--meanings", metavar="PATH", help="A table of what words ask for; meanings.toml in the store's folder."
)


def who_option(text: str) -> Option:
    """Whose decisions these are: the user's where nobody says it."""
    return click.option("--who", default=_user, show_default="your user name", help=text)


def _user() -> str:
    """The user's name.

    Raises:
        click.UsageError: the system has none, as in a container whose user number stands in no list.
    """
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # Python before 3.13 raises what the system's list does
        raise click.UsageError("this user has no name on this system: say who decides with --who") from None


report_option: Final = click.option("--out", type=PATH, help="Also write FILE.json and FILE.md.")
on_error_option: Final = click.option(
    "--on-error",
    type=click.Choice(["skip", "fail"]),
    default="skip",
    show_default=True,
    help="Unreadable images: count and skip them, or stop at the first.",
)


def names(ctx: click.Context, parameter: click.Parameter, text: str | None) -> list[str] | None:
    """Names that are given as `A, B, C`; None where none are."""
    del ctx, parameter
    return None if text is None else [part.strip() for part in text.split(",")]


def pairs(ctx: click.Context, parameter: click.Parameter, given: Iterable[str]) -> dict[str, str]:
    """Options such as `LABEL=IMAGE` as a dict.

    Raises:
        click.UsageError: no equals sign, or the same name twice.
    """
    del ctx
    option, found = parameter.opts[0], dict[str, str]()
    for pair in given:
        name, value = split_name(pair, "=")
        if not name or not value:
            raise click.UsageError(f"{option} wants {parameter.metavar}, found {pair!r}")
        if name in found:
            raise click.UsageError(f"{option} names {name!r} twice")
        found[name] = value
    return found


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
