"""`olrsearch bench fuzz`: what parsers do with input that nobody meant well."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

import click

from olrsearch.apps.cli.common import counter, emit_json, examples, say
from olrsearch.apps.cli.options import PATH, POSITIVE, json_option, seed_option

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from olrsearch_benchmarks.fuzzing.harness import Outcome

_SHOWN: Final = 300
"""Characters of an input that are printed; `--keep` has all."""


@click.command(
    "fuzz", epilog=examples("olrsearch bench fuzz --parser where --parser queries --count 1000 --seed 1")
)
@click.option("--parser", "chosen", multiple=True, metavar="NAME", help="Only this one (repeatable).")
@click.option("--count", type=POSITIVE, default=100_000, show_default=True, help="Inputs a parser.")
@seed_option("Of the inputs.")
@click.option("--memory", is_flag=True, help="Also measure the memory that each input takes (Linux).")
@click.option("--keep", type=PATH, help="Write inputs that raise what has no name into this folder.")
@json_option("One JSON object a parser.")
@click.pass_context
def fuzz_command(
    ctx: click.Context,
    chosen: tuple[str, ...],
    count: int,
    seed: int,
    memory: bool,
    keep: Path | None,
    as_json: bool,
) -> None:
    """Feed parsers with made input, and count what they read, refuse by name, or stumble over.

    Needs no store. Ends with exit code 1 where a parser raised anything but an error of ours.
    """
    from olrsearch_benchmarks.fuzzing.harness import all_parsers, fuzz

    known = all_parsers()
    if unknown := [name for name in chosen if name not in known]:
        raise click.UsageError(f"no parser {unknown[0]!r}: expected some of {', '.join(known)}")
    outcomes = []
    for name in chosen or known:
        with counter(ctx, total=count, what=name, unit="inputs") as step:
            outcome = fuzz(known[name], count, seed=seed, memory=memory, step=partial(step, 1))
        outcomes.append(outcome)
        if as_json:
            emit_json(outcome.to_dict())
        else:
            click.echo("\n".join(_lines(outcome)))
        if keep is not None:
            _write(outcome, keep)
    if unnamed := sum(outcome.unnamed for outcome in outcomes):
        say(f"{unnamed:,} inputs raised what is no OlrsearchError")
        ctx.exit(1)


def _lines(outcome: Outcome) -> Iterator[str]:
    refused, slowest = sum(outcome.refused.values()), outcome.slowest[0]
    yield (
        f"{outcome.parser}: {outcome.accepted:,} read, {refused:,} refused by name, {outcome.unnamed:,} "
        f"unnamed; {outcome.seconds:.1f} s, slowest {slowest[0] * 1000:.1f} ms (input {slowest[1]})"
        + ("" if outcome.peak is None else f"; {outcome.peak[0] / 2**20:.1f} MiB (input {outcome.peak[1]})")
    )
    for fault in outcome.faults.values():
        shown = repr(fault.given)
        shown = shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}… ({len(shown):,} characters)"
        yield f"  {fault.count:,} × {fault.what}, first by input {fault.number}: {shown}"


def _write(outcome: Outcome, folder: Path) -> None:
    for fault in outcome.faults.values():
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{outcome.parser}-{fault.number}"
        if isinstance(fault.given, bytes):
            path.write_bytes(fault.given)
        else:
            text = fault.given if isinstance(fault.given, str) else repr(fault.given)
            path.write_text(text, encoding="utf-8", errors="surrogatepass")
        path.with_name(f"{path.name}.txt").write_text(
            f"{fault.what}\n{fault.trace}", encoding="utf-8", errors="backslashreplace"
        )
