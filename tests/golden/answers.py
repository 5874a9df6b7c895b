"""What is kept of answers: exactly, bit by bit, or readably, to compare within what processors round.

exact       floats as `float.hex` writes them; arrays as type, shape and sha256
readable    floats to nine digits; arrays as type, shape, sums and some of their numbers

Long text is kept as its sha256 in both.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
import json
import lzma
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from numpy.typing import NDArray

LONG: Final = 4000
"""Text of more characters is kept as its sha256."""
SOME: Final = 12
"""Numbers of an array that are kept readably."""


def exact(answer: Any, home: Path) -> Any:
    """An answer, JSON-ready, of which every bit counts; `home` is the store's folder."""

    def array(found: NDArray[Any]) -> Any:
        form = f"{found.dtype.str} {list(found.shape)}"
        data = np.ascontiguousarray(found)
        text = repr(found.tolist()).encode() if found.dtype.kind in "OU" else data.tobytes()
        return {"array": form, "sha256": _sha256(form.encode() + text)}

    return _plain(answer, home, number=float.hex, array=array)


def readable(answer: Any, home: Path) -> Any:
    """An answer, JSON-ready, of which numbers are compared with `differences`."""

    def number(value: float) -> Any:
        return float(f"{value:.9g}") if math.isfinite(value) else str(value)

    def array(found: NDArray[Any]) -> Any:
        form = f"{found.dtype.str} {list(found.shape)}"
        if found.dtype.kind not in "fiub":
            return {"array": form, "values": found.tolist()}
        numbers = np.asarray(found, np.float64).ravel()
        some = numbers[np.linspace(0, numbers.size - 1, min(SOME, numbers.size)).astype(np.int64)]
        finite = numbers[np.isfinite(numbers)]
        sums = [number(float(finite.sum())), number(float(np.abs(finite).sum()))]
        return {"array": form, "sums": sums, "some": [number(float(value)) for value in some]}

    return _plain(answer, home, number=number, array=array)


def _plain(  # noqa: C901 - a type after another
    answer: Any,
    home: Path,
    *,
    number: Callable[[float], Any],
    array: Callable[[NDArray[Any]], Any],
) -> Any:
    """An answer as dicts, lists, text and numbers; the store's folder is `<store>`."""

    def plain(value: Any) -> Any:
        if value is None or isinstance(value, bool | int):
            return value
        if isinstance(value, float | np.floating):
            return number(float(value))
        if isinstance(value, np.bool_ | np.integer):
            return value.item()
        if isinstance(value, str | Path):
            text = str(value).replace(str(home), "<store>")
            return text if len(text) <= LONG else {"text": len(text), "sha256": _sha256(text.encode())}
        if isinstance(value, bytes):
            return {"bytes": len(value), "sha256": _sha256(value)}
        if isinstance(value, dt.datetime):
            return value.isoformat()
        if isinstance(value, np.ndarray):
            return array(value)
        if dataclasses.is_dataclass(value):
            # What does not count when answers are compared follows from the rest, or is no answer.
            fields = [field.name for field in dataclasses.fields(value) if field.compare]
            return {name: plain(getattr(value, name)) for name in fields}
        if isinstance(value, dict):
            return {str(key): plain(item) for key, item in value.items()}
        return [plain(item) for item in value]

    return plain(answer)


def write(path: Path, head: Mapping[str, Any], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write answers, an object a line; compressed where the name ends in `.xz`."""
    lines = [json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n" for row in [head, *rows]]
    data = "".join(lines).encode()
    path.write_bytes(lzma.compress(data, preset=9) if path.suffix == ".xz" else data)


def read(path: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The head and the answers of a file."""
    data = path.read_bytes()
    text = (lzma.decompress(data) if path.suffix == ".xz" else data).decode()
    head, *rows = (json.loads(line) for line in text.splitlines())
    return head, rows


def differences(
    kept: Any, found: Any, *, relative: float = 0.0, absolute: float = 0.0, place: str = ""
) -> Iterator[str]:
    """Where two JSON-ready answers differ, a line each: the place, what was kept, what is found.

    Args:
        kept: One.
        found: The other.
        relative: How much numbers may differ, as a share of the larger.
        absolute: How much they may differ at least.
        place: What lines begin with.
    """
    if isinstance(kept, dict) and isinstance(found, dict):
        for key in kept:  # an answer that says more than it did is no other answer
            inner = f"{place}.{key}" if place else key
            if key not in found:
                yield f"{inner}: is missing, was {_short(kept[key])}"
            else:
                yield from differences(
                    kept[key], found[key], relative=relative, absolute=absolute, place=inner
                )
    elif isinstance(kept, list) and isinstance(found, list):
        if len(kept) != len(found):
            yield f"{place}: {len(found)} instead of {len(kept)}"
        for number, (one, other) in enumerate(zip(kept, found, strict=False)):
            yield from differences(
                one, other, relative=relative, absolute=absolute, place=f"{place}[{number}]"
            )
    elif isinstance(kept, float) and isinstance(found, float | int) and not isinstance(found, bool):
        if not math.isclose(kept, found, rel_tol=relative, abs_tol=absolute):
            yield f"{place}: {found!r} instead of {kept!r}"
    elif kept != found or type(kept) is not type(found):
        yield f"{place}: {_short(found)} instead of {_short(kept)}"


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 160 else f"{text[:157]}…"
