r"""Whether two versions of the program answer a store's questions the same, to the bit.

    python benchmarks/same_answers.py ask STORE before.json                     with the version before
    python benchmarks/same_answers.py ask STORE after.json --as before.json     with the version after
    python benchmarks/same_answers.py compare before.json after.json

Hundreds of questions of all kinds are asked. What is asked, and by which calls, is in `tests/golden`. Which
version answers is a matter of the interpreter's path (`PYTHONPATH=CHECKOUT`); the program says whose folder
it was. With `--as` the questions are those of another file, so that a store which says less of what it
holds is asked all the same. Names that end in `.xz` are compressed.

Numbers are added up on one thread, unless OMP_NUM_THREADS says otherwise: with another number of threads
the last bits of some answers differ. To record the answers that `tests/golden/test_golden.py` expects:

    python benchmarks/same_answers.py ask STORE tests/golden/answers/0004.json.xz --form readable --hits 3 \
        --without network --without sheets
"""

from __future__ import annotations

import collections
import os
import sys
import time
from pathlib import Path
from typing import Any

import click

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy is loaded
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from golden import answers, asking, questions

FORMS = {"exact": answers.exact, "readable": answers.readable}


@click.group()
def main() -> None:
    """Ask a store, or compare two files of answers."""


@main.command()
@click.argument("store", type=click.Path(path_type=Path, exists=True))
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--as", "like", type=click.Path(path_type=Path, exists=True), help="Questions of this file.")
@click.option("--seed", default=0, show_default=True, help="Of the questions.")
@click.option("--hits", default=10, show_default=True, help="Length of most rankings.")
@click.option("--form", type=click.Choice(sorted(FORMS)), default="exact", show_default=True)
@click.option("--without", multiple=True, help="Leave out a section.")
def ask(
    store: Path, out: Path, like: Path | None, seed: int, hits: int, form: str, without: tuple[str, ...]
) -> None:
    """Write the answers of STORE to OUT, a question a line."""
    import olrsearch

    home = store.resolve()
    started = time.perf_counter()
    with asking.open_store(home) as opened:
        if like is None:
            asked = questions.make_questions(opened, seed=seed, hits=hits)
        else:
            asked = [questions.Question.of(row) for row in answers.read(like)[1]]
        asked = [question for question in asked if question.section not in without]
        rows = [
            question.to_dict() | {"answer": FORMS[form](question.ask(opened), home)} for question in asked
        ]
    head = {"form": form, "seed": seed, "hits": hits}
    answers.write(out, head, rows)
    counts = collections.Counter(row["section"] for row in rows)
    refused = sum(isinstance(row["answer"], dict) and "error" in row["answer"] for row in rows)
    told = ", ".join(f"{section} {count}" for section, count in counts.items())
    click.echo(
        f"{Path(olrsearch.__file__).parent}: {len(rows)} questions in {time.perf_counter() - started:.1f} s"
    )
    click.echo(f"{told}; {refused} of them refused")


@main.command()
@click.argument("before", type=click.Path(path_type=Path, exists=True))
@click.argument("after", type=click.Path(path_type=Path, exists=True))
@click.option("--without", multiple=True, help="Leave out a section.")
@click.option("--shown", default=5, show_default=True, help="Differences of a question that are shown.")
def compare(before: Path, after: Path, without: tuple[str, ...], shown: int) -> None:
    """Name what differs; exits with 1 where anything does."""
    (kept_head, kept), (found_head, found) = answers.read(before), answers.read(after)
    if kept_head["form"] != found_head["form"]:
        raise click.ClickException(f"{before} is {kept_head['form']}, {after} is {found_head['form']}")
    asked, answered = named(kept), named(found)
    different: collections.Counter[str] = collections.Counter()
    for name in [*asked, *(name for name in answered if name not in asked)]:
        section = name[0]
        if section in without:
            continue
        if name not in answered or name not in asked:
            lines = ["is not answered by the second" if name in asked else "is not answered by the first"]
        else:
            lines = list(answers.differences(asked[name], answered[name]))
        if lines:
            different[section] += 1
            click.echo(f"{section}: {name[1]}")
            for line in lines[:shown]:
                click.echo(f"    {line}")
            if len(lines) > shown:
                click.echo(f"    and {len(lines) - shown} more")
    said = ", ".join(f"{section} {count}" for section, count in different.items())
    click.echo(
        f"{len(asked)} and {len(answered)} answers: {said or 'no'} {'differ' if said else 'difference'}"
    )
    if different:
        sys.exit(1)


def named(rows: list[dict[str, Any]]) -> dict[tuple[str, str], Any]:
    """Answers by section and question."""
    return {(row["section"], questions.Question.of(row).spelt()): row["answer"] for row in rows}


if __name__ == "__main__":
    main()
