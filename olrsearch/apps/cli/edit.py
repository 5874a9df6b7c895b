"""`olrsearch edit`: add labels to an image and remove others; pictures that are made, real images like it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from olrsearch.apps.cli import completion
from olrsearch.apps.cli.columns import left, width
from olrsearch.apps.cli.common import examples, open_store, say, say_notes, show
from olrsearch.apps.cli.options import NATURAL
from olrsearch.apps.cli.search import ranking_options, render

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from olrsearch import EditedImage, EditGrid

_MOST: Final = 5
"""Labels beside the asked ones that are worth a line."""


class _EditCommand(click.Command):
    """A command that takes `-Eyeglasses` for an edit, though click would read options of one letter in it."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click does, with removals written `!`, which means the same and is no option."""
        options = [option for option in self.params if isinstance(option, click.Option)]
        spellings = {name for option in options for name in (*option.opts, *option.secondary_opts)}
        valued = {name for option in options if not (option.is_flag or option.count) for name in option.opts}
        written, previous = list[str](), ""
        for place, arg in enumerate(args):
            if arg == "--":
                written += args[place:]
                break
            removes = _is_removal(arg, spellings, valued) and previous not in valued
            written.append(f"!{arg[1:]}" if removes else arg)
            previous = arg
        return super().parse_args(ctx, written)


def _is_removal(arg: str, spellings: set[str], valued: set[str]) -> bool:
    """Whether an argument removes a label: no option, and no options of one letter, as `-k5` and `-qv`."""
    if len(arg) < 2 or arg[0] != "-" or arg[1] == "-" or arg in spellings:
        return False
    if arg[:2] in valued and arg[2:].isdecimal():
        return False
    flags = {name[1] for name in spellings - valued if len(name) == 2}
    return not set(arg[1:]) <= flags


@click.command(
    "edit",
    cls=_EditCommand,
    epilog=examples(
        "olrsearch edit 000001.jpg +Smiling -Eyeglasses +Chubby^1.5 --sheet edited.html",
        "olrsearch edit 000001.jpg +Smiling --find -k 10 --where \"partition = 'test'\"",
    ),
)
@click.argument("image", shell_complete=completion.images(files=True))
@click.argument("edits", nargs=-1, required=True, shell_complete=completion.edits())
@click.option(
    "--way",
    type=click.Choice(["directions", "paper"]),
    default="directions",
    show_default=True,
    help="Move the whole embedding and hold the other labels, or replace the asked labels' vectors alone.",
)
@click.option(
    "--seed", type=NATURAL, help="With --way paper: samples of the labels' Gaussians, instead of their means."
)
@click.option("--grid", is_flag=True, help="Every edit in several strengths.")
@click.option("--find", is_flag=True, help="Real images like the edited one, instead of pictures of it.")
@click.option(
    "--by",
    multiple=True,
    shell_complete=completion.labels(),
    help="With --find: be alike in this label only (repeatable).",
)
@click.option("--include-self", is_flag=True, help="With --find: keep IMAGE in the answer.")
@ranking_options
@click.pass_context
def edit_command(
    ctx: click.Context,
    /,
    image: str,
    edits: tuple[str, ...],
    grid: bool,
    find: bool,
    sheets: tuple[Path, ...],
    as_json: bool,
    **options: Any,
) -> None:
    """Add labels to IMAGE and remove others: +Smiling -Eyeglasses, and how strongly: +Chubby^1.5.

    IMAGE is a key, id:N, or an image file that need not be in the store. Its picture is made by the space's
    decoder (olrsearch train decoder), and is no evidence of how anybody looks. !Eyeglasses removes as
    -Eyeglasses does. -k, --offset, --where, --by and --include-self are of --find.
    """
    if grid and find:
        raise click.UsageError("--grid makes pictures and --find finds images: one of the two")
    of_find = {name: options.pop(name) for name in ("k", "offset", "where", "by", "include_self")}
    if not find:
        _refuse_of_find(ctx, of_find)
    with open_store(ctx, read_only=True) as store:
        if find:
            of_find["by"] = of_find["by"] or None
            ranking = store.edits.find(image, edits, **of_find, **options)
            render(store, ranking, sheets, as_json=as_json, asked=[image])
            return
        found: EditedImage | EditGrid
        if grid:
            found = store.edits.grid(image, edits, **options)
            rows, lines = found.to_dicts(), _grid_lines(found)
        else:
            found = store.edits.edit(image, edits, **options)
            rows, lines = [found.to_dict()], _lines(found)
        drawn = [store.edits.sheet(found, path) for path in sheets]  # refused where there is no decoder
        say_notes(found.notes)
        show(rows, lines, as_json=as_json)
        for path in drawn:
            say(f"sheet: {path}")


def _refuse_of_find(ctx: click.Context, given: dict[str, Any]) -> None:
    """Refuse options of --find without it."""
    for name in given:
        if ctx.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE:
            option = next(item for item in ctx.command.params if item.name == name)
            raise click.UsageError(f"{option.opts[-1]} is of --find: add it, or leave {option.opts[-1]} out")


def _lines(found: EditedImage) -> Iterator[str]:
    yield f"{found.image} {found.edits}"
    shown = [*found.asked, *found.changed[:_MOST]]
    names = [{"added": "+", "removed": "-"}.get(item.asked or "", " ") + item.label for item in shown]
    columns = max(map(width, names))
    for name, item in zip(names, shown, strict=True):
        yield f"  {left(name, columns)}  {item.before:.3f} → {item.after:.3f}"


def _grid_lines(found: EditGrid) -> Iterator[str]:
    columns = max(width(cell.edits) for cell in found)
    for cell in found:
        chances = "  ".join(f"{label} {chance:.3f}" for label, chance in cell.probabilities.items())
        yield f"{left(cell.edits, columns)}  {chances}"
