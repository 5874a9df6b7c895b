"""olrsearch: an embedding store and semantic image search engine for labelled images.

    from olrsearch import Store

    with Store.open("faces") as store:
        for hit in store.search("smiling & eyeglasses & !male", k=20):
            print(hit.key, hit.score)

Importing the package loads neither torch nor faiss.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from olrsearch._version import __version__

if TYPE_CHECKING:
    from olrsearch.api import Store
    from olrsearch.encoders.shipped import EncoderEntry, shipped_encoders
    from olrsearch.errors import OlrsearchError
    from olrsearch.results import (
        Contribution,
        Description,
        Hit,
        LabelEstimate,
        Ranking,
        WordDescription,
        WordEstimate,
    )

__all__ = [
    "Contribution",
    "Description",
    "EncoderEntry",
    "Hit",
    "LabelEstimate",
    "OlrsearchError",
    "Ranking",
    "Store",
    "WordDescription",
    "WordEstimate",
    "__version__",
    "shipped_encoders",
]

_HOMES = {
    "Contribution": "olrsearch.results",
    "Description": "olrsearch.results",
    "EncoderEntry": "olrsearch.encoders.shipped",
    "Hit": "olrsearch.results",
    "LabelEstimate": "olrsearch.results",
    "OlrsearchError": "olrsearch.errors",
    "Ranking": "olrsearch.results",
    "Store": "olrsearch.api",
    "WordDescription": "olrsearch.results",
    "WordEstimate": "olrsearch.results",
    "shipped_encoders": "olrsearch.encoders.shipped",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - a module's attributes have any type
    # Names are fetched when they are used, so that importing the package costs nothing.
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'olrsearch' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
