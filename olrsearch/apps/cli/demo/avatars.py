"""`olrsearch demo`: everything on generated avatars, with pictures, in minutes."""

from __future__ import annotations

import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from olrsearch.apps.cli.common import examples, say
from olrsearch.apps.cli.demo.audit import COUNT, audit_avatars, draw_avatars, open_or_create
from olrsearch.apps.cli.demo.edits import edit_avatar
from olrsearch.apps.cli.everywhere import interruptible, this_call
from olrsearch.apps.cli.options import PATH, seed_option
from olrsearch.core.counted import counted

if TYPE_CHECKING:
    from olrsearch import Ranking, Store

_QUERIES = (
    ("smiling-eyeglasses", "smiling & eyeglasses"),
    ("hat-beard", "wearing_hat & beard"),
    ("blond-no-glasses", "blond_hair & !eyeglasses & smiling"),
)


_WORDS = ("sunglasses", "beard")
_UNSEEN = "partition != 'train'"


@click.command("demo", epilog=examples("olrsearch demo demo --count 1000"))
@click.argument("folder", type=PATH, default=Path("demo"))
@click.option(
    "--count", type=click.IntRange(min=200), default=4000, show_default=True, help="How many avatars."
)
@seed_option("Of everything random.")
@click.option("--profile", default="demo", show_default=True, help="Training profile.")
@click.pass_context
def demo_command(ctx: click.Context, folder: Path, count: int, seed: int, profile: str) -> None:
    """Draw avatars, train, build a store, ask it, edit one, audit labels, and leave pictures in FOLDER.

    Run again, it goes on where it was interrupted.
    """
    interruptible(ctx)
    started = time.perf_counter()
    avatars, home = folder / "avatars", folder / "store"
    if avatars.exists():
        count = _there(avatars, count, typed=ctx.get_parameter_source("count") is ParameterSource.COMMANDLINE)
    draw_avatars(ctx, avatars, count=count, seed=seed)
    _step(f"avatars with labels in CelebA's layout: {avatars}", started)
    with open_or_create(ctx, home) as store:
        report = store.import_celeba(avatars, name="avatars")
        _step(f"imported: {report.added:,} added, {report.unchanged:,} unchanged", started)
        if _space(store, "labels") is None:
            _train(ctx, store, "olr", profile, {"seed": str(seed)}, started)
        encoded = store.encode(_space(store, "labels"))
        _step(f"encoded: {counted(encoded.encoded, 'image')}", started)
        for line in store.indexes.build():
            _step(line, started)
        if _space(store, "posterior") is None:
            # On the trunk that has just been trained: a minute instead of several.
            trunk = {"start_from": str(_space(store, "labels")), "freeze_trunk": "true"}
            _train(ctx, store, "informed-prior", profile, {"seed": str(seed), **trunk}, started)
        encoded = store.encode(_space(store, "posterior"))
        _step(f"posteriors of {counted(encoded.encoded, 'image')}", started)
        pictures = _ask(store, folder)
        _step("asked", started)
        pictures += edit_avatar(
            ctx,
            store,
            folder,
            str(_space(store, "labels")),
            profile,
            seed,
            lambda text: _step(text, started),
        )
        _step("edited", started)
        scores = _score(store)
        encoder = store.encoders.get(str(_space(store, "labels"))).path
    found, sheets = audit_avatars(
        ctx,
        folder,
        encoder,
        count=min(COUNT, count),
        seed=seed + 1,
        step=lambda text: _step(text, started),
    )
    click.echo()
    for heading, lines in (
        ("What it scored, on avatars that training has not seen:", scores),
        ("What the audit of avatars with wrong labels found:", found),
        ("Pictures:", map(str, (*pictures, *sheets))),
        (
            "Ask it yourself:",
            (
                f"olrsearch --store {home} search 'smiling & eyeglasses & !beard' --sheet {folder}/mine.html",
                f"olrsearch --store {home} words grin spectacles '!beard'",
                f"olrsearch --store {home} edit 000001.jpg +Beard -Smiling --sheet {folder}/edit.html",
                f"olrsearch --store {folder / 'audit'} audit list --label Eyeglasses",
            ),
        ),
    ):
        click.echo(heading)
        for line in lines:
            click.echo(f"  {line}")
    click.echo(f"Done in {time.perf_counter() - started:.0f} s.")


def _there(avatars: Path, count: int, *, typed: bool) -> int:
    """How many avatars an earlier call has drawn: it is gone on with them.

    Raises:
        DatasetError: another number was asked for.
    """
    from olrsearch import open_dataset
    from olrsearch.core.errors import DatasetError

    found = len(open_dataset("celeba", avatars)[0])
    if found != count and typed:
        raise DatasetError(
            f"{avatars} holds {found:,} avatars of an earlier call, and --count says {count:,}: leave it out "
            "to go on with them, or name another folder"
        )
    if found != count:
        say(f"going on with the {found:,} avatars in {avatars}")
    return found


def _train(
    ctx: click.Context, store: Store, kind: str, profile: str, settings: dict[str, str], started: float
) -> None:
    begun = store.encoders.has_unfinished_run(kind)  # which keeps its own settings
    trained = store.encoders.train(
        kind,
        profile,
        settings=None if begun else settings,
        resume=begun,
        progress=not this_call(ctx).quiet,
    )
    for line in trained.lines():
        _step(line, started)


def _space(store: Store, layout: str) -> str | None:
    """The newest space of a layout, by name; None where there is none."""
    names = [space["name"] for space in store.info()["spaces"] if space["layout"] == layout]
    return names[-1] if names else None


def _step(text: str, started: float) -> None:
    say(f"[{time.perf_counter() - started:4.0f} s] {text}")


def _ask(store: Store, folder: Path) -> list[Path]:
    """Run the example queries, print their first hits and write their sheets."""
    pictures: list[Path] = []
    for name, query in _QUERIES:
        ranking = store.search(query, 15, where=_UNSEEN)
        _show(f"search '{query}' --where \"{_UNSEEN}\"", ranking)
        pictures += [store.sheet(ranking, folder / f"{name}{suffix}") for suffix in (".html", ".png")]
    smile = store.search("smiling & eyeglasses", 1, where="partition = 'val'").hits[0].key
    hair = store.search("long_hair & !smiling", 1, where="partition = 'val'").hits[0].key
    whole = store.similar(smile, k=14)
    _show(f"similar {smile}", whole)
    pictures.append(store.sheet(whole, folder / "similar.png", asked=[smile]))
    mixed = store.similar(with_={"Smiling": smile, "Long_Hair": hair}, k=13)
    _show(f"similar --with Smiling={smile} --with Long_Hair={hair}", mixed)
    pictures.append(store.sheet(mixed, folder / "smile-and-hair.png", asked=[smile, hair]))
    words = store.words(_WORDS, k=15, where=_UNSEEN)
    _show(f'words {shlex.join(_WORDS)} --where "{_UNSEEN}"', words)
    pictures += [store.sheet(words, folder / f"words{suffix}") for suffix in (".html", ".png")]
    return pictures


def _show(question: str, ranking: Ranking) -> None:
    best = ", ".join(hit.key for hit in ranking.hits[:5])
    click.echo(f"olrsearch {question}\n  {best}, …")


def _score(store: Store) -> list[str]:
    """The figures of P2 on the avatars' val and test partitions."""
    from olrsearch.core.errors import BenchmarkError

    try:
        report = store.bench.queries(svm=False)
    except BenchmarkError as error:  # a small demo is still a demo
        return [f"not scored: {error}"]
    return [
        f"{kind:<12} P@20 {methods['ours']['p20']:.3f}  AP {methods['ours']['ap']:.3f}  "
        f"({report.counts[kind]} queries)"
        for kind, methods in report.scores.items()
    ]
