"""`olrsearch bench …`: measure quality and speed by the published protocols."""

from __future__ import annotations

from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Final

import click

from olrsearch.apps.cli.bench_audit import audit
from olrsearch.apps.cli.common import Group, examples, open_to_measure
from olrsearch.apps.cli.options import PATH, json_option, report_option, seed_option, space_option, together
from olrsearch.apps.cli.reports import render
from olrsearch.core.errors import OptionalDependencyError

_BROUGHT: Final = "olrsearch.bench"
_ELSEWHERE: Final = ("foreign", "fuzz", "papers", "richness", "speed", "words")

shared_options = together(
    space_option("by default"),
    seed_option("Of everything random."),
    report_option,
    json_option("The report as one JSON object."),
)
"""Options that every protocol has."""

queries_option = click.option(
    "--queries",
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
            try:
                command: click.Command = entry.load()
            except ImportError as error:
                return _broken(cmd_name, str(error))
            return command
        if cmd_name in _ELSEWHERE:
            ctx.fail(f"{cmd_name!r} comes with the benchmarks: run pip install -e ./benchmarks in a checkout")
        return None


def _broken(name: str, why: str) -> click.Command:
    """What stands for a command of another package that cannot be loaded: it says why, as its help does."""
    text = f"{name} cannot be loaded: {why}; install the package that brings it again."

    def refuse() -> None:
        raise OptionalDependencyError(text.removesuffix("."))

    return click.Command(name, callback=refuse, help=text, epilog=examples(f"olrsearch bench {name}"))


@click.group("bench", cls=_BenchGroup)
def bench_command() -> None:
    """Measure quality and speed by the published protocols, on the store's val and test partitions."""


@bench_command.command("attributes", epilog=examples("olrsearch bench attributes --out p1"))
@shared_options
@click.pass_context
def attributes(ctx: click.Context, /, out: Path | None, as_json: bool, **options: Any) -> None:
    """P1: a linear probe on the embeddings against the teacher; of posteriors, how they describe images.

    Of a space of posteriors, what is measured is the calibrated probability of each of the
    encoder's own words.
    """
    with open_to_measure(ctx) as store:
        report = store.bench.attributes(**options)
    render(report, out, as_json=as_json)


@bench_command.command(
    "queries", epilog=examples("olrsearch bench queries --write-queries asked.tsv --out p2")
)
@queries_option
@click.option("--write-queries", "write", type=PATH, help="Write the queries that were drawn.")
@shared_options
@click.pass_context
def queries(ctx: click.Context, /, out: Path | None, as_json: bool, **options: Any) -> None:
    """P2: attribute-set queries from embeddings alone, against teacher, SVM and chance."""
    with open_to_measure(ctx) as store:
        report = store.bench.queries(**options)
    render(report, out, as_json=as_json)


@bench_command.command("similar", epilog=examples("olrsearch bench similar --out p3"))
@queries_option
@shared_options
@click.pass_context
def similar(ctx: click.Context, /, out: Path | None, as_json: bool, **options: Any) -> None:
    """P3: similar images overall and by exemplar, triplets, and what of identity shows."""
    with open_to_measure(ctx) as store:
        report = store.bench.similar(**options)
    render(report, out, as_json=as_json)


bench_command.add_command(audit)
