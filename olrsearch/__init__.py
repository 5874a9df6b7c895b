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
    from olrsearch.api.store import Store
    from olrsearch.core.errors import OlrsearchError
    from olrsearch.encoders.folder.shipped import EncoderEntry, shipped_encoders
    from olrsearch.search.results import (
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
    "Contribution": "olrsearch.search.results",
    "Description": "olrsearch.search.results",
    "EncoderEntry": "olrsearch.encoders.folder.shipped",
    "Hit": "olrsearch.search.results",
    "LabelEstimate": "olrsearch.search.results",
    "OlrsearchError": "olrsearch.core.errors",
    "Ranking": "olrsearch.search.results",
    "Store": "olrsearch.api.store",
    "WordDescription": "olrsearch.search.results",
    "WordEstimate": "olrsearch.search.results",
    "shipped_encoders": "olrsearch.encoders.folder.shipped",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - a module's attributes have any type
    # Names are fetched when they are used, so that importing the package costs nothing.
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'olrsearch' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
