"""`olrsearch bench …`: measure quality and speed by the published protocols."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from olrsearch.cli.bench_audit import audit
from olrsearch.cli.common import open_to_measure, say, store_path
from olrsearch.cli.reports import render

if TYPE_CHECKING:
    from collections.abc import Callable

    from olrsearch.api import Store
    from olrsearch.bench.report import Report


def _shared_options(command: Callable[..., Any]) -> Callable[..., Any]:
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


_queries_option = click.option(
    "--queries",
    "query_file",
    type=click.Path(path_type=Path, exists=True),
    help="A published query file; drawn from the gallery by default.",
)


@click.group("bench")
def bench_command() -> None:
    """Measure quality and speed by the published protocols, on the store's val and test partitions."""


@bench_command.command("attributes")
@_shared_options
@click.pass_context
def attributes(ctx: click.Context, space: str | None, seed: int, out: Path | None, as_json: bool) -> None:
    """P1: a linear probe on the embeddings against the teacher; of posteriors, how they describe images.

    Of a space of posteriors, what is measured is the calibrated probability of each of the
    encoder's own words.
    """
    with open_to_measure(ctx) as store:
        report = store.attributes(space=space, seed=seed)
    render(report, out, as_json=as_json)


@bench_command.command("queries")
@_queries_option
@click.option("--write-queries", type=click.Path(path_type=Path), help="Write the queries that were drawn.")
@_shared_options
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
    from olrsearch.bench.queries import run_queries
    from olrsearch.bench.query_set import generate_queries, read_queries
    from olrsearch.bench.query_set import write_queries as write

    with open_to_measure(ctx) as store:
        data = store.bench_data(space=space)
    asked = generate_queries(data, seed=seed) if query_file is None else read_queries(query_file)
    if write_queries is not None:
        write(write_queries, asked)
    render(run_queries(data, queries=asked, seed=seed), out, as_json=as_json)


@bench_command.command("similar")
@_queries_option
@_shared_options
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
    from olrsearch.bench.similar import run_similar

    _compare(ctx, run_similar, query_file, space, seed, out, as_json=as_json)


@bench_command.command("richness")
@_queries_option
@_shared_options
@click.pass_context
def richness(
    ctx: click.Context,
    query_file: Path | None,
    space: str | None,
    seed: int,
    out: Path | None,
    as_json: bool,
) -> None:
    """P6: whether the embeddings hold more than probabilities."""
    from olrsearch.bench.richness import run_richness

    _compare(ctx, run_richness, query_file, space, seed, out, as_json=as_json)


def _compare(
    ctx: click.Context,
    run: Callable[..., Report],
    query_file: Path | None,
    space: str | None,
    seed: int,
    out: Path | None,
    *,
    as_json: bool,
) -> None:
    """Run a protocol that compares images by the space's metric."""
    from olrsearch.bench.query_set import read_queries

    asked = None if query_file is None else read_queries(query_file)
    with open_to_measure(ctx) as store:
        data, metric = store.bench_data(space=space), store.metric(space=space)
    report = run(data, metric=metric, queries=asked, seed=seed)
    render(report, out, as_json=as_json)


@bench_command.group("papers")
def papers() -> None:
    """P5: what the papers report, measured on the store."""


@papers.command("olr")
@_shared_options
@click.pass_context
def olr(ctx: click.Context, space: str | None, seed: int, out: Path | None, as_json: bool) -> None:
    """P5: the OLR paper's probe, correlations of norms and principal components.

    With --out NAME also draws NAME-norms.png and NAME-components.png.
    """
    from olrsearch.bench.papers.olr import run_olr_paper

    with open_to_measure(ctx) as store:
        report = run_olr_paper(store.bench_data(space=space), seed=seed)
        render(report, out, as_json=as_json)
        if out is not None:
            for name, look in (("norms", report.correlations), ("components", report.components)):
                say(f"plot: {store.plot(look, out.with_name(f'{out.name}-{name}.png'))}")


@papers.command("informed-prior")
@_queries_option
@click.option(
    "--figures",
    type=click.Path(path_type=Path),
    help="Also draw the paper's figures, of pairs, into this folder.",
)
@_shared_options
@click.pass_context
def informed_prior(
    ctx: click.Context,
    query_file: Path | None,
    figures: Path | None,
    space: str | None,
    seed: int,
    out: Path | None,
    as_json: bool,
) -> None:
    """P5: informed priors. Classes and pairs told and retrieved; of faces, P2 asked in words.

    What is measured depends on the labels: one an image, pairs, or many. With --json, one object a
    line and figure: metric, value, target, passed, unit, seed.
    """
    from olrsearch.bench.papers.informed_prior import run_informed_prior_paper
    from olrsearch.bench.query_set import read_queries

    asked = None if query_file is None else read_queries(query_file)
    with open_to_measure(ctx) as store:
        data = store.posterior_data(space=space)
        labels = store.labels_beside() if data.kind == "many" else None
        # First, since it refuses labels that are no pairs, and a report is not printed half.
        drawn = [] if figures is None else store.draw_pairs(figures, seed=seed, space=space)
        report = run_informed_prior_paper(data, queries=asked, labels=labels, seed=seed)
    render(report, out, as_json=as_json, lines=report.lines())
    for path in drawn:
        say(f"plot: {path}")


@bench_command.command("speed")
@click.argument(
    "part", type=click.Choice(["queries", "encoding", "kl"]), default="queries", metavar="[encoding|kl]"
)
@click.option(
    "--rows",
    type=click.IntRange(min=1),
    default=100_000,
    show_default=True,
    help="Images of the exact search, for kl.",
)
@click.option("--recipes/--no-recipes", default=True, show_default=True, help="Also measure recipes, for kl.")
@click.option(
    "--recipe-rows",
    type=click.IntRange(min=1),
    default=1_000_000,
    show_default=True,
    help="Images that recipes search, for kl.",
)
@_shared_options
@click.pass_context
def speed(
    ctx: click.Context,
    part: str,
    rows: int,
    recipes: bool,
    recipe_rows: int,
    space: str | None,
    seed: int,
    out: Path | None,
    as_json: bool,
) -> None:
    """P7: ratios against baselines in the same run: queries, scans, a cold command, encoding.

    With `encoding`, the engines that can compute the encoder instead: their speed in turns, what
    their rounding costs in mAP, and whether decoding keeps out of the network's way. Takes minutes.

    With `kl`, search by divergence over a space's posteriors, resampled to many: exact, and by recipes
    for large galleries; at the dimension of the space, and at 50 and 32 where it has more. With --json,
    one object a figure. Takes many minutes, and gigabytes for recipes.
    """
    with open_to_measure(ctx) as store:
        if part == "kl":
            report = store.kl_speed(
                images=rows, recipe_images=recipe_rows if recipes else None, seed=seed, space=space
            )
            render(report, out, as_json=as_json, lines=report.lines())
        elif part == "encoding":
            render(store.encoding_speed(space=space, seed=seed), out, as_json=as_json)
        else:
            render(_queries_speed(ctx, store, space, seed), out, as_json=as_json)


def _queries_speed(ctx: click.Context, store: Store, space: str | None, seed: int) -> Report:
    from olrsearch.bench.speed import cold_case, run_speed

    info = store.info()
    cases = store.speed_cases(space=space, seed=seed)
    first = store.labels(space=space)[0]  # the store may have labels that this encoder never learnt
    command = [sys.executable, "-m", "olrsearch", "--store", str(store_path(ctx))]
    command += ["search", f'"{first}"', "--json", *([] if space is None else ["--space", space])]
    return run_speed(
        [*cases, cold_case(command)],
        data={"name": ", ".join(item["name"] for item in info["datasets"]), "images": info["images"]},
        cold_command=command,
        seed=seed,
    )


bench_command.add_command(audit)
