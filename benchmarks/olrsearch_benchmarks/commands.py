"""`olrsearch bench corruption`, `papers`, `richness`, `speed`: what measures olrsearch, not for its users."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from olrsearch.apps.cli.bench import queries_option, shared_options
from olrsearch.apps.cli.common import Group, examples, open_to_measure, say, show, store_path, tracker
from olrsearch.apps.cli.everywhere import this_call
from olrsearch.apps.cli.options import PATH, POSITIVE, json_option, pairs, report_option
from olrsearch.apps.cli.reports import render
from olrsearch_benchmarks.editing.command import editing
from olrsearch_benchmarks.papers.atnl.command import atnl, label_shots

if TYPE_CHECKING:
    from olrsearch import Store
    from olrsearch.apps.cli.options import Option
    from olrsearch.evaluation.report import Report


@click.command("richness", epilog=examples("olrsearch bench richness --out p6"))
@queries_option
@shared_options
@click.pass_context
def richness(
    ctx: click.Context, queries: Path | None, space: str | None, seed: int, out: Path | None, as_json: bool
) -> None:
    """P6: whether the embeddings hold more than probabilities."""
    from olrsearch.evaluation.query_set import read_queries
    from olrsearch_benchmarks.richness import run_richness

    asked = None if queries is None else read_queries(queries)
    with open_to_measure(ctx) as store:
        data, metric = store.bench.data(space=space), store.indexes.metric(space=space)
    render(run_richness(data, metric=metric, queries=asked, seed=seed), out, as_json=as_json)


@click.command(
    "corruption", epilog=examples("olrsearch bench corruption --faults 500 --seed 0 --folder damaged")
)
@click.option("--faults", type=POSITIVE, default=500, show_default=True, help="How many.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the store and the faults.")
@click.option("--images", type=POSITIVE, default=120, show_default=True, help="How many avatars it holds.")
@click.option("--folder", type=PATH, help="Keep the store here, and use it again where it is there already.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.pass_context
def corruption(
    ctx: click.Context, faults: int, seed: int, images: int, folder: Path | None, as_json: bool
) -> None:
    """Damage a store of avatars at random, and see how that is noticed.

    Exit code 1 if any fault gave a wrong answer or a traceback.
    """
    from olrsearch_benchmarks.corruption.made_store import make_store
    from olrsearch_benchmarks.corruption.run import run_corruption

    with tempfile.TemporaryDirectory() as temporary:
        home, track = folder or Path(temporary), tracker(ctx)
        stores = []
        for number, place in enumerate((home / "one", home / "another")):
            if not (place / "store" / "store.json").exists():
                make_store(place, images=images - 20 * number, seed=seed + number, track=track)
            stores.append(place / "store")
        work = Path(temporary) / "work"
        work.mkdir()
        report = run_corruption(stores[0], stores[1], work, faults=faults, seed=seed, track=track)
    show([report.to_dict()], report.lines(), as_json=as_json)
    if not report.passed:
        ctx.exit(1)


@click.group("papers", cls=Group)
def papers() -> None:
    """P5: what the papers report, measured on the store."""


papers.add_command(editing)
papers.add_command(atnl)
papers.add_command(label_shots)


@papers.command("olr", epilog=examples("olrsearch bench papers olr --out p5"))
@shared_options
@click.pass_context
def olr(ctx: click.Context, space: str | None, seed: int, out: Path | None, as_json: bool) -> None:
    """P5: the OLR paper's probe, correlations of norms and principal components.

    With --out NAME also draws NAME-norms.png and NAME-components.png.
    """
    from olrsearch_benchmarks.papers.olr import run_olr_paper

    with open_to_measure(ctx) as store:
        report = run_olr_paper(store.bench.data(space=space), seed=seed)
        render(report, out, as_json=as_json)
        if out is not None:
            for name, look in (("norms", report.correlations), ("components", report.components)):
                say(f"plot: {store.looks.plot(look, out.with_name(f'{out.name}-{name}.png'))}")


@papers.command("informed-prior", epilog=examples("olrsearch bench papers informed-prior --figures figures"))
@queries_option
@click.option("--figures", type=PATH, help="Also draw the paper's figures, of pairs, into this folder.")
@shared_options
@click.pass_context
def informed_prior(
    ctx: click.Context,
    queries: Path | None,
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
    from olrsearch.evaluation.query_set import read_queries
    from olrsearch_benchmarks.on_a_store import draw_pairs, labels_beside, posterior_data
    from olrsearch_benchmarks.papers.informed_prior import run_informed_prior_paper

    asked = None if queries is None else read_queries(queries)
    with open_to_measure(ctx) as store:
        data = posterior_data(store, space=space)
        labels = labels_beside(store) if data.kind == "many" else None
        # First, since it refuses labels that are no pairs, and a report is not printed half.
        drawn = [] if figures is None else draw_pairs(store, figures, seed=seed, space=space)
        report = run_informed_prior_paper(data, queries=asked, labels=labels, seed=seed)
    render(report, out, as_json=as_json, lines=report.lines())
    for path in drawn:
        say(f"plot: {path}")


_DATA_OF = {"mnist": "../shared/mnist", "fashion": "/usr/share/datasets/fashion-mnist"}


def _numbers(ctx: click.Context, param: click.Parameter, text: str) -> tuple[int, ...]:
    """Whole numbers with commas."""
    del ctx
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() for part in parts):
        raise click.BadParameter(f"{text!r}: expected whole numbers with commas, such as 0,1,2", param=param)
    return tuple(int(part) for part in parts)


@papers.command(
    "pse",
    epilog=examples(
        "olrsearch bench papers pse --folder p5 --size 10,20 --seeds 0,1,2",
        "olrsearch bench papers pse --folder p5 --dataset fashion --words one-hot --words glove",
        "olrsearch bench papers pse --folder p5 --model pse --model cvae --literal",
    ),
)
@click.option(
    "--dataset",
    type=click.Choice(["mnist", "fashion"]),
    default="mnist",
    show_default=True,
    help="Which ten classes.",
)
@click.option("--data", type=PATH, help="Folder of its four idx files.")
@click.option(
    "--folder", type=PATH, required=True, help="Where judges and finished trainings are kept, and looked for."
)
@click.option(
    "--model",
    "models",
    multiple=True,
    type=click.Choice(["cvae", "jmvae", "trelbo", "scan", "pse", "pse-star"]),
    default=("pse-star",),
    show_default=True,
    help="Repeatable.",
)
@click.option("--size", "sizes", callback=_numbers, default="10", show_default=True, help="Dimensions.")
@click.option(
    "--words",
    multiple=True,
    type=click.Choice(["one-hot", "glove"]),
    default=("one-hot",),
    show_default=True,
    help="What stands for a label; with both, their difference has an interval.",
)
@click.option("--seeds", callback=_numbers, default="0", show_default=True, help="Of the trainings.")
@click.option("--literal", is_flag=True, help="The paper's 2,000 steps, as they are written.")
@click.option(
    "--set", "settings", multiple=True, metavar="KEY=VALUE", callback=pairs, help="Change one setting."
)
@click.option("--samples", type=POSITIVE, default=10_000, show_default=True, help="Images made of a label.")
@click.option("--repeats", type=POSITIVE, default=10, show_default=True, help="How often they are made.")
@report_option
@json_option("One object a line and figure.")
@click.pass_context
def pse(
    ctx: click.Context,
    /,
    dataset: str,
    data: Path | None,
    folder: Path,
    out: Path | None,
    as_json: bool,
    **options: Any,  # noqa: ANN401 - of several types, passed on
) -> None:
    """P5: PSE and the models beside it: reconstruction, annotation and generation.

    Trains them on MNIST or Fashion-MNIST, minutes each, and needs no store. With --json, one object a
    line and figure: metric, value, target, passed, unit, seed.
    """
    from olrsearch_benchmarks.papers.pse.digits import open_digits
    from olrsearch_benchmarks.papers.pse.judges import open_judge
    from olrsearch_benchmarks.papers.pse.report import run_pse_paper

    digits = open_digits(dataset, data or Path(_DATA_OF[dataset]))
    judge = open_judge(digits, folder)
    quiet = this_call(ctx).quiet
    report = run_pse_paper(digits, judge, folder, progress=not quiet, done=say, **options)
    render(report, out, as_json=as_json, lines=report.lines())


@papers.command("decoder", epilog=examples("olrsearch bench papers decoder --out decoder"))
@shared_options
@click.pass_context
def decoder(ctx: click.Context, space: str | None, seed: int, out: Path | None, as_json: bool) -> None:
    """P5: pictures that the decoder of label embeddings makes of images of val and test.

    Beside them ridge regression to pixels, the mean image and a ceiling, and what of identity they disclose
    to a network that saw neither faces nor the decoder. With --json, one object a figure.
    """
    from olrsearch_benchmarks.papers.decoder_on_a_store import decoder_paper

    with open_to_measure(ctx) as store:
        report = decoder_paper(store, space=space, seed=seed)
    render(report, out, as_json=as_json, lines=report.lines())


def _images_option(name: str, default: int, text: str) -> Option:
    return click.option(name, type=POSITIVE, default=default, show_default=True, help=text)


@click.command("speed", epilog=examples("olrsearch bench speed kl --rows 20000 --no-recipes"))
@click.argument(
    "part", type=click.Choice(["queries", "encoding", "kl"]), default="queries", metavar="[encoding|kl]"
)
@_images_option("--rows", 100_000, "Images of the exact search, for kl.")
@click.option("--recipes/--no-recipes", default=True, show_default=True, help="Also measure recipes, for kl.")
@_images_option("--recipe-rows", 1_000_000, "Images that recipes search, for kl.")
@shared_options
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
    from olrsearch_benchmarks.on_a_store import encoding_speed, kl_speed

    with open_to_measure(ctx) as store:
        if part == "kl":
            report = kl_speed(
                store, images=rows, recipe_images=recipe_rows if recipes else None, seed=seed, space=space
            )
            render(report, out, as_json=as_json, lines=report.lines())
        elif part == "encoding":
            render(encoding_speed(store, space=space, seed=seed), out, as_json=as_json)
        else:
            render(_queries_speed(ctx, store, space, seed), out, as_json=as_json)


def _queries_speed(ctx: click.Context, store: Store, space: str | None, seed: int) -> Report:
    from olrsearch_benchmarks.on_a_store import speed_cases
    from olrsearch_benchmarks.speed.speed import cold_case, run_speed

    info = store.info()
    cases = speed_cases(store, space=space, seed=seed)
    first = store.labels.known(space=space)[0]  # the store may have labels that this encoder never learnt
    command = [sys.executable, "-m", "olrsearch", "--store", str(store_path(ctx))]
    command += ["search", f'"{first}"', "--json", *([] if space is None else ["--space", space])]
    return run_speed(
        [*cases, cold_case(command)],
        data={"name": ", ".join(item["name"] for item in info["datasets"]), "images": info["images"]},
        cold_command=command,
        seed=seed,
    )
