"""The demo's editing: a decoder beside the encoder, an avatar with labels added and removed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from olrsearch.apps.cli.everywhere import this_call

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from olrsearch import Store

_QUERY: Final = "!smiling & eyeglasses & !wearing_hat"
"""Of the avatar that is edited."""

_EDITS: Final = "+Smiling -Eyeglasses"
_UNSEEN: Final = "partition = 'val'"


def edit_avatar(
    ctx: click.Context,
    store: Store,
    folder: Path,
    space: str,
    profile: str,
    seed: int,
    step: Callable[[str], None],
) -> list[Path]:
    """Train a decoder where there is none, edit an avatar, and find some that are like it.

    Args:
        ctx: Says whether progress is shown.
        store: The demo's.
        folder: Where sheets are written.
        space: Of label embeddings.
        profile: Training profile.
        seed: Of training.
        step: Called with a line about each thing done.

    Returns:
        The sheets.
    """
    image = store.search(_QUERY, 1, where=_UNSEEN, space=space).hits[0].key
    edited = store.edits.edit(image, _EDITS, space=space)
    if edited.pictures is None:
        begun = store.encoders.has_unfinished_run("decoder")  # which keeps its own settings
        trained = store.encoders.train_decoder(
            space,
            profile,
            settings=None if begun else {"seed": str(seed)},
            resume=begun,
            progress=not this_call(ctx).quiet,
        )
        for line in trained.lines():
            step(line)
        edited = store.edits.edit(image, _EDITS, space=space)
    changes = ", ".join(f"{item.label} {item.before:.2f} → {item.after:.2f}" for item in edited.asked)
    click.echo(f"olrsearch edit {image} {_EDITS}\n  {changes}; the picture is made, not found")
    sheets = [store.edits.sheet(edited, folder / f"edited{suffix}") for suffix in (".html", ".png")]
    grid = store.edits.grid(image, f"{_EDITS} +Beard", space=space)
    sheets.append(store.edits.sheet(grid, folder / "edits.png"))
    found = store.edits.find(image, _EDITS, 13, space=space)
    best = ", ".join(hit.key for hit in found.hits[:5])
    click.echo(f"olrsearch edit {image} {_EDITS} --find\n  {best}, …")
    sheets.append(store.sheet(found, folder / "like-edited.png", asked=[image]))
    return sheets
