"""olrsearch: an embedding store and semantic image search engine for labelled images.

    from olrsearch import Store

    with Store.open("faces") as store:
        for hit in store.search("smiling & eyeglasses & !male", k=20):
            print(hit.key, hit.score)

`olrsearch.errors` holds the exceptions, all of them an `OlrsearchError`. Importing the package loads neither
torch nor faiss: a name is fetched when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from olrsearch._version import __version__ as __version__

if TYPE_CHECKING:
    from olrsearch.api.imports import ImportOptions as ImportOptions
    from olrsearch.api.imports import ReadOptions as ReadOptions
    from olrsearch.api.listing import StoredImage as StoredImage
    from olrsearch.api.listing import StoredImages as StoredImages
    from olrsearch.api.store import Store as Store
    from olrsearch.audit.decisions.decide import Decided as Decided
    from olrsearch.audit.decisions.export import LabelExport as LabelExport
    from olrsearch.audit.runs.results import AuditedEntry as AuditedEntry
    from olrsearch.audit.runs.results import AuditReport as AuditReport
    from olrsearch.audit.runs.results import AuditRun as AuditRun
    from olrsearch.audit.runs.results import AuditSummary as AuditSummary
    from olrsearch.audit.runs.results import ErrorCount as ErrorCount
    from olrsearch.audit.runs.results import LabelIssue as LabelIssue
    from olrsearch.audit.runs.results import LabelIssues as LabelIssues
    from olrsearch.audit.runs.results import LabelSummary as LabelSummary
    from olrsearch.audit.runs.results import RuleCount as RuleCount
    from olrsearch.core import errors as errors
    from olrsearch.core.errors import OlrsearchError as OlrsearchError
    from olrsearch.datasets.generated.avatars import generate_avatars as generate_avatars
    from olrsearch.datasets.generated.pairs import generate_pairs as generate_pairs
    from olrsearch.datasets.label_writing import LabelForm as LabelForm
    from olrsearch.datasets.registry import open_dataset as open_dataset
    from olrsearch.encoders.folder.shipped import EncoderEntry as EncoderEntry
    from olrsearch.encoders.folder.shipped import shipped_encoders as shipped_encoders
    from olrsearch.evaluation.looks.components import Components as Components
    from olrsearch.evaluation.looks.correlations import LabelPair as LabelPair
    from olrsearch.evaluation.looks.correlations import NormCorrelation as NormCorrelation
    from olrsearch.evaluation.looks.correlations import NormCorrelations as NormCorrelations
    from olrsearch.evaluation.looks.disagreements import DisagreementCount as DisagreementCount
    from olrsearch.evaluation.looks.disagreements import Disagreements as Disagreements
    from olrsearch.evaluation.looks.gaussians import GaussianLook as GaussianLook
    from olrsearch.evaluation.looks.imagined import AskedImage as AskedImage
    from olrsearch.evaluation.looks.imagined import Imagined as Imagined
    from olrsearch.evaluation.looks.imagined import ImaginedPicture as ImaginedPicture
    from olrsearch.evaluation.looks.imagined import NearImage as NearImage
    from olrsearch.evaluation.looks.imagined import ReadWord as ReadWord
    from olrsearch.evaluation.looks.latent_map import LatentMap as LatentMap
    from olrsearch.evaluation.looks.reconstructions import Reconstruction as Reconstruction
    from olrsearch.evaluation.looks.reconstructions import Reconstructions as Reconstructions
    from olrsearch.evaluation.report import Report as Report
    from olrsearch.pipeline.calibrating import CalibrationReport as CalibrationReport
    from olrsearch.pipeline.encoding import EncodeReport as EncodeReport
    from olrsearch.pipeline.importing import ImportReport as ImportReport
    from olrsearch.pipeline.known_encoders import encoder_details as encoder_details
    from olrsearch.pipeline.known_encoders import find_encoder as find_encoder
    from olrsearch.pipeline.reading_pixels import OnError as OnError
    from olrsearch.pipeline.training import TrainedSpace as TrainedSpace
    from olrsearch.pipeline.training_decoder import DecoderReport as DecoderReport
    from olrsearch.search.edited_images import EditedCell as EditedCell
    from olrsearch.search.edited_images import EditedImage as EditedImage
    from olrsearch.search.edited_images import EditedLabel as EditedLabel
    from olrsearch.search.edited_images import EditGrid as EditGrid
    from olrsearch.search.edited_images import MadePictures as MadePictures
    from olrsearch.search.editing import Way as Way
    from olrsearch.search.index.scores import Evidence as Evidence
    from olrsearch.search.kl.query import Divergence as Divergence
    from olrsearch.search.results import Contribution as Contribution
    from olrsearch.search.results import Description as Description
    from olrsearch.search.results import Hit as Hit
    from olrsearch.search.results import LabelEstimate as LabelEstimate
    from olrsearch.search.results import Ranking as Ranking
    from olrsearch.search.results import WordEstimate as WordEstimate
    from olrsearch.search.word_queries import AttributesMode as AttributesMode
    from olrsearch.search.word_terms import Mode as Mode
    from olrsearch.store.decision_rules import Decision as Decision
    from olrsearch.store.decision_rules import DecisionRequest as DecisionRequest
    from olrsearch.store.decision_rules import Verdict as Verdict
    from olrsearch.store.verify import VerifyReport as VerifyReport

_NAMES: Final = {
    "api.imports": ("ImportOptions", "ReadOptions"),
    "api.listing": ("StoredImage", "StoredImages"),
    "api.store": ("Store",),
    "audit.decisions.decide": ("Decided",),
    "audit.decisions.export": ("LabelExport",),
    "audit.runs.results": (
        "AuditReport",
        "AuditRun",
        "AuditSummary",
        "AuditedEntry",
        "ErrorCount",
        "LabelIssue",
        "LabelIssues",
        "LabelSummary",
        "RuleCount",
    ),
    "core.errors": ("OlrsearchError",),
    "datasets.generated.avatars": ("generate_avatars",),
    "datasets.generated.pairs": ("generate_pairs",),
    "datasets.label_writing": ("LabelForm",),
    "datasets.registry": ("open_dataset",),
    "encoders.folder.shipped": ("EncoderEntry", "shipped_encoders"),
    "evaluation.looks.components": ("Components",),
    "evaluation.looks.correlations": ("LabelPair", "NormCorrelation", "NormCorrelations"),
    "evaluation.looks.disagreements": ("DisagreementCount", "Disagreements"),
    "evaluation.looks.gaussians": ("GaussianLook",),
    "evaluation.looks.imagined": ("AskedImage", "Imagined", "ImaginedPicture", "NearImage", "ReadWord"),
    "evaluation.looks.latent_map": ("LatentMap",),
    "evaluation.looks.reconstructions": ("Reconstruction", "Reconstructions"),
    "evaluation.report": ("Report",),
    "pipeline.calibrating": ("CalibrationReport",),
    "pipeline.encoding": ("EncodeReport",),
    "pipeline.importing": ("ImportReport",),
    "pipeline.known_encoders": ("encoder_details", "find_encoder"),
    "pipeline.reading_pixels": ("OnError",),
    "pipeline.training": ("TrainedSpace",),
    "pipeline.training_decoder": ("DecoderReport",),
    "search.edited_images": ("EditGrid", "EditedCell", "EditedImage", "EditedLabel", "MadePictures"),
    "search.editing": ("Way",),
    "search.index.scores": ("Evidence",),
    "search.kl.query": ("Divergence",),
    "search.results": ("Contribution", "Description", "Hit", "LabelEstimate", "Ranking", "WordEstimate"),
    "search.word_queries": ("AttributesMode",),
    "search.word_terms": ("Mode",),
    "store.decision_rules": ("Decision", "DecisionRequest", "Verdict"),
    "store.verify": ("VerifyReport",),
}
_HOMES: Final = {name: f"olrsearch.{home}" for home, names in _NAMES.items() for name in names}
__all__ = ["__version__", "errors", *_HOMES]  # noqa: PLE0604 - names, all of them


def __getattr__(name: str) -> Any:  # noqa: ANN401 - a module's attributes have any type
    if name == "errors":
        return import_module("olrsearch.core.errors")
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'olrsearch' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
