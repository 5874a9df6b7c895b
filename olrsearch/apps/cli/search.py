"""`olrsearch search`: find images by attributes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from olrsearch.apps.cli import completion
from olrsearch.apps.cli.columns import left, width
from olrsearch.apps.cli.common import examples, open_store, say, say_notes, show
from olrsearch.apps.cli.options import (
    NATURAL,
    POSITIVE,
    json_option,
    sheets_option,
    space_option,
    together,
    where_option,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from olrsearch import Hit, Ranking, Store

ranking_options = together(
    click.option("-k", "--count", "k", type=POSITIVE, default=20, show_default=True, help="Page length."),
    click.option("--offset", type=NATURAL, default=0, show_default=True, help="Skip this many hits."),
    where_option,
    space_option("of its layout by default"),
    sheets_option,
    json_option("One JSON object a hit."),
)
"""The options of every command that answers with a ranking."""


@click.command(
    "search",
    epilog=examples(
        "olrsearch search 'smiling & eyeglasses & !male' -k 10",
        "olrsearch search '(bald | wavy hair) & young' --where \"partition = 'test'\" --sheet answer.html",
    ),
)
@click.argument("query", shell_complete=completion.query())
@click.option(
    "--min-probability", type=click.FloatRange(0, 1), help="Leave out hits whose score is below this."
)
@click.option(
    "--evidence",
    type=click.Choice(["predicted", "labels", "both"]),
    default="predicted",
    show_default=True,
    help="What counts: the encoder's predictions, the stored labels, or both.",
)
@ranking_options
@click.pass_context
def search_command(
    ctx: click.Context, /, query: str, sheets: tuple[Path, ...], as_json: bool, **options: Any
) -> None:
    """Find images by attributes: 'smiling & eyeglasses & !male', 'bald | wavy hair', 'smiling^2, young'.

    Quote the query with single quotes: shells treat ! and & as their own.
    """
    with open_store(ctx, read_only=True) as store:
        render(store, store.search(query, **options), sheets, as_json=as_json)


def render(
    store: Store, ranking: Ranking, sheets: tuple[Path, ...], *, as_json: bool, asked: Iterable[str] = ()
) -> None:
    """Print a ranking, a line or a JSON object a hit, and write the contact sheets asked for."""
    say_notes(ranking.notes)
    if not as_json and any(hit.similarity is not None for hit in ranking):
        say("shown: rank, image, score, and in % the share of the other images that it is nearer than")
    show(ranking.to_dicts(), _lines(ranking), as_json=as_json, nothing="no image answers this query")
    for path in sheets:
        say(f"sheet: {store.sheet(ranking, path, asked=asked)}")


def _lines(ranking: Ranking) -> Iterator[str]:
    columns = max((width(hit.key) for hit in ranking), default=3)
    for hit in ranking:
        # What is shown beside it adds up to it, as the contributions of JSON and Python do.
        alike = "" if hit.similarity is None else f"  {hit.similarity_percent:>7}"
        yield f"{hit.rank:>4}  {left(hit.key, columns)}  {hit.score:>z9.4f}{alike}  {_explanation(hit)}"


def _explanation(hit: Hit) -> str:
    """The contributions; of many, the ones that cost most.

    Beside probabilities, what has none is shown as – : its value is of another unit.
    """
    mixed = any(part.probability is not None for part in hit.contributions) and not hit.by_divergence
    parts = [
        f"{part.literal} {part.probability:.2f}"
        if part.probability is not None
        else f"{part.literal} –"
        if mixed
        else f"{part.literal} {part.value:z.3g}"
        for part in hit.top_contributions()
    ]
    lead = "  " if len(parts) == len(hit.contributions) else "  most apart: "
    if hit.is_foreign:
        parts.append(f"[foreign: fit {hit.fit:.3g}]")
    return f"{lead}{'  '.join(parts)}"
