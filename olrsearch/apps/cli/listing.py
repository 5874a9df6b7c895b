"""`olrsearch list`: the images of the store, before anything is encoded."""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING

import click

from olrsearch.apps.cli.columns import cut, table, width
from olrsearch.apps.cli.common import examples, on_terminal, open_store, say, say_notes, show
from olrsearch.apps.cli.options import NATURAL, PATH, POSITIVE, json_option, sheets_option, where_option
from olrsearch.core.counted import counted

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from olrsearch.api.listing import StoredImage, StoredImages

_SHORTEST = 20
"""Columns that labels are given at least, however narrow the terminal is."""


@click.command(
    "list",
    epilog=examples(
        "olrsearch list",
        "olrsearch list --where \"partition = 'test' and Smiling = present\" -k 50 --sheet smiling.html",
    ),
)
@where_option
@click.option(
    "-k", "--count", "--limit", "k", type=POSITIVE, default=20, show_default=True, help="Page length."
)
@click.option("--offset", type=NATURAL, default=0, show_default=True, help="Skip this many images.")
@sheets_option
@click.option("--csv", "csv_file", type=PATH, help="Also write the page as a table, a column a label.")
@json_option("One JSON object an image.")
@click.pass_context
def list_command(
    ctx: click.Context,
    where: str | None,
    k: int,
    offset: int,
    sheets: tuple[Path, ...],
    csv_file: Path | None,
    as_json: bool,
) -> None:
    """List the images of the store, with partition, identity and stored labels.

    Needs no encoder. Labels are the stored ones, with decisions applied.
    """
    with open_store(ctx, read_only=True) as store:
        found = store.images(where, k, offset=offset)
        say_notes(found.notes)
        # Before anything is printed: whoever reads only the first lines still gets the whole files.
        written = [f"sheet: {store.images_sheet(found, path)}" for path in sheets]
    if csv_file is not None:
        written.append(f"table: {found.write_csv(csv_file)}")
    nothing = "no image is selected" if not found.total else f"there are {found.total:,} images, no more"
    show(found.to_dicts(), _lines(found), as_json=as_json, nothing=nothing)
    for line in written:
        say(line)
    after = found.offset + len(found)
    if len(found) and after < found.total:
        say(
            f"{found.offset + 1:,} to {after:,} of {counted(found.total, 'image')}; --offset {after} shows "
            "the next"
        )


def _lines(found: StoredImages) -> Iterator[str]:
    if not len(found):
        return
    rows = [_row(found, image) for image in found]
    head = ("image", "id", "partition", "identity", "pixels", "labels")
    # A column that says nothing of any image is left out.
    kept = [number for number in range(len(head)) if any(row[number] for row in rows)]
    align = "".join("lrlrrl"[number] for number in kept)
    lines = table([head[n] for n in kept], [[row[n] for n in kept] for row in rows], align=align)
    if not on_terminal(sys.stdout):
        yield from lines
        return
    columns = shutil.get_terminal_size().columns
    fixed = [number for number in kept if number != len(head) - 1]
    before = sum(max(width(row[number]) for row in rows) + 2 for number in fixed)
    for line in lines:
        yield cut(line, max(columns, before + _SHORTEST))


def _row(found: StoredImages, image: StoredImage) -> tuple[str, ...]:
    labels = ", ".join(image.present)
    return (
        found.name(image),
        str(image.image_id),
        image.partition or "",
        "" if image.identity is None else str(image.identity),
        f"{image.width} × {image.height}",
        labels or ("none" if image.labels else ""),
    )
