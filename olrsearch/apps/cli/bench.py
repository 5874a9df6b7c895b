"""`olrsearch bench …`: measure quality and speed by the published protocols."""

from __future__ import annotations

from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from olrsearch.apps.cli.bench_audit import audit
from olrsearch.apps.cli.common import Group, examples, open_to_measure
from olrsearch.apps.cli.reports import render

if TYPE_CHECKING:
    from collections.abc import Callable


_BROUGHT: Final = "olrsearch.bench"


def shared_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Options that every protocol has."""
    for option in (
        click.option("--json", "as_json", is_flag=True, help="The report as one JSON object."),
        click.option("--out", type=click.Path(path_type=Path), help="Also write FILE.json and FILE.md."),
        click.option(
            "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of everything random."
        ),
        click.option("--space", help="Name or fingerprint; the newest by default."),
    ):
        command = option(command)
    return command


queries_option = click.option(
    "--queries",
    "query_file",
    type=click.Path(path_type=Path, exists=True),
    help="A published query file; drawn from the gallery by default.",
)


class _BenchGroup(Group):
    """The protocols of the program, and those that other packages bring as entry points `olrsearch.bench`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *(entry.name for entry in entry_points(group=_BROUGHT))})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        own = super().get_command(ctx, cmd_name)
        if own is not None:
            return own
        for entry in entry_points(group=_BROUGHT, name=cmd_name):
            command: click.Command = entry.load()
            return command
        return None


@click.group("bench", cls=_BenchGroup)
def bench_command() -> None:
    """Measure quality and speed by the published protocols, on the store's val and test partitions."""


@bench_command.command("attributes", epilog=examples("olrsearch bench attributes --out p1"))
@shared_options
@click.pass_context
def attributes(ctx: click.Context, space: str | None, seed: int, out: Path | None, as_json: bool) -> None:
    """P1: a linear probe on the embeddings against the teacher; of posteriors, how they describe images.

    Of a space of posteriors, what is measured is the calibrated probability of each of the
    encoder's own words.
    """
    with open_to_measure(ctx) as store:
        report = store.bench.attributes(space=space, seed=seed)
    render(report, out, as_json=as_json)


@bench_command.command(
    "queries", epilog=examples("olrsearch bench queries --write-queries asked.tsv --out p2")
)
@queries_option
@click.option("--write-queries", type=click.Path(path_type=Path), help="Write the queries that were drawn.")
@shared_options
@click.pass_context
def queries(
    ctx: click.Context,
    query_file: Path | None,
    write_queries: Path | None,
    space: str | None,
    seed: int,
    out: Path | None,
    as_json: bool,
) -> None:
    """P2: attribute-set queries from embeddings alone, against teacher, SVM and chance."""
    with open_to_measure(ctx) as store:
        report = store.bench.queries(queries=query_file, write=write_queries, space=space, seed=seed)
    render(report, out, as_json=as_json)


@bench_command.command("similar", epilog=examples("olrsearch bench similar --out p3"))
@queries_option
@shared_options
@click.pass_context
def similar(
    ctx: click.Context,
    query_file: Path | None,
    space: str | None,
    seed: int,
    out: Path | None,
    as_json: bool,
) -> None:
    """P3: similar images overall and by exemplar, triplets, and what of identity shows."""
    with open_to_measure(ctx) as store:
        report = store.bench.similar(queries=query_file, space=space, seed=seed)
    render(report, out, as_json=as_json)


bench_command.add_command(audit)
