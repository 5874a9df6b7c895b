"""Lines of code of each package, without docstrings, comments and blank lines.

python benchmarks/code_lines.py olrsearch
"""

from __future__ import annotations

import ast
import collections
import io
import tokenize
from pathlib import Path

import click

_NO_CODE = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
def main(folder: Path) -> None:
    """Print the lines of code below FOLDER, and of each folder in it."""
    counts: collections.Counter[str] = collections.Counter()
    for file in sorted(folder.rglob("*.py")):
        counts[file.relative_to(folder).parts[0]] += code_lines(file.read_text(encoding="utf-8"))
    for name, count in counts.items():
        click.echo(f"{count:>7,}  {name}")
    click.echo(f"{counts.total():>7,}  in all")


def code_lines(text: str) -> int:
    """How many lines of a module hold code."""
    documented: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        for part in getattr(node, "body", None) if isinstance(getattr(node, "body", None), list) else []:
            if isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant):
                documented.update(range(part.lineno, (part.end_lineno or part.lineno) + 1))
    held: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in _NO_CODE and token.type != tokenize.ENDMARKER:
            held.update(range(token.start[0], token.end[0] + 1))
    return len(held - documented)


if __name__ == "__main__":
    main()
