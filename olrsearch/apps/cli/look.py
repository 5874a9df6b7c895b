"""`olrsearch look …`: look into the embedding, as the papers do."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import click

from olrsearch.api.labels import VALUE_NAMES
from olrsearch.apps.cli import completion
from olrsearch.apps.cli.common import (
    Group,
    examples,
    open_store,
    open_to_measure,
    say,
    say_notes,
    show,
    tell,
)
from olrsearch.apps.cli.options import (
    NATURAL,
    PLOT,
    POSITIVE,
    SHEET,
    json_option,
    meanings_option,
    names,
    seed_option,
    sheets_option,
    space_option,
    together,
    where_option,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from olrsearch import (
        Components,
        DisagreementCount,
        Disagreements,
        GaussianLook,
        LabelPair,
        LatentMap,
        NormCorrelation,
        NormCorrelations,
        Reconstructions,
        Store,
    )
    from olrsearch.apps.cli.options import Option

_SHARES = 5
_LABELS = 10

_space_option = space_option("of label embeddings")
_json_option = json_option("Everything, as one JSON object.")


def _plot_option(what: str) -> Option:
    return click.option("--out", type=PLOT, help=f"Also draw {what}: a .png file.")


@click.group("look", cls=Group)
def look_command() -> None:
    """Look into the embedding: norms, components, disagreements with the teacher; posteriors, words."""


@look_command.command(
    "norms", epilog=examples("olrsearch look norms --labels Male,Young,Smiling --out norms.png")
)
@click.option(
    "--labels",
    callback=names,
    shell_complete=completion.labels(listed=True),
    help="Only these labels, comma-separated; all the encoder knows by default.",
)
@where_option
@_plot_option("the heat maps")
@_space_option
@_json_option
@click.pass_context
def norms(ctx: click.Context, /, out: Path | None, as_json: bool, **options: Any) -> None:
    """Which labels go together: correlations of the norms of their embeddings, beside the labels' own.

    A norm tells how much of a label an image shows. Stored labels that were never known together
    have no correlation.
    """
    with open_store(ctx, read_only=True) as store:
        found = store.looks.norms(**options)
        _show(found, _norm_lines(found), as_json=as_json)
        _plot(store, found, out)


@look_command.command(
    "components", epilog=examples("olrsearch look components Smiling --out smiling.png --sheet smiling.html")
)
@click.argument("label", shell_complete=completion.labels())
@click.option("--component", type=POSITIVE, default=1, show_default=True, help="Which one, from 1.")
@click.option("--count", type=click.IntRange(min=2), default=32, show_default=True, help="Images shown.")
@where_option
@sheets_option
@_plot_option("the shares of variance and what the component goes along with")
@_space_option
@_json_option
@click.pass_context
def components(
    ctx: click.Context,
    /,
    label: str,
    sheets: tuple[Path, ...],
    out: Path | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Principal components of a label's embeddings, with images in order along one of them.

    The component points to where LABEL is likelier.
    """
    with open_store(ctx, read_only=True) as store:
        found = store.looks.components(label, **options)
        _show(found, _component_lines(found), as_json=as_json)
        _write_sheets(store, found, sheets)
        _plot(store, found, out)


@look_command.command(
    "disagreements", epilog=examples("olrsearch look disagreements --label Smiling --sheet apart.html")
)
@click.option("--label", shell_complete=completion.labels(), help="Only this label; all by default.")
@click.option("--count", type=POSITIVE, default=50, show_default=True, help="Entries listed.")
@sheets_option
@_space_option
@_json_option
@click.pass_context
def disagreements(ctx: click.Context, /, sheets: tuple[Path, ...], as_json: bool, **options: Any) -> None:
    """Images of val and test about which a linear probe on the embeddings and the teacher differ.

    Farthest apart first, with how often the stored label sides with either. Needs the teacher,
    which the training run in the store keeps.
    """
    with open_to_measure(ctx) as store:
        found = store.looks.disagreements(**options)
        _show(found, _disagreement_lines(found), as_json=as_json)
        _write_sheets(store, found, sheets)


@look_command.command(
    "reconstruct", epilog=examples("olrsearch look reconstruct 000001.jpg 000002.jpg --sheet made.png")
)
@click.argument("images", nargs=-1, required=True, shell_complete=completion.images(files=True))
@sheets_option
@_space_option
@json_option("One JSON object an image.")
@click.pass_context
def reconstruct(
    ctx: click.Context, /, images: tuple[str, ...], sheets: tuple[Path, ...], as_json: bool, **options: Any
) -> None:
    """What the decoder makes of the embeddings of IMAGES: pictures that are made, not found.

    IMAGES are keys, id:N, or image files that need not be in the store. A sheet shows each image, the
    decoder's picture and the linear reconstruction. Needs a decoder: olrsearch train decoder.
    """
    with open_store(ctx, read_only=True) as store:
        found = store.looks.reconstruct(images, **options)
        say_notes(found.notes)
        show([item.to_dict() for item in found.images], _likeness_lines(found), as_json=as_json)
        _write_sheets(store, found, sheets)


_drawing_option = click.option("--out", type=SHEET, required=True, help="What to draw: a .png or .html file.")
_samples_options = together(
    click.option("--samples", type=NATURAL, default=8, show_default=True, help="Decoded, if it can."),
    seed_option("Of the samples."),
)
_posterior_space_option = space_option("of posteriors")


@look_command.command("posterior", epilog=examples("olrsearch look posterior 000001.jpg --out posterior.png"))
@click.argument("images", nargs=-1, required=True, shell_complete=completion.images(files=True))
@_drawing_option
@_samples_options
@_posterior_space_option
@click.pass_context
def posterior(ctx: click.Context, /, images: tuple[str, ...], out: Path, **options: Any) -> None:
    """The posteriors of IMAGES: covariance, what it says of words, decoded mean and samples.

    IMAGES are keys, id:N, or image files that need not be in the store.
    """
    with open_store(ctx, read_only=True) as store:
        _draw(store, store.looks.posteriors(images, **options), out)


@look_command.command("words", epilog=examples("olrsearch look words beard smiling --out prior.png"))
@click.argument("words", nargs=-1, required=True, shell_complete=completion.words())
@_drawing_option
@click.option("--shrinkage", type=float, help="λ of the prior; the encoder's by default.")
@_samples_options
@meanings_option
@_posterior_space_option
@click.pass_context
def words_look(ctx: click.Context, /, words: tuple[str, ...], out: Path, **options: Any) -> None:
    """The prior of a set of WORDS, as a posterior is shown."""
    with open_store(ctx, read_only=True) as store:
        _draw(store, [store.looks.words(words, **options)], out)


@look_command.command("map", epilog=examples("olrsearch look map --by lda --out map.png"))
@click.option("--out", type=PLOT, required=True, help="What to draw: a .png file.")
@click.option(
    "--by",
    type=click.Choice(["auto", "plain", "pca", "lda", "tsne"]),
    default="auto",
    show_default=True,
    help="How the dimensions become two; auto: as they are, or else lda, which tells words apart.",
)
@click.option("--count", type=POSITIVE, default=2000, show_default=True, help="Images drawn, at random.")
@click.option(
    "--labels",
    callback=names,
    shell_complete=completion.words(),
    help="Only these words, comma-separated; all the encoder has by default.",
)
@where_option
@seed_option("Of the images drawn, and of t-SNE.")
@_posterior_space_option
@json_option("Everything that is drawn, as one JSON object.")
@click.pass_context
def map_look(ctx: click.Context, /, out: Path, as_json: bool, **options: Any) -> None:
    """The latent space in two dimensions: images as points, words as ellipses of their Gaussians.

    A point has the colour of the one word that its image shows, and is grey where that is none or several.
    """
    with open_store(ctx, read_only=True) as store:
        found = store.looks.map(**options)
        _show(found, iter(()), as_json=as_json)
        say(f"plot: {store.looks.plot(found, out)}")


def _draw(store: Store, looks: Sequence[GaussianLook], out: Path) -> None:
    say_notes(dict.fromkeys(note for look in looks for note in look.notes))
    width = max(len(look.name) for look in looks)
    for look in looks:
        low, high = look.deviations
        length = float(math.hypot(*look.gaussian.mean[0]))
        tell(
            f"{look.name:<{width}}  mean of length {length:.3f}, standard deviations {low:.3f} to {high:.3f}"
        )
    say(f"drawn: {store.looks.plot(looks, out)}")


def _norm_lines(found: NormCorrelations) -> Iterator[str]:
    yield f"norms of {len(found.label_names)} labels over {found.images:,} images"
    listed = [_spelt(pair) for pair in (*found.together, *found.apart)] + [_spelt(row) for row in found.paper]
    width = max(map(len, listed), default=0)
    for heading, pairs in (("go together", found.together), ("go apart", found.apart)):
        if pairs:
            yield ""
            yield f"{heading:<{width + 2}}   norms  labels"
        for pair in pairs:
            yield f"  {_spelt(pair):<{width}}  {_signed(pair.norms)}  {_signed(pair.labels)}"
    if found.paper:
        yield ""
        yield f"{'the paper names':<{width + 2}}   norms  labels   paper"
    for row in found.paper:
        figures = f"{_signed(row.norms)}  {_signed(row.labels)}  {_signed(row.paper)}"
        yield f"  {_spelt(row):<{width}}  {figures}{'  reached' if row.reached else ''}"
    if math.isfinite(found.agreement):
        yield ""
        yield f"over all pairs the two correlate at {found.agreement:+.3f}"


def _component_lines(found: Components) -> Iterator[str]:
    yield f"{found.label}: {len(found.shares)} components over {found.images:,} images"
    shares = ", ".join(f"{number} {share:.1%}" for number, share in enumerate(found.shares[:_SHARES], 1))
    yield f"share of variance: {shares}; effective rank {found.effective_rank:.2f}"
    yield f"component {found.component} correlates with the logit of"
    rows = [(found.label, found.own), *((item.label, item.correlation) for item in found.others)]
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        yield f"  {name:<{width}}  {_signed(value)}{'  (its own)' if name == found.label else ''}"
    width = max(len(item.key) for item in found.shown)
    digits = len(f"{found.images:,}")
    yield ""
    yield f"{'rank':>{digits}}  {'image':<{width}}  projection  probability"
    for item in found.shown:
        yield (
            f"{item.rank:>{digits},}  {item.key:<{width}}  {item.projection:>+10.3f}  "
            f"{item.probability:>11.3f}"
        )


def _disagreement_lines(found: Disagreements) -> Iterator[str]:
    total = found.total
    yield (
        f"probe and teacher differ about {total.disagreements:,} of {total.entries:,} entries "
        f"({found.images:,} images)"
    )
    yield _sides(total)
    counts = [row for row in found.labels[:_LABELS] if row.disagreements]
    width = max((len(row.label) for row in counts), default=0)
    if len(found.labels) > 1:
        for row in counts:
            yield f"  {row.label:<{width}}  {row.disagreements:>6,}: {_sides(row)}"
    if not found.shown:
        return
    wide = max(len(item.key) for item in found.shown)
    width = max(len(item.label) for item in found.shown)
    yield ""
    yield f"{'image':<{wide}}  {'label':<{width}}  stored   probe  teacher"
    for item in found.shown:
        yield (
            f"{item.key:<{wide}}  {item.label:<{width}}  {VALUE_NAMES[item.stored]:<7}  {item.probe:>5.3f}  "
            f"{item.teacher:>7.3f}"
        )


def _likeness_lines(found: Reconstructions) -> Iterator[str]:
    width = max(5, *(len(item.name) for item in found.images))
    yield f"{'image':<{width}}   SSIM   PSNR     MSE  linear SSIM"
    for item in found.images:
        if item.likeness is None or item.linear_likeness is None:
            yield f"{item.name:<{width}}  its file is gone: nothing to compare with"
            continue
        alike, linear = item.likeness, item.linear_likeness
        figures = f"{alike.ssim:.3f}  {alike.psnr:>5.2f}  {alike.mse:.4f}  {linear.ssim:>11.3f}"
        yield f"{item.name:<{width}}  {figures}"


def _sides(row: DisagreementCount) -> str:
    said = f"the stored label sides with the probe {row.with_probe:,} times, the teacher {row.with_teacher:,}"
    return f"{said}, is unknown {row.unknown:,}" if row.unknown else said


def _spelt(pair: LabelPair | NormCorrelation) -> str:
    return f"{pair.first} / {pair.second}"


def _signed(value: float) -> str:
    return f"{value:>+6.3f}" if math.isfinite(value) else f"{'–':>6}"


def _show(
    found: NormCorrelations | Components | Disagreements | LatentMap,
    lines: Iterator[str],
    *,
    as_json: bool,
) -> None:
    from olrsearch.api.looks import Looks

    say_notes(found.notes)
    show([Looks.to_dict(found)] if as_json else [], lines, as_json=as_json)


def _plot(store: Store, found: NormCorrelations | Components, out: Path | None) -> None:
    if out is not None:
        say(f"plot: {store.looks.plot(found, out)}")


def _write_sheets(
    store: Store, found: Components | Disagreements | Reconstructions, paths: tuple[Path, ...]
) -> None:
    for path in paths:
        say(f"sheet: {store.looks.sheet(found, path)}")
