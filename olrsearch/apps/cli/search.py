"""`olrsearch search`: find images by attributes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from olrsearch.apps.cli.common import emit_json, examples, open_store, say

if TYPE_CHECKING:
    from collections.abc import Callable

    from olrsearch import Evidence, Hit, Ranking, Store


def ranking_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of every command that answers with a ranking."""
    count, page = click.IntRange(min=1), click.IntRange(min=0)
    for option in (
        click.option("--json", "as_json", is_flag=True, help="One JSON object a hit."),
        click.option(
            "--sheet",
            "sheets",
            type=click.Path(path_type=Path),
            multiple=True,
            help="Also write a contact sheet, .html or .png (repeatable).",
        ),
        click.option("--space", help="Name or fingerprint; the newest of its layout by default."),
        click.option("--where", help="Only images this selects, e.g. \"partition = 'test'\"."),
        click.option("--offset", type=page, default=0, show_default=True, help="Skip this many hits."),
        click.option("-k", "--count", type=count, default=20, show_default=True, help="Page length."),
    ):
        command = option(command)
    return command


@click.command(
    "search",
    epilog=examples(
        "olrsearch search 'smiling & eyeglasses & !male' -k 10",
        "olrsearch search '(bald | wavy hair) & young' --where \"partition = 'test'\" --sheet answer.html",
    ),
)
@click.argument("query")
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
    ctx: click.Context,
    query: str,
    count: int,
    offset: int,
    min_probability: float | None,
    where: str | None,
    evidence: Evidence,
    space: str | None,
    sheets: tuple[Path, ...],
    as_json: bool,
) -> None:
    """Find images by attributes: 'smiling & eyeglasses & !male', 'bald | wavy hair', 'smiling^2, hat'.

    Quote the query with single quotes: shells treat ! and & as their own.
    """
    check_sheets(sheets)
    with open_store(ctx, read_only=True) as store:
        ranking = store.search(
            query,
            k=count,
            offset=offset,
            min_probability=min_probability,
            where=where,
            evidence=evidence,
            space=space,
        )
        render(ranking, as_json=as_json)
        write_sheets(store, ranking, sheets)


def render(ranking: Ranking, *, as_json: bool) -> None:
    """Print a ranking: a line a hit, or a JSON object a hit."""
    for note in ranking.notes:
        say(f"note: {note}")
    if as_json:
        for row in ranking.to_dicts():
            emit_json(row)
        return
    width = max((len(hit.key) for hit in ranking), default=3)
    for hit in ranking:
        # What is shown beside it adds up to it: log-probabilities to a score, distances to a distance.
        value = hit.score if hit.is_probability else hit.distance
        click.echo(f"{hit.rank:>4}  {hit.key:<{width}}  {value:>z9.4f}  {_explanation(hit)}")
    if not ranking.hits:
        say("no image answers this query")


def _explanation(hit: Hit) -> str:
    """The contributions; of many, the ones that cost most."""
    parts = [
        f"{part.literal} {part.probability:.2f}"
        if part.probability is not None
        else f"{part.literal} {-part.value:.3g}"
        for part in hit.top_contributions()
    ]
    return ("  " if len(parts) == len(hit.contributions) else "  most apart: ").join(["", "  ".join(parts)])


def check_sheets(paths: tuple[Path, ...]) -> None:
    """Refuse a sheet of another form before anything is searched."""
    if paths:
        from olrsearch.api.pictures import check_sheet

        for path in paths:
            check_sheet(path)


def write_sheets(
    store: Store, ranking: Ranking, paths: tuple[Path, ...], asked: tuple[str, ...] = ()
) -> None:
    """Write the contact sheets asked for and say where they are."""
    for path in paths:
        say(f"sheet: {store.sheet(ranking, path, asked=asked)}")
