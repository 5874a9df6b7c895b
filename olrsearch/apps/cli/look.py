"""`olrsearch look …`: look into the embedding, as the papers do."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from olrsearch.apps.cli.common import (
    Group,
    emit_json,
    examples,
    open_store,
    open_to_measure,
    say,
    say_notes,
    split_names,
)
from olrsearch.apps.cli.search import check_sheets

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from olrsearch import (
        Components,
        DisagreementCount,
        Disagreements,
        GaussianLook,
        LabelPair,
        NormCorrelation,
        NormCorrelations,
        Store,
    )

_STORED = {-1: "absent", 0: "unknown", 1: "present"}
_SHARES = 5
_LABELS = 10

_space_option = click.option("--space", help="Name or fingerprint; the newest of label embeddings.")
_where_option = click.option("--where", help="Only images this selects, e.g. \"partition = 'test'\".")
_json_option = click.option("--json", "as_json", is_flag=True, help="Everything, as one JSON object.")


def _sheet_option(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option(
        "--sheet",
        "sheets",
        type=click.Path(path_type=Path),
        multiple=True,
        help="Also write a contact sheet, .html or .png (repeatable).",
    )(command)


def _plot_option(what: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    return click.option("--out", type=click.Path(path_type=Path), help=f"Also draw {what}: a .png file.")


@click.group("look", cls=Group)
def look_command() -> None:
    """Look into the embedding: norms, components, disagreements with the teacher; posteriors, words."""


@look_command.command(
    "norms", epilog=examples("olrsearch look norms --labels Male,Young,Smiling --out norms.png")
)
@click.option("--labels", help="Only these labels, comma-separated; all the encoder knows by default.")
@_where_option
@_plot_option("the heat maps")
@_space_option
@_json_option
@click.pass_context
def norms(
    ctx: click.Context,
    labels: str | None,
    where: str | None,
    out: Path | None,
    space: str | None,
    as_json: bool,
) -> None:
    """Which labels go together: correlations of the norms of their embeddings, beside the labels' own.

    A norm tells how much of a label an image shows. Stored labels that were never known together
    have no correlation.
    """
    _check_plot(out)
    chosen = split_names(labels)
    with open_store(ctx, read_only=True) as store:
        found = store.looks.norms(labels=chosen, where=where, space=space)
        say_notes(found.notes)
        _print_norms(found, as_json=as_json)
        _plot(store, found, out)


@look_command.command(
    "components", epilog=examples("olrsearch look components Smiling --out smiling.png --sheet smiling.html")
)
@click.argument("label")
@click.option(
    "--component", type=click.IntRange(min=1), default=1, show_default=True, help="Which one, from 1."
)
@click.option("--count", type=click.IntRange(min=2), default=32, show_default=True, help="Images shown.")
@_where_option
@_sheet_option
@_plot_option("the shares of variance and what the component goes along with")
@_space_option
@_json_option
@click.pass_context
def components(
    ctx: click.Context,
    label: str,
    component: int,
    count: int,
    where: str | None,
    sheets: tuple[Path, ...],
    out: Path | None,
    space: str | None,
    as_json: bool,
) -> None:
    """Principal components of a label's embeddings, with images in order along one of them.

    The component points to where LABEL is likelier.
    """
    check_sheets(sheets)
    _check_plot(out)
    with open_store(ctx, read_only=True) as store:
        found = store.looks.components(label, component=component, count=count, where=where, space=space)
        say_notes(found.notes)
        _print_components(found, as_json=as_json)
        _write_sheets(store, found, sheets)
        _plot(store, found, out)


@look_command.command(
    "disagreements", epilog=examples("olrsearch look disagreements --label Smiling --sheet apart.html")
)
@click.option("--label", help="Only this label; all by default.")
@click.option("--count", type=click.IntRange(min=1), default=50, show_default=True, help="Entries listed.")
@_sheet_option
@_space_option
@_json_option
@click.pass_context
def disagreements(
    ctx: click.Context,
    label: str | None,
    count: int,
    sheets: tuple[Path, ...],
    space: str | None,
    as_json: bool,
) -> None:
    """Images of val and test about which a linear probe on the embeddings and the teacher differ.

    Farthest apart first, with how often the stored label sides with either. Needs the teacher,
    which the training run in the store keeps.
    """
    check_sheets(sheets)
    with open_to_measure(ctx) as store:
        found = store.looks.disagreements(label=label, count=count, space=space)
        say_notes(found.notes)
        _print_disagreements(found, as_json=as_json)
        _write_sheets(store, found, sheets)


_samples_option = click.option(
    "--samples", type=click.IntRange(min=0), default=8, show_default=True, help="Decoded, if it can."
)
_seed_option = click.option("--seed", type=int, default=0, show_default=True, help="Of the samples.")
_drawing_option = click.option(
    "--out", type=click.Path(path_type=Path), required=True, help="What to draw: a .png or .html file."
)
_posterior_space_option = click.option("--space", help="Name or fingerprint; the newest of posteriors.")


@look_command.command("posterior", epilog=examples("olrsearch look posterior 000001.jpg --out posterior.png"))
@click.argument("images", nargs=-1, required=True)
@_drawing_option
@_samples_option
@_seed_option
@_posterior_space_option
@click.pass_context
def posterior(
    ctx: click.Context, images: tuple[str, ...], out: Path, samples: int, seed: int, space: str | None
) -> None:
    """The posteriors of IMAGES: covariance, what it says of words, decoded mean and samples.

    IMAGES are keys, id:N, or image files that need not be in the store.
    """
    check_sheets((out,))
    with open_store(ctx, read_only=True) as store:
        found = store.looks.posteriors(images, samples=samples, seed=seed, space=space)
        _print_gaussians(found)
        say(f"drawn: {store.looks.plot(found, out)}")


@look_command.command("words", epilog=examples("olrsearch look words beard smiling --out prior.png"))
@click.argument("words", nargs=-1, required=True)
@_drawing_option
@click.option("--shrinkage", type=float, help="λ of the prior; the encoder's by default.")
@_samples_option
@_seed_option
@click.option("--vectors", metavar="PATH", help="The encoder's table of word vectors, where it is not found.")
@_posterior_space_option
@click.pass_context
def words_look(
    ctx: click.Context,
    words: tuple[str, ...],
    out: Path,
    shrinkage: float | None,
    samples: int,
    seed: int,
    vectors: str | None,
    space: str | None,
) -> None:
    """The prior of a set of WORDS, as a posterior is shown."""
    check_sheets((out,))
    with open_store(ctx, read_only=True) as store:
        found = store.looks.words(
            words, shrinkage=shrinkage, samples=samples, seed=seed, vectors=vectors, space=space
        )
        _print_gaussians([found])
        say(f"drawn: {store.looks.plot(found, out)}")


def _print_gaussians(looks: Sequence[GaussianLook]) -> None:
    say_notes(dict.fromkeys(note for look in looks for note in look.notes))
    width = max(len(look.name) for look in looks)
    for look in looks:
        low, high = look.deviations
        length = float(math.hypot(*look.gaussian.mean[0]))
        click.echo(
            f"{look.name:<{width}}  mean of length {length:.3f}, standard deviations {low:.3f} to {high:.3f}"
        )


def _print_norms(found: NormCorrelations, *, as_json: bool) -> None:
    if as_json:
        _emit(found)
        return
    click.echo(f"norms of {len(found.label_names)} labels over {found.images:,} images")
    listed = [_spelt(pair) for pair in (*found.together, *found.apart)] + [_spelt(row) for row in found.paper]
    width = max(map(len, listed), default=0)
    for heading, pairs in (("go together", found.together), ("go apart", found.apart)):
        if pairs:
            click.echo(f"\n{heading:<{width + 2}}   norms  labels")
        for pair in pairs:
            click.echo(f"  {_spelt(pair):<{width}}  {_signed(pair.norms)}  {_signed(pair.labels)}")
    if found.paper:
        click.echo(f"\n{'the paper names':<{width + 2}}   norms  labels   paper")
    for row in found.paper:
        figures = f"{_signed(row.norms)}  {_signed(row.labels)}  {_signed(row.paper)}"
        click.echo(f"  {_spelt(row):<{width}}  {figures}{'  reached' if row.reached else ''}")
    if math.isfinite(found.agreement):
        click.echo(f"\nover all pairs the two correlate at {found.agreement:+.3f}")


def _print_components(found: Components, *, as_json: bool) -> None:
    if as_json:
        _emit(found)
        return
    click.echo(f"{found.label}: {len(found.shares)} components over {found.images:,} images")
    shares = ", ".join(f"{number} {share:.1%}" for number, share in enumerate(found.shares[:_SHARES], 1))
    click.echo(f"share of variance: {shares}; effective rank {found.effective_rank:.2f}")
    click.echo(f"component {found.component} correlates with the logit of")
    rows = [(found.label, found.own), *((item.label, item.correlation) for item in found.others)]
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        click.echo(f"  {name:<{width}}  {_signed(value)}{'  (its own)' if name == found.label else ''}")
    width = max(len(item.key) for item in found.shown)
    digits = len(f"{found.images:,}")
    click.echo(f"\n{'rank':>{digits}}  {'image':<{width}}  projection  probability")
    for item in found.shown:
        click.echo(
            f"{item.rank:>{digits},}  {item.key:<{width}}  {item.projection:>+10.3f}  "
            f"{item.probability:>11.3f}"
        )


def _print_disagreements(found: Disagreements, *, as_json: bool) -> None:
    if as_json:
        _emit(found)
        return
    total = found.total
    click.echo(
        f"probe and teacher differ about {total.disagreements:,} of {total.entries:,} entries "
        f"({found.images:,} images)"
    )
    click.echo(_sides(total))
    counts = [row for row in found.labels[:_LABELS] if row.disagreements]
    width = max((len(row.label) for row in counts), default=0)
    if len(found.labels) > 1:
        for row in counts:
            click.echo(f"  {row.label:<{width}}  {row.disagreements:>6,}: {_sides(row)}")
    if not found.shown:
        return
    wide = max(len(item.key) for item in found.shown)
    width = max(len(item.label) for item in found.shown)
    click.echo(f"\n{'image':<{wide}}  {'label':<{width}}  stored   probe  teacher")
    for item in found.shown:
        click.echo(
            f"{item.key:<{wide}}  {item.label:<{width}}  {_STORED[item.stored]:<7}  {item.probe:>5.3f}  "
            f"{item.teacher:>7.3f}"
        )


def _sides(row: DisagreementCount) -> str:
    said = f"the stored label sides with the probe {row.with_probe:,} times, the teacher {row.with_teacher:,}"
    return f"{said}, is unknown {row.unknown:,}" if row.unknown else said


def _spelt(pair: LabelPair | NormCorrelation) -> str:
    return f"{pair.first} / {pair.second}"


def _signed(value: float) -> str:
    return f"{value:>+6.3f}" if math.isfinite(value) else f"{'–':>6}"


def _emit(found: NormCorrelations | Components | Disagreements) -> None:
    from olrsearch.api.looks import Looks

    emit_json(Looks.to_dict(found))


def _check_plot(out: Path | None) -> None:
    """Refuse a plot of another form before anything is measured."""
    if out is not None:
        from olrsearch.api.pictures import check_plot

        check_plot(out)


def _plot(store: Store, found: NormCorrelations | Components, out: Path | None) -> None:
    if out is not None:
        say(f"plot: {store.looks.plot(found, out)}")


def _write_sheets(store: Store, found: Components | Disagreements, paths: tuple[Path, ...]) -> None:
    for path in paths:
        say(f"sheet: {store.looks.sheet(found, path)}")
