"""`olrsearch import …`: bring images and labels into a store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from olrsearch.api.imports import TableOptions
from olrsearch.apps.cli.common import (
    Group,
    emit_json,
    examples,
    images,
    open_store,
    say,
    say_notes,
    tell,
)
from olrsearch.apps.cli.everywhere import interruptible, this_call
from olrsearch.apps.cli.options import PATH, POSITIVE, json_option, names, on_error_option, together
from olrsearch.core.counted import counted
from olrsearch.core.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from olrsearch import ImportReport

_MANY = 10
_shared_options = together(
    click.option("--name", help="Name of the data set in the store."),
    on_error_option,
    click.option("--limit", type=POSITIVE, help="Import at most this many images."),
    click.option("--sync", is_flag=True, help="Take images whose files are gone out of every answer."),
    click.option(
        "--remove-most", is_flag=True, help="Let --sync remove more than half of the data set's images."
    ),
    click.option("--restore", is_flag=True, help="Bring back images that were deleted from the store."),
    click.option(
        "--max-file-mb",
        type=POSITIVE,
        default=256,
        show_default=True,
        help="Skip images whose files are larger than this many megabytes.",
    ),
    click.option("--no-thumbnails", is_flag=True, help="Keep no small copies for contact sheets."),
    json_option("The report as one JSON object."),
)
_table_options = together(
    click.option("--columns", callback=names, help="Take only these labels of the table, comma-separated."),
    click.option("--exclude-columns", callback=names, help="Leave these columns of the table out."),
    click.option(
        "--class-columns", callback=names, help="Columns that name a class each; every class becomes a label."
    ),
    click.option("--key-column", help="The column that names the image file."),
    click.option("--partition-column", help="The column of partitions, where it is not called partition."),
    click.option("--identity-column", help="The column of who is shown, where it is not called identity."),
    click.option(
        "--header/--no-header",
        default=True,
        help="Whether the first row of a CSV names the columns; if not, they are Column_1, Column_2, ….",
    ),
    click.option(
        "--zero",
        type=click.Choice(["absent", "unknown"]),
        help="What 0 means; by default unknown if any label of the table is -1, otherwise absent.",
    ),
)
_TABLE: Final = tuple(TableOptions.__annotations__)


@click.group("import", cls=Group)
def import_command() -> None:
    """Bring images and labels into a store (which is created if there is none).

    Importing again is safe: unchanged images are left alone, changed labels become a new
    label revision, changed files a new image that keeps what was said of the old one, renamed
    files keep their image. Deleted images stay deleted (--restore). Files that are gone are
    counted, and answer until they are removed (--sync).
    """


@import_command.command("celeba", epilog=examples("olrsearch import celeba ~/celeba"))
@click.argument("path", type=PATH)
@click.option("--images", type=PATH, help="Image folder or zip, if elsewhere.")
@click.option(
    "--annotations",
    type=PATH,
    help="Annotation folder or zip, if elsewhere; or one table of labels (an export).",
)
@_table_options
@_shared_options
@click.pass_context
def celeba(
    ctx: click.Context, /, path: Path, images: Path | None, annotations: Path | None, **options: Any
) -> None:
    """CelebA's layout, from folders or from the zips as distributed (read in place)."""
    reader = {"images": images, "annotations": annotations, **_split(options)}
    _import(ctx, "celeba", path, reader, **options)


@import_command.command(
    "folder",
    epilog=examples(
        "olrsearch import folder ~/photos --labels labels.csv --name photos",
        "olrsearch import folder ~/birds --labels-from folders",
    ),
)
@click.argument("path", type=PATH)
@click.option(
    "--labels",
    type=PATH,
    help="CSV, Parquet, JSON lines or CelebA's .txt: one row an image.",
)
@click.option(
    "--labels-from",
    type=click.Choice(["folders"]),
    help="One folder a class: labels are named as folders are.",
)
@click.option(
    "--exclude",
    multiple=True,
    metavar="PATTERN",
    help="Leave out files and folders of this name: raw, '*_small.jpg'. May be given several times.",
)
@_table_options
@_shared_options
@click.pass_context
def folder(
    ctx: click.Context,
    /,
    path: Path,
    labels: Path | None,
    labels_from: str | None,
    exclude: tuple[str, ...],
    **options: Any,
) -> None:
    """Any folder of images, with or without a table of labels."""
    reader = {"labels": labels, "labels_from": labels_from, "exclude": exclude, **_split(options)}
    _import(ctx, "folder", path, reader, **options)


@import_command.command("idx", epilog=examples("olrsearch import idx mnist"))
@click.argument("images", type=PATH)
@click.argument("labels", type=PATH, required=False)
@click.option("--names", callback=names, help="Label names, comma-separated, in the order of the classes.")
@_shared_options
@click.pass_context
def idx(
    ctx: click.Context, /, images: Path, labels: Path | None, names: list[str] | None, **shared: Any
) -> None:
    """MNIST-style idx files, gzipped or not, or a folder that holds the usual four.

    Label files hold one class an image, or rows of several.
    """
    _import(ctx, "idx", images, {"labels": labels, "names": names}, **shared)


@import_command.command("cifar100", epilog=examples("olrsearch import cifar100 cifar-100-binary --coarse"))
@click.argument("path", type=PATH)
@click.option("--coarse", is_flag=True, help="Take the 20 coarse classes for labels, not the 100 fine ones.")
@_shared_options
@click.pass_context
def cifar100(ctx: click.Context, /, path: Path, coarse: bool, **shared: Any) -> None:
    """CIFAR-100's binary version, from its folder or from the tar as distributed (read in place)."""
    _import(ctx, "cifar100", path, {"coarse": coarse}, **shared)


def _split(options: dict[str, Any]) -> dict[str, Any]:
    """Takes what is said of a table out of a command's options."""
    return {name: options.pop(name) for name in _TABLE}


def _import(
    ctx: click.Context,
    kind: str,
    path: Path,
    reader: dict[str, Any],
    *,
    name: str | None,
    no_thumbnails: bool,
    as_json: bool,
    **options: Any,
) -> None:
    from olrsearch import open_dataset

    if options["remove_most"] and not options["sync"]:
        raise click.UsageError("--remove-most lets --sync remove more: add --sync, or leave it out")
    interruptible(ctx)
    # First: where there is no data set, no store is made for it.
    dataset, usual = open_dataset(kind, path, **reader)
    with open_store(ctx, create=True) as store:
        report = store.import_dataset(
            dataset, name=name, usual=usual, thumbnails=not no_thumbnails, **options
        )
        # A store that was made for these images is not kept without any (`open_store`).
        if report.read == 0 and report.failed:
            raise DatasetError(
                f"nothing was imported: none of the {len(report.failed):,} files of {report.dataset!r} can "
                f"be read; the first, {report.failed[0].key}: {report.failed[0].reason}"
            )
        encoded = bool(store.info()["spaces"])
    if as_json:
        emit_json(report.to_dict())
        return
    tell(f"{report.dataset}: {', '.join(_counts(report))}")
    say_notes([*(issue.message for issue in report.issues), *_notes(ctx, report)])
    for failure in report.failed[:_MANY]:
        say(f"unreadable: {failure.key}: {failure.reason}")
    if len(report.failed) > _MANY:
        say(f"unreadable: and {len(report.failed) - _MANY:,} more (--json lists them all)")
    if report.added and not encoded:
        call = this_call(ctx)
        say(f"next: {call.command('list')} shows them, {call.command('encode')} makes them searchable")


def _counts(report: ImportReport) -> Iterator[str]:
    """What became of the images; what happens seldom is said where it happened."""
    yield f"{report.added:,} added, {report.unchanged:,} unchanged, {report.relabelled:,} relabelled"
    yield f"{report.replaced:,} replaced"
    seldom = {name: getattr(report, name) for name in ("updated", "moved", "restored", "removed")}
    yield from (f"{count:,} {name}" for name, count in seldom.items() if count)
    yield f"{len(report.failed):,} unreadable"


def _notes(ctx: click.Context, report: ImportReport) -> Iterator[str]:
    """What stayed as it was although something about it changed, and how to have it otherwise."""
    again = this_call(ctx).again
    kept = report.kept
    parts = [
        f"{what} {count:,}"
        for what, count in (
            ("labels of", kept.labels),
            ("partition of", kept.partitions),
            ("identity of", kept.identities),
            ("decisions:", kept.decisions),
        )
        if count
    ]
    if parts:
        yield (
            f"kept of {images(report.replaced + report.restored)} replaced or restored: {', '.join(parts)}; "
            "`olrsearch audit history` says which decisions were on other bytes"
        )
    if report.gone:
        one, many = "image still answers although its file is", "images still answer although their files are"
        yield (
            f"{counted(report.gone, one, many)} gone or left out "
            f"({', '.join(report.gone_examples)}{', …' if report.gone > len(report.gone_examples) else ''}): "
            f"`{again('--sync')}` removes {'it' if report.gone == 1 else 'them'}"
        )
    if report.stayed_deleted:
        yield (
            f"{images(report.stayed_deleted)} deleted from the store earlier: `{again('--restore')}` brings "
            f"{'it' if report.stayed_deleted == 1 else 'them'} back"
        )
