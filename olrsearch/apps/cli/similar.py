"""`olrsearch similar`: find images like an image, overall or in some respects."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from olrsearch.apps.cli.common import open_store, parse_pairs, split_name
from olrsearch.apps.cli.search import check_sheets, ranking_options, render, write_sheets
from olrsearch.apps.cli.words import DIRECTIONS

if TYPE_CHECKING:
    from pathlib import Path

    from olrsearch.search.kl.query import Divergence

BY_POSTERIOR = "posterior"
"""Of `--by`: a label of this name is written in double quotes."""


@click.command("similar")
@click.argument("image", required=False)
@click.option(
    "--by",
    multiple=True,
    help="Compare in this label only (repeatable); LABEL^W weighs it, e.g. --by Smiling^2 --by Young. "
    "Alone, --by posterior compares posteriors.",
)
@click.option(
    "--with",
    "with_",
    multiple=True,
    metavar="LABEL=IMAGE",
    help="This image's smile with that one's hair: --with Smiling=A --with Wavy_Hair=B (repeatable).",
)
@click.option(
    "--prototype",
    "prototypes",
    multiple=True,
    metavar="LABEL",
    help="Nearest to the mean embedding of the images that have the label (repeatable).",
)
@click.option("--max-distance", type=float, help="Leave out hits farther than this.")
@click.option("--include-self", is_flag=True, help="Keep the images asked about in the answer.")
@click.option(
    "--recipe", help="Use what this recipe built instead of the exact scan; of posteriors a recipe kl-…."
)
@click.option(
    "--direction",
    type=click.Choice(DIRECTIONS),
    help="Of the divergence between posteriors, IMAGE being the query; jeffreys.",
)
@click.option("--farthest", is_flag=True, help="The farthest posteriors instead.")
@ranking_options
@click.pass_context
def similar_command(
    ctx: click.Context,
    image: str | None,
    by: tuple[str, ...],
    with_: tuple[str, ...],
    prototypes: tuple[str, ...],
    count: int,
    offset: int,
    max_distance: float | None,
    where: str | None,
    include_self: bool,
    recipe: str | None,
    direction: Divergence | None,
    farthest: bool,
    space: str | None,
    sheets: tuple[Path, ...],
    as_json: bool,
) -> None:
    """Find images like IMAGE: a key, id:N, or an image file that need not be in the store.

    Attributes describe a look, not a person: this is not face recognition.
    """
    compose = parse_pairs(with_, "--with", "LABEL=IMAGE")
    if image is None and not compose and not prototypes:
        raise click.UsageError("name an IMAGE, or give --with LABEL=IMAGE or --prototype LABEL")
    if by and image is None:
        raise click.UsageError("--by says in which labels to compare with IMAGE: name one")
    if len(by) > 1 and BY_POSTERIOR in by:
        raise click.UsageError("--by posterior compares posteriors as a whole: it stands alone")
    check_sheets(sheets)
    with open_store(ctx, read_only=True) as store:
        ranking = store.similar(
            image,
            by=BY_POSTERIOR if by == (BY_POSTERIOR,) else _weights(by) or None,
            with_=compose,
            prototypes=[
                split_name(label, "=")[0] if label.startswith('"') else label for label in prototypes
            ],
            k=count,
            offset=offset,
            max_distance=max_distance,
            where=where,
            include_self=include_self,
            recipe=recipe,
            direction=direction,
            farthest=farthest,
            space=space,
        )
        render(ranking, as_json=as_json)
        asked = (*([image] if image else []), *dict.fromkeys(compose.values()))
        write_sheets(store, ranking, sheets, asked)


def _weights(by: tuple[str, ...]) -> dict[str, float]:
    found: dict[str, float] = {}
    for item in by:
        name, weight = split_name(item, "^")
        if name in found:
            raise click.UsageError(f"--by names {name!r} twice")
        try:
            found[name] = 1.0 if weight is None else float(weight)
        except ValueError as error:
            raise click.UsageError(f"--by wants LABEL or LABEL^WEIGHT, found {item!r}") from error
    return found
