"""Every exception of olrsearch.

Each message says what was found, what was expected and what to do next, in
one line: the command line prints it as it is and exits with 1.

```
OlrsearchError
├── DatasetError                 a data set cannot be read as what it claims to be
│   ├── DatasetNotFoundError         the folder, zip or label file is not there
│   ├── LabelFileError               another header, a wrong count, a value other than −1/0/1
│   ├── DuplicateKeyError            the same key twice
│   ├── ImageMissingError            a uri that names no file
│   └── ImageDecodeError             truncated, or no image at all
├── QueryError                   a query that cannot be answered as written
│   ├── QuerySyntaxError             carries `text` and `position`
│   ├── UnknownNameError             carries `name` and `nearest`
│   │   ├── UnknownLabelError
│   │   └── UnknownWordError
│   └── UnknownImageError            no living image has this id or key; or several have
├── EncoderError                 a model that cannot be used
│   ├── ModelFileError               missing or damaged model files, fingerprint mismatch
│   ├── UnknownEncoderError          no encoder has this name or fingerprint; or several have
│   ├── IncompatibleEncoderError     another encoder's labels, sizes or embeddings
│   ├── EngineError                  an engine that is not here, or cannot run this network
│   └── TrainingError                training cannot start, resume or go on
├── StoreError                   a store that cannot be opened or changed
│   ├── StoreNotFoundError
│   ├── StoreExistsError
│   ├── StoreVersionError            newer than supported (or older: migrate)
│   ├── StoreCorruptError            headers, sizes, checksums, swapped or missing files
│   ├── StoreLockedError             another writer is at work
│   ├── StoreReadOnlyError
│   ├── UnknownSpaceError            no space has this name or fingerprint; or several have
│   ├── UnknownDatasetError          no data set has this name
│   └── EmptyStoreError              nothing imported, or nothing encoded, yet
├── IndexBuildError              an index that cannot be built or used
│   ├── VectorError                  NaN, wrong dimension, wrong dtype, duplicate ids
│   ├── RecallError                  a recipe below its promised recall
│   ├── FaissInstallError            no faiss, or both faiss-cpu and faiss-gpu
│   └── DeviceError                  a device that is not there, or has too little memory
├── GaussianError                singular or non-finite covariances, mixed dimensions, λ outside (0, 1]
├── WordVectorsError             a file of word vectors that is missing, damaged or of another encoder
├── CalibrationError             too few labels to fit one
├── FitError                     nothing to fit a linear model or components to, or sizes that do not fit
├── AuditError                   labels that cannot be audited, a run or decision file that does not fit
├── BenchmarkError               a protocol that cannot be run on this data
└── OptionalDependencyError      an extra is not installed; the message names it
```
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from olrsearch.core.shown import one_line, shown

if TYPE_CHECKING:
    from collections.abc import Sequence

_AROUND: Final = 60
"""How many characters of a query are shown on either side of a fault."""


class OlrsearchError(Exception):
    """Base of every error raised on purpose by olrsearch; its message is one line, whatever it quotes."""

    def __init__(self, message: str = "") -> None:
        super().__init__(one_line(message))


class DatasetError(OlrsearchError):
    """A data set cannot be read as what it claims to be."""


class DatasetNotFoundError(DatasetError):
    """The folder, zip or label file is not there."""


class LabelFileError(DatasetError):
    """A label file has another header, a wrong count or a value other than −1, 0, 1."""


class DuplicateKeyError(DatasetError):
    """The same key stands twice in one data set."""


class ImageMissingError(DatasetError):
    """A uri names no file."""


class ImageDecodeError(DatasetError):
    """Bytes are truncated or are no image at all."""


class QueryError(OlrsearchError):
    """A query cannot be answered as it is written."""


class QuerySyntaxError(QueryError):
    """A query does not parse.

    Attributes:
        text: The query as given.
        position: Zero-based offset of the character at fault.
    """

    def __init__(self, message: str, *, text: str, position: int) -> None:
        self.text = text
        self.position = position
        before, after = text[:position], text[position:]
        if len(before) > _AROUND:
            before = "…" + before[-_AROUND:]
        if len(after) > _AROUND:
            after = after[:_AROUND] + "…"
        around = re.sub(r"\s", " ", f"{before}«here»{after}")
        super().__init__(f"{message} (position {position + 1}: {around})")


class UnknownNameError(QueryError):
    """A query names something that the store or encoder does not have.

    Attributes:
        name: The name as given.
        nearest: The most similar known names, best first.
    """

    what = "name"
    advice = ""
    """What to do where no known name is similar."""

    def __init__(self, name: str, nearest: Sequence[str], why: str = "", *, instead: str = "") -> None:
        self.name = name
        self.nearest = tuple(nearest)
        hint = f"; did you mean {', '.join(self.nearest)}?" if self.nearest else self.advice
        hint = f"; {instead}" if instead else hint
        super().__init__(f"unknown {self.what} {shown(name)}{hint}" + (f" ({why})" if why else ""))


class UnknownLabelError(UnknownNameError):
    """A query names a label that the store or encoder does not have."""

    what = "label"
    advice = "; olrsearch label list shows those of the store, olrsearch encoders info NAME an encoder's"


class UnknownWordError(UnknownNameError):
    """A query names a word that the store or encoder does not have."""

    what = "word"


class UnknownImageError(QueryError):
    """No living image has this id or key, or several data sets have it."""


class EncoderError(OlrsearchError):
    """A model cannot be used."""


class ModelFileError(EncoderError):
    """Model files are missing, damaged or do not match their fingerprint."""


class UnknownEncoderError(EncoderError):
    """No encoder has this name or fingerprint, or several have."""


class IncompatibleEncoderError(EncoderError):
    """An encoder's labels, sizes or embeddings do not fit what they are used with."""


class EngineError(EncoderError):
    """An engine is not installed, or cannot run this network on this machine."""


class TrainingError(EncoderError):
    """Training cannot start, resume or go on."""


class StoreError(OlrsearchError):
    """A store cannot be opened or changed."""


class StoreNotFoundError(StoreError):
    """There is no store at this path."""


class StoreExistsError(StoreError):
    """There already is something at this path."""


class StoreVersionError(StoreError):
    """A store is newer than this program supports, or older and not yet migrated."""


class StoreCorruptError(StoreError):
    """Files of a store are missing, swapped, of a wrong size or fail their checksum."""


class StoreLockedError(StoreError):
    """Another writer is at work on this store."""


class StoreReadOnlyError(StoreError):
    """A change was asked of a store opened read-only."""


class UnknownSpaceError(StoreError):
    """No space of the store has this name or fingerprint, or several have."""


class UnknownDatasetError(StoreError):
    """No data set of the store has this name."""


class EmptyStoreError(StoreError):
    """Nothing has been imported, or nothing encoded, yet."""


class IndexBuildError(OlrsearchError):
    """An index cannot be built or used."""


class VectorError(IndexBuildError):
    """Vectors hold NaN or infinities, or have a wrong dimension, dtype or ids."""


class RecallError(IndexBuildError):
    """An index recipe does not reach the recall it promises."""


class FaissInstallError(IndexBuildError):
    """No faiss is installed, or faiss-cpu and faiss-gpu at once."""


class DeviceError(IndexBuildError):
    """The device of an index is not there, or has too little memory."""


class GaussianError(OlrsearchError):
    """Gaussians that are none: singular or non-finite covariances, mixed dimensions, λ outside (0, 1]."""


class WordVectorsError(OlrsearchError):
    """Word vectors that cannot be read, or that are not those an encoder was trained with."""


class CalibrationError(OlrsearchError):
    """There are too few labels to fit a calibration."""


class FitError(OlrsearchError):
    """A linear model or components cannot be fitted: no examples, other sizes, or numbers that are none."""


class AuditError(OlrsearchError):
    """Labels cannot be audited as asked, or an audit's run or decisions do not fit the store."""


class BenchmarkError(OlrsearchError):
    """A protocol cannot be run on this data: too few images, labels or queries."""


class OptionalDependencyError(OlrsearchError):
    """An optional package is needed; the message names the extra that brings it."""
