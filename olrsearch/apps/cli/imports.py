"""`olrsearch import …`: bring images and labels into a store."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

import click

from olrsearch.apps.cli.common import Group, emit_json, examples, open_store, say, split_names

if TYPE_CHECKING:
    from collections.abc import Callable

    from olrsearch import OnError

_MANY = 10


class _Shared(TypedDict):
    """The values of `_shared_options`."""

    name: str | None
    on_error: OnError
    limit: int | None
    no_thumbnails: bool
    as_json: bool


def _shared_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options every reader has."""
    for option in (
        click.option("--json", "as_json", is_flag=True, help="The report as one JSON object."),
        click.option("--no-thumbnails", is_flag=True, help="Keep no small copies for contact sheets."),
        click.option("--limit", type=click.IntRange(min=1), help="Import at most this many images."),
        click.option(
            "--on-error",
            type=click.Choice(["skip", "fail"]),
            default="skip",
            show_default=True,
            help="Unreadable images: count and skip them, or stop at the first.",
        ),
        click.option("--name", help="Name of the data set in the store."),
    ):
        command = option(command)
    return command


@click.group("import", cls=Group)
def import_command() -> None:
    """Bring images and labels into a store (which is created if there is none).

    Importing again is safe: unchanged images are left alone, changed labels become a new
    label revision, changed files a new image.
    """


@import_command.command("celeba", epilog=examples("olrsearch import celeba ~/celeba"))
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--images", type=click.Path(path_type=Path), help="Image folder or zip, if elsewhere.")
@click.option(
    "--annotations",
    type=click.Path(path_type=Path),
    help="Annotation folder or zip, if elsewhere; or one table of labels (an export).",
)
@_shared_options
@click.pass_context
def celeba(
    ctx: click.Context,
    path: Path,
    images: Path | None,
    annotations: Path | None,
    **shared: Unpack[_Shared],
) -> None:
    """CelebA's layout, from folders or from the zips as distributed (read in place)."""
    reader = {"images": images, "annotations": annotations}
    _import(ctx, "celeba", path, reader, **shared)


@import_command.command(
    "folder", epilog=examples("olrsearch import folder ~/photos --labels labels.csv --name photos")
)
@click.argument("path", type=click.Path(path_type=Path))
@click.option(
    "--labels",
    type=click.Path(path_type=Path),
    help="CSV, Parquet, JSON lines or CelebA's .txt: one row an image.",
)
@click.option("--key-column", help="The column that names the image file.")
@_shared_options
@click.pass_context
def folder(
    ctx: click.Context,
    path: Path,
    labels: Path | None,
    key_column: str | None,
    **shared: Unpack[_Shared],
) -> None:
    """Any folder of images, with or without a table of labels."""
    reader = {"labels": labels, "key_column": key_column}
    _import(ctx, "folder", path, reader, **shared)


@import_command.command("idx", epilog=examples("olrsearch import idx mnist"))
@click.argument("images", type=click.Path(path_type=Path))
@click.argument("labels", type=click.Path(path_type=Path), required=False)
@click.option("--names", help="Label names, comma-separated, in the order of the classes.")
@_shared_options
@click.pass_context
def idx(
    ctx: click.Context,
    images: Path,
    labels: Path | None,
    names: str | None,
    **shared: Unpack[_Shared],
) -> None:
    """MNIST-style idx files, gzipped or not, or a folder that holds the usual four.

    Label files hold one class an image, or rows of several.
    """
    reader = {"labels": labels, "names": split_names(names)}
    _import(ctx, "idx", images, reader, **shared)


@import_command.command("cifar100", epilog=examples("olrsearch import cifar100 cifar-100-binary --coarse"))
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--coarse", is_flag=True, help="Take the 20 coarse classes for labels, not the 100 fine ones.")
@_shared_options
@click.pass_context
def cifar100(
    ctx: click.Context,
    path: Path,
    coarse: bool,
    **shared: Unpack[_Shared],
) -> None:
    """CIFAR-100's binary version, from its folder or from the tar as distributed (read in place)."""
    _import(ctx, "cifar100", path, {"coarse": coarse}, **shared)


def _import(
    ctx: click.Context,
    kind: str,
    path: Path,
    reader: dict[str, Any],
    *,
    name: str | None,
    on_error: OnError,
    limit: int | None,
    no_thumbnails: bool,
    as_json: bool,
) -> None:
    from olrsearch import open_dataset

    dataset, called = open_dataset(
        kind, path, **reader
    )  # first: where there is none, no store is made for it
    with open_store(ctx, create=True) as store:
        report = store.import_dataset(
            dataset,
            name=called if name is None else name,
            on_error=on_error,
            limit=limit,
            thumbnails=not no_thumbnails,
        )
    if as_json:
        emit_json(report.to_dict())
        return
    click.echo(
        f"{report.dataset}: {report.added:,} added, {report.unchanged:,} unchanged, "
        f"{report.relabelled:,} relabelled, {report.replaced:,} replaced, {len(report.failed):,} unreadable"
    )
    for issue in report.issues:
        say(f"note: {issue.message}")
    for failure in report.failed[:_MANY]:
        say(f"unreadable: {failure.key}: {failure.reason}")
    if len(report.failed) > _MANY:
        say(f"unreadable: and {len(report.failed) - _MANY:,} more (--json lists them all)")
