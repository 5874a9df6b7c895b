"""`olrsearch index …`: build and inspect indexes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from olrsearch.apps.cli import completion
from olrsearch.apps.cli.common import Group, examples, open_store, say, show
from olrsearch.apps.cli.everywhere import interruptible
from olrsearch.apps.cli.options import json_option, space_option

if TYPE_CHECKING:
    from collections.abc import Iterator

_WORTH_SAYING = 1_000_000
"""Bytes that somebody wants to know of before they are written."""
_space_option = space_option("of label embeddings by default, else of posteriors")


@click.group("index", cls=Group)
def index_command() -> None:
    """Build and inspect indexes. Queries work without any: they then scan the segments."""


@index_command.command(
    "build", epilog=examples("olrsearch index build", "olrsearch index build --recipe hnsw")
)
@click.option(
    "--recipe",
    shell_complete=completion.one_of("exact", "hnsw", "sq8", "torch", "kl-projected", "kl-torch"),
    default="exact",
    show_default=True,
    help="exact, hnsw, sq8, torch, of posteriors kl-projected, kl-torch, or a recipe file.",
)
@_space_option
@click.pass_context
def build(ctx: click.Context, recipe: str, space: str | None) -> None:
    """Build the label scores, and what a recipe adds to the exact scan.

    Of a space of posteriors: the KL features of both directions, and the word scores; by a recipe kl-… an
    index that proposes images, of the newest space of posteriors by default.
    """
    interruptible(ctx)
    with open_store(ctx) as store:
        need, inside = store.indexes.estimate(recipe, space=space)
        if need >= _WORTH_SAYING:
            say(f"{recipe}: about {need / 1e6:,.0f} MB beside the segments")
        for line in store.indexes.build(recipe, space=space):
            say(line)
        if inside:  # which is taken when it is searched
            say(f"{recipe}: about {inside / 1e6:,.0f} MB on the device")


@index_command.command("info", epilog=examples("olrsearch index info"))
@_space_option
@json_option("One JSON object.")
@click.pass_context
def info(ctx: click.Context, space: str | None, as_json: bool) -> None:
    """What is built, how large it is, and its measured recall."""
    with open_store(ctx, read_only=True) as store:
        found = store.indexes.info(space=space)
    show([found], _lines(found), as_json=as_json)


def _lines(found: dict[str, Any]) -> Iterator[str]:
    yield f"space: {found['space']}"
    yield f"scan: {found['scan']}"
    for name, index in found["indexes"].items():
        files = index["files"]
        size = sum(file["bytes"] for file in files) / 1e6
        measured = index["recall"].values() if "recall" in index else (file["recall"] for file in files)
        recall = min((found["at_10"] for found in measured), default=1.0)
        what = f" ({index['direction']})" if "direction" in index else ""
        if not files:
            yield f"{name}{what}: label scores"
            continue
        yield f"{name}{what}: {len(files)} files, {size:.1f} MB, recall@10 ≥ {recall:.3f}"
    yield from found["notes"]
