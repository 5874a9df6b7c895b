"""Arguments of the public verbs, checked before anything is done with them.

`checked` wraps a verb, `checked_verbs` all public verbs of a class. What is given is held against their
annotations of plain types: a wrong type is a `QueryError` that says what was expected, and numpy's numbers
become Python's, so that answers hold no others. Which values are allowed is the verb's own business.
"""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable, Iterable, Mapping
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeAlias, TypeVar

from olrsearch.core.errors import QueryError
from olrsearch.core.shown import shown

if TYPE_CHECKING:
    from olrsearch.search.results import Ranking

_C = TypeVar("_C")
_P = ParamSpec("_P")
_R = TypeVar("_R")

_Check: TypeAlias = Callable[[str, Any], Any]


def checked(verb: Callable[_P, _R]) -> Callable[_P, _R]:
    """A verb whose arguments are checked by their annotations.

    Raises:
        QueryError: an argument has another type than its annotation says.
    """
    signature = inspect.signature(verb)
    checks = {
        name: _CHECKS[parameter.annotation]
        for name, parameter in signature.parameters.items()
        if parameter.annotation in _CHECKS
    }

    @functools.wraps(verb)
    def call(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        bound = signature.bind(*args, **kwargs)
        for name, value in bound.arguments.items():
            if name in checks:
                bound.arguments[name] = checks[name](name, value)
        return verb(*bound.args, **bound.kwargs)

    return call


def checked_verbs(kind: type[_C]) -> type[_C]:
    """A class all of whose public verbs are `checked`."""
    for name, found in list(vars(kind).items()):
        how = type(found) if isinstance(found, staticmethod | classmethod) else None
        verb = found if how is None else found.__func__
        if not name.startswith("_") and inspect.isfunction(verb) and not hasattr(verb, "__wrapped__"):
            setattr(kind, name, checked(verb) if how is None else how(checked(verb)))
    return kind


def whole_number(name: str, value: object) -> int:
    """A whole number: Python's or numpy's, and neither True nor False."""
    if not isinstance(value, bool) and isinstance(value, Integral):
        return int(value)
    raise _wrong(name, "a whole number", value)


def number(name: str, value: object) -> float:
    """A number: Python's or numpy's, and neither True nor False."""
    if not isinstance(value, bool) and isinstance(value, Real):
        return int(value) if isinstance(value, Integral) else float(value)
    raise _wrong(name, "a number", value)


def text(name: str, value: object) -> str:
    """One text."""
    if isinstance(value, str):
        return str(value)
    raise _wrong(name, "one text", value)


def texts(name: str, value: object) -> Any:  # noqa: ANN401 - as it came, or a list
    """A text, or several."""
    if isinstance(value, str):
        return value
    if isinstance(value, Iterable) and not isinstance(value, Mapping | bytes):
        return [text(f"each of {name}", item) for item in value]
    raise _wrong(name, "a text or a list of texts", value)


def _text_list(name: str, value: object) -> list[str]:
    """Several texts; one stands for a list of it."""
    found = texts(name, value)
    return [found] if isinstance(found, str) else found


def _paths(name: str, value: object) -> list[Path]:
    """Several paths; one stands for a list of it."""
    if isinstance(value, str | os.PathLike):
        return [path(name, value)]
    return [path(f"each of {name}", item) for item in _several(name, value, "paths")]


def _numbers(name: str, value: object) -> list[float]:
    return [number(f"each of {name}", item) for item in _several(name, value, "numbers")]


def _edited(name: str, value: object) -> object:
    if type(value).__name__ in {"EditedImage", "EditGrid"}:
        return value
    raise _wrong(name, "what edits.edit or edits.grid returned", value)


def _whole_numbers(name: str, value: object) -> list[int]:
    return [whole_number(f"each of {name}", item) for item in _several(name, value, "whole numbers")]


def _several(name: str, value: object, what: str) -> Iterable[Any]:
    if isinstance(value, Iterable) and not isinstance(value, Mapping | str | bytes):
        return value
    raise _wrong(name, f"a list of {what}", value)


def _image(name: str, value: object) -> Any:  # noqa: ANN401 - see `ImageRef`
    """An image of the store: its id or its key."""
    if isinstance(value, str | os.PathLike):
        return value
    if not isinstance(value, bool) and isinstance(value, Integral):
        return int(value)
    raise _wrong(name, "an id or a key", value)


def _images(name: str, value: object) -> list[Any]:
    """Several of them; one stands for a list of it, and is never taken letter by letter."""
    if isinstance(value, str | os.PathLike | Integral):
        return [_image(name, value)]
    return [_image(f"each of {name}", item) for item in _several(name, value, "ids and keys")]


def _label_value(name: str, value: object) -> str | int:
    return value if isinstance(value, str) else whole_number(name, value)


def _settings(name: str, value: object) -> Mapping[str, Any]:
    if isinstance(value, Mapping):
        return {text(f"each name of {name}", key): item for key, item in value.items()}
    raise _wrong(name, "a dict from names to values", value)


def _decisions(name: str, value: object) -> list[Any]:
    found = list(_several(name, value, "DecisionRequest"))
    for item in found:
        if type(item).__name__ != "DecisionRequest":
            raise _wrong(f"each of {name}", "a DecisionRequest", item)
    return found


def path(name: str, value: object) -> Path:
    """A path, as text or as what `pathlib` makes of it."""
    if isinstance(value, str | os.PathLike):
        try:
            return Path(value)
        except TypeError:  # a path of bytes
            pass
    raise _wrong(name, "a path", value)


def _yes_or_no(name: str, value: object) -> bool:
    if isinstance(value, bool) or (type(value).__name__ == "bool" and type(value).__module__ == "numpy"):
        return bool(value)
    raise _wrong(name, "True or False", value)


def _labels(name: str, value: object) -> Any:  # noqa: ANN401 - see `By`
    """A label, several, or several with weights."""
    if isinstance(value, Mapping):
        return {
            text(f"each label of {name}", label): number(f"the weight of {shown(label)}", weight)
            for label, weight in value.items()
        }
    return texts(name, value)


def _by_label(name: str, value: object) -> Mapping[str, Any]:
    if isinstance(value, Mapping):
        return {text(f"each label of {name}", label): source for label, source in value.items()}
    raise _wrong(name, "a dict from labels to images or vectors", value)


def _table(name: str, value: object) -> str | Path:
    """A path, or a name, which stays text."""
    return str(value) if isinstance(value, str) else path(name, value)


def _ranking(name: str, value: object) -> Ranking:
    from olrsearch.search.results import Ranking  # numpy comes with it, which a command's help does without

    if isinstance(value, Ranking):
        return value
    raise _wrong(name, "an answer of search, similar or words", value)


def _ranking_or_made(name: str, value: object) -> object:
    if type(value).__name__ == "Imagined":
        return value
    return _ranking(name, value)


def _answer(kind: str, verb: str) -> _Check:
    """What another verb returned."""

    def check(name: str, value: object) -> object:
        if type(value).__name__ == kind:
            return value
        raise _wrong(name, f"what {verb} returned", value)

    return check


def _optional(check: _Check) -> _Check:
    return lambda name, value: None if value is None else check(name, value)


def _wrong(name: str, expected: str, value: object) -> QueryError:
    return QueryError(f"{name} is {expected}, found {shown(value)}")


_CHECKS: Final[Mapping[str, _Check]] = {
    "int": whole_number,
    "float | None": _optional(number),
    "bool": _yes_or_no,
    "Ranking": _ranking,
    "Ranking | Imagined": _ranking_or_made,
    "Imagined": _answer("Imagined", "imagine or interpolate"),
    "float": number,
    **dict.fromkeys(("EndKind", "MapBy"), text),
    **dict.fromkeys(("str", "Evidence", "Mode", "AttributesMode"), text),
    **dict.fromkeys(("str | None", "Divergence | None"), _optional(text)),
    **dict.fromkeys(("str | Sequence[str]", "Iterable[str]"), texts),
    "Path | str": path,
    "Path | None": _optional(path),
    "int | None": _optional(whole_number),
    "OnError": text,
    **dict.fromkeys(("LabelForm | None", "Literal['folders'] | None"), _optional(text)),
    "Literal['pictures', 'space']": text,
    "Sequence[str]": _text_list,
    "Sequence[str] | None": _optional(_text_list),
    "str | Sequence[str] | None": _optional(texts),
    "Sequence[int]": _whole_numbers,
    "Iterable[Path | str]": _paths,
    **dict.fromkeys(("int | str", "ImageRef"), _image),
    "ImageRef | None": _optional(_image),
    "Iterable[ImageRef]": _images,
    "str | int": _label_value,
    "Mapping[str, str] | None": _optional(_settings),
    "Iterable[DecisionRequest]": _decisions,
    "StoredImages": _answer("StoredImages", "images"),
    "AuditedEntry": _answer("AuditedEntry", "audit.show"),
    "LabelIssues": _answer("LabelIssues", "audit.list"),
    "str | Path": _table,
    **dict.fromkeys(("str | Path | None", "Path | str | None"), _optional(_table)),
    "By": _optional(_labels),
    "Way": text,
    "Sequence[float]": _numbers,
    "EditedImage | EditGrid": _edited,
    "Mapping[str, Elsewhere] | None": _optional(_by_label),
}
"""What annotations of verbs mean for what is given."""
