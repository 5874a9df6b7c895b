"""`olrsearch similar`: find images like an image, overall or in some respects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from olrsearch.apps.cli import completion
from olrsearch.apps.cli.common import examples, open_store
from olrsearch.apps.cli.options import pairs, split_name
from olrsearch.apps.cli.search import ranking_options, render
from olrsearch.apps.cli.words import DIRECTIONS

if TYPE_CHECKING:
    from pathlib import Path

BY_POSTERIOR = "posterior"
"""Of `--by`: a label of this name is written in double quotes."""


@click.command(
    "similar",
    epilog=examples(
        "olrsearch similar 000001.jpg --by Smiling -k 10",
        "olrsearch similar --with Smiling=000001.jpg --with Wavy_Hair=000002.jpg --sheet mixed.html",
    ),
)
@click.argument("image", required=False, shell_complete=completion.images(files=True))
@click.option(
    "--by",
    shell_complete=completion.labels(),
    multiple=True,
    help="Compare in this label only (repeatable); LABEL^W weighs it, e.g. --by Smiling^2 --by Young. "
    "Alone, --by posterior compares posteriors.",
)
@click.option(
    "--with",
    "with_",
    shell_complete=completion.labels(ending="="),
    multiple=True,
    metavar="LABEL=IMAGE",
    callback=pairs,
    help="This image's smile with that one's hair: --with Smiling=A --with Wavy_Hair=B (repeatable).",
)
@click.option(
    "--prototype",
    "prototypes",
    shell_complete=completion.labels(),
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
    /,
    image: str | None,
    by: tuple[str, ...],
    with_: dict[str, str],
    prototypes: tuple[str, ...],
    sheets: tuple[Path, ...],
    as_json: bool,
    **options: Any,
) -> None:
    """Find images like IMAGE: a key, id:N, or an image file that need not be in the store.

    Attributes describe a look, not a person: this is not face recognition.
    """
    if image is None and not with_ and not prototypes:
        raise click.UsageError("name an IMAGE, or give --with LABEL=IMAGE or --prototype LABEL")
    if by and image is None:
        raise click.UsageError("--by says in which labels to compare with IMAGE: name one")
    if len(by) > 1 and BY_POSTERIOR in by:
        raise click.UsageError("--by posterior compares posteriors as a whole: it stands alone")
    with open_store(ctx, read_only=True) as store:
        ranking = store.similar(
            image,
            by=BY_POSTERIOR if by == (BY_POSTERIOR,) else _weights(by) or None,
            with_=with_,
            prototypes=[
                split_name(label, "=")[0] if label.startswith('"') else label for label in prototypes
            ],
            **options,
        )
        asked = (*([image] if image else []), *dict.fromkeys(with_.values()))
        render(store, ranking, sheets, as_json=as_json, asked=asked)


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
