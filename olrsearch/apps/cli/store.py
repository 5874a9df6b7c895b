"""`olrsearch store …`: create, inspect, verify, clean, relocate and migrate stores."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from olrsearch.apps.cli import completion
from olrsearch.apps.cli.common import Group, examples, open_store, say, show, store_path
from olrsearch.apps.cli.options import json_option
from olrsearch.core.counted import counted

if TYPE_CHECKING:
    from collections.abc import Iterator


@click.group("store", cls=Group)
def store_command() -> None:
    """Create, inspect, verify, relocate and migrate stores."""


@store_command.command("create", epilog=examples("olrsearch --store faces store create"))
@click.option(
    "--database-url",
    envvar="OLRSEARCH_DATABASE_URL",
    show_envvar=True,
    help="A PostgreSQL URL; a SQLite file in the store's folder by default. It is not written down: "
    "set the environment variable whenever the store is used.",
)
@click.pass_context
def create(ctx: click.Context, database_url: str | None) -> None:
    """Create an empty store."""
    from olrsearch import Store

    with Store.create(store_path(ctx), database_url=database_url) as store:
        say(f"created {store.path}; next: olrsearch import --help")


@store_command.command("info", epilog=examples("olrsearch store info"))
@json_option("One JSON object.")
@click.pass_context
def info(ctx: click.Context, as_json: bool) -> None:
    """What the store holds: data sets, images, labels, spaces, indexes."""
    with open_store(ctx, read_only=True) as store:
        found = store.info()
    show([found], _info_lines(found), as_json=as_json)


def _info_lines(found: dict[str, Any], indent: str = "") -> Iterator[str]:
    for name, value in found.items():
        if isinstance(value, dict):
            yield f"{indent}{name}:"
            yield from _info_lines(value, f"{indent}  ")
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            for item in value:
                rest = {key: what for key, what in item.items() if key != "name"}
                yield from _info_lines({f"{name} {item.get('name', '')}".strip(): rest}, indent)
        elif isinstance(value, list):
            yield f"{indent}{name}: {', '.join(map(str, value)) or '—'}"
        else:
            yield f"{indent}{name}: {'—' if value is None else value}"


@store_command.command("verify", epilog=examples("olrsearch store verify --sources"))
@click.option("--sources", is_flag=True, help="Also read every image file and compare its hash.")
@json_option("One JSON object.")
@click.pass_context
def verify(ctx: click.Context, sources: bool, as_json: bool) -> None:
    """Check every file against its checksums, and the metadata against the files.

    Exit code 1 if anything is damaged or missing. Files that belong to nothing
    (left by an interrupted write) are named and are no damage: `olrsearch store clean`
    removes them.
    """
    with open_store(ctx, read_only=True) as store:
        report = store.verify(sources=sources)
    show([report.to_dict()], report.lines(), as_json=as_json)
    if not report.ok:
        ctx.exit(1)


@store_command.command("clean", epilog=examples("olrsearch store clean"))
@json_option("One JSON object.")
@click.pass_context
def clean(ctx: click.Context, as_json: bool) -> None:
    """Remove what interrupted writes have left behind.

    Files that no program of ours has made stay, as do runs that can be gone on with.
    """
    with open_store(ctx) as store:
        gone = store.clean()
    lines = [*(f"removed {name}" for name in gone), f"{len(gone):,} removed"]
    show([{"removed": gone}], lines, as_json=as_json)


@store_command.command("relocate", epilog=examples("olrsearch store relocate celeba /media/celeba"))
@click.argument("dataset", shell_complete=completion.datasets())
@click.argument("root", type=click.Path(path_type=Path, exists=True))
@click.pass_context
def relocate(ctx: click.Context, dataset: str, root: Path) -> None:
    """Tell the store that DATASET's images now lie below ROOT."""
    with open_store(ctx) as store:
        found, total = store.relocate(dataset, root)
    say(f"{dataset}: {found:,} of {counted(total, 'image')} found below {root}")


@store_command.command("migrate", epilog=examples("olrsearch store migrate"))
@click.pass_context
def migrate(ctx: click.Context) -> None:
    """Bring an older store's metadata to this version's schema (a SQLite file is copied first)."""
    from olrsearch import Store

    before, after = Store.migrate(store_path(ctx), database_url=os.environ.get("OLRSEARCH_DATABASE_URL"))
    say(
        f"metadata schema: {before} → {after}" if before != after else f"metadata schema: {after}, up to date"
    )
