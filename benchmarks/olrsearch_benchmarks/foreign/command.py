"""`olrsearch bench foreign`: sets of foreign images, of folders and made here, against a space."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from olrsearch.apps.cli.bench import shared_options
from olrsearch.apps.cli.common import examples, open_to_measure
from olrsearch.apps.cli.options import PATH, POSITIVE
from olrsearch.apps.cli.reports import render

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from PIL import Image

    from olrsearch import Store


@click.command(
    "foreign", epilog=examples("olrsearch bench foreign photographs/hands --scenes wallpapers --out foreign")
)
@click.argument("folders", nargs=-1, type=PATH)
@click.option(
    "--count", type=POSITIVE, default=300, show_default=True, help="Images of each set that is made."
)
@click.option(
    "--scenes",
    type=PATH,
    help="Photographs without people: a set of their own, and the grounds of made groups.",
)
@click.option("--font", type=PATH, help="NotoColorEmoji.ttf: also draw hands with it.")
@shared_options
@click.pass_context
def foreign(
    ctx: click.Context,
    folders: tuple[Path, ...],
    count: int,
    scenes: Path | None,
    font: Path | None,
    space: str | None,
    seed: int,
    out: Path | None,
    as_json: bool,
) -> None:
    """How surely foreign images are told: those of FOLDERS, charts and avatars that are made, and more.

    They stand against the store's images outside of `train`, which are to be like the training images. With
    --scenes, groups of people are composed of them and of faces of the store's train partition. Of a space of
    label embeddings.
    """
    from olrsearch_benchmarks.foreign import drawn_sets
    from olrsearch_benchmarks.foreign import folders as of_folders
    from olrsearch_benchmarks.foreign.measured import measure_foreign

    grounds = [] if scenes is None else list(of_folders.images(scenes))
    sets: dict[str, Iterator[Image.Image]] = {folder.name: of_folders.images(folder) for folder in folders}
    sets |= {"charts": drawn_sets.charts(count, seed), "avatars": drawn_sets.avatars(count, seed)}
    if font is not None:
        sets["drawn hands"] = drawn_sets.drawn_hands(count, seed, font, grounds)
    with open_to_measure(ctx) as store:
        if grounds:
            sets["scenes"] = drawn_sets.pieces(grounds, seed)
            sets["composed groups"] = drawn_sets.composed_groups(count, seed, _faces(store), grounds)
        report = measure_foreign(store, sets, space=space, seed=seed)
    render(report, out, as_json=as_json)


def _faces(store: Store, most: int = 400) -> list[Image.Image]:
    """Images of the store's train partition."""
    from olrsearch.datasets.images import load_image

    snapshot = store.session.snapshot()
    ids = store.select("partition = 'train'")
    rows = snapshot.images(ids[:: max(1, len(ids) // most)][:most])
    return [load_image(row.root, row.uri) for row in rows]
