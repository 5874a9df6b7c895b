"""`olrsearch imagine` and `olrsearch interpolate`: pictures that a decoder makes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from olrsearch.apps.cli import completion
from olrsearch.apps.cli.common import examples, open_store, say, say_notes, show
from olrsearch.apps.cli.options import (
    NATURAL,
    json_option,
    meanings_option,
    seed_option,
    sheets_option,
    space_option,
    together,
)

if TYPE_CHECKING:
    from olrsearch import Imagined, Store

_shared_options = together(
    click.option(
        "--taken-as",
        type=click.Choice(["either", "words", "image"]),
        default="either",
        show_default=True,
        help="What a name is that could be both; a word of the encoder's own goes first.",
    ),
    click.option(
        "--vectors",
        is_flag=True,
        help="Take words that are no labels by their own vectors: for encoders trained on word vectors.",
    ),
    click.option(
        "--find", type=NATURAL, default=0, show_default=True, help="Real images shown beside each picture."
    ),
    meanings_option,
    sheets_option,
    click.option(
        "--out",
        type=click.Path(path_type=Path, file_okay=False),
        metavar="FOLDER",
        help="Also write each picture as a PNG.",
    ),
    space_option("of posteriors"),
    json_option("Everything but the pixels, as one JSON object."),
)


@click.command(
    "imagine",
    epilog=examples(
        "olrsearch imagine Bag -n 24 --sheet bags.png",
        "olrsearch imagine Smiling '!Male' --temperature 0.7 --out pictures",
        "olrsearch imagine 000001.png --sheet again.html",
    ),
)
@click.argument("what", nargs=-1, required=True, shell_complete=completion.words())
@click.option(
    "-n", "--count", type=int, help="Pictures: samples of words, 16 by default; of an image 1, decoded anew."
)
@seed_option("Of the samples.")
@click.option(
    "--temperature",
    type=float,
    default=1.0,
    show_default=True,
    help="Standard deviations are multiplied by it; 0 is the mean.",
)
@_shared_options
@click.pass_context
def imagine_command(
    ctx: click.Context,
    /,
    what: tuple[str, ...],
    sheets: tuple[Path, ...],
    out: Path | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Make pictures of words, or make an image anew: WHAT are words, or one image.

    The space's encoder needs a decoder. Pictures are samples of the Gaussian that it learned of a label, or
    that the words define; of an image, what is decoded from its posterior. They are made, not found, and
    marked so: on sheets, in JSON and in the files.
    """
    with open_store(ctx, read_only=True) as store:
        _render(store, store.imagine(what, **options), sheets, out, as_json=as_json)


@click.command(
    "interpolate",
    epilog=examples(
        "olrsearch interpolate Coat Dress --sheet way.png",
        "olrsearch interpolate 000001.png 000002.png --steps 12 --find 1 --sheet way.html",
    ),
)
@click.argument("first", shell_complete=completion.words())
@click.argument("second", shell_complete=completion.words())
@click.option("--steps", type=int, default=9, show_default=True, help="Pictures, both ends among them.")
@_shared_options
@click.pass_context
def interpolate_command(
    ctx: click.Context,
    /,
    first: str,
    second: str,
    sheets: tuple[Path, ...],
    out: Path | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Make pictures of the way from FIRST to SECOND: words, images, or one of each.

    The way leads between their means, straight or, where an encoder puts images on the unit sphere, along
    the great circle. The pictures are made, not found, and marked so.
    """
    with open_store(ctx, read_only=True) as store:
        _render(store, store.interpolate(first, second, **options), sheets, out, as_json=as_json)


def _render(
    store: Store, found: Imagined, sheets: tuple[Path, ...], out: Path | None, *, as_json: bool
) -> None:
    say_notes(found.notes)
    show([found.to_dict()] if as_json else [], found.lines(), as_json=as_json)
    for path in sheets:
        say(f"sheet: {store.sheet(found, path, columns=9 if found.of == 'way' else 8)}")
    if out is not None:
        say(f"{len(store.write_pictures(found, out))} pictures, made and not found, in {out}")
