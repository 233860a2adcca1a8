"""Texts as vectors. The default needs no download: hashed word and character n-grams, weighted by how telling
they are, reduced by a truncated SVD. Weights and SVD are fitted on texts of the past only.

Pretrained embedders (extra ``text``) are named by local path or hub name: ``model2vec:PATH``,
``sentence-transformers:NAME``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Protocol

import numpy as np

from foreknow.errors import ConfigError, MissingExtraError

__all__ = ["HashedNgrams", "TextEmbedder", "make_embedder", "restore_embedder"]

MAX_FIT = 50_000  # texts the default is fitted on at most, evenly spaced


class TextEmbedder(Protocol):
    """Turns texts into vectors of one length."""

    name: str

    def fit(self, texts: Sequence[str]) -> int:
        """Learn from texts of the past; returns the vector length."""
        ...

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """Vectors of texts, entries of the order of 1. Shape ``(len(texts), D)``, float32."""
        ...

    def state(self) -> dict[str, np.ndarray]:
        """Arrays that restore the fitted embedder."""
        ...


class HashedNgrams:
    """Hashed n-grams reduced by truncated SVD, after latent semantic analysis (Deerwester et al. 1990)."""

    name = "hashed"
    num_hashes = 1 << 14
    max_size = 32

    def __init__(self, state: Mapping[str, np.ndarray] | None = None) -> None:
        self._weight = None if state is None else state["weight"]
        self._components = None if state is None else state["components"]

    def _count(self, texts: Sequence[str]) -> Any:
        from scipy.sparse import hstack
        from sklearn.feature_extraction.text import HashingVectorizer

        options: dict[str, Any] = {
            "n_features": self.num_hashes // 2,
            "norm": None,
            "alternate_sign": False,
            "dtype": np.float32,
        }
        words = HashingVectorizer(ngram_range=(1, 2), token_pattern=r"(?u)\b\w+\b", **options)
        letters = HashingVectorizer(analyzer="char_wb", ngram_range=(3, 4), **options)
        counts = hstack([words.transform(texts), letters.transform(texts)]).tocsr()
        counts.data = np.log1p(counts.data)
        return counts

    def fit(self, texts: Sequence[str]) -> int:
        """Learn n-gram weights and the SVD."""
        from sklearn.decomposition import TruncatedSVD

        step = max(1, -(-len(texts) // MAX_FIT))
        counts = self._count(list(texts)[::step] or [""])
        seen = np.asarray((counts > 0).sum(axis=0)).ravel()
        self._weight = (np.log((1 + counts.shape[0]) / (1 + seen)) + 1).astype(np.float32)
        size = max(1, min(self.max_size, counts.shape[0] - 1, int((seen > 0).sum()) - 1))
        with np.errstate(invalid="ignore", divide="ignore"):  # shares of a variance that is 0 if texts are alike
            svd = TruncatedSVD(size, random_state=0).fit(self._normalised(counts))
        self._components = svd.components_.astype(np.float32)
        return int(size)

    def _normalised(self, counts: Any) -> Any:
        from sklearn.preprocessing import normalize

        return normalize(counts.multiply(self._weight).tocsr(), copy=False)

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """Project texts onto the fitted components."""
        assert self._components is not None, "fit before embed"
        size = len(self._components)
        if not len(texts):
            return np.zeros((0, size), np.float32)
        parts = [texts[i : i + 20_000] for i in range(0, len(texts), 20_000)]
        vectors = np.concatenate([self._normalised(self._count(p)) @ self._components.T for p in parts])
        return np.asarray(vectors * np.sqrt(size), np.float32)

    def state(self) -> dict[str, np.ndarray]:
        """N-gram weights and SVD components."""
        assert self._weight is not None, "fit before state"
        assert self._components is not None, "fit before state"
        return {"weight": self._weight, "components": self._components}


class Pretrained:
    """An embedder trained elsewhere, loaded by path or hub name. Nothing is fitted."""

    def __init__(self, kind: str, model: str) -> None:
        self.name = f"{kind}:{model}"
        self._kind, self._model_name = kind, model
        self._model: Any = None

    def _load(self) -> Any:
        if self._model is None:
            load: Any
            if self._kind == "model2vec":
                try:
                    from model2vec import StaticModel
                except ImportError as e:
                    raise MissingExtraError("model2vec", "text") from e
                load = StaticModel.from_pretrained
            else:
                try:
                    from sentence_transformers import SentenceTransformer
                except ImportError as e:
                    raise MissingExtraError("sentence-transformers", "text") from e
                load = partial(SentenceTransformer, device="cpu")
            try:
                self._model = load(self._model_name)
            except Exception as e:  # files, formats and networks fail in many ways
                raise ConfigError(
                    f"can't load text embedder '{self.name}': {str(e).strip() or type(e).__name__}",
                    hint=f"after '{self._kind}:' stands the path of a saved model, or its name on a hub within reach",
                ) from e
        return self._model

    def fit(self, texts: Sequence[str]) -> int:
        """Nothing to learn; returns the model's vector length."""
        return int(self.embed(["text"]).shape[1])

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """Encode with the pretrained model; vectors are scaled so that entries are of the order of 1."""
        vectors = np.asarray(self._load().encode(list(texts)), np.float32)
        length = np.linalg.norm(vectors, axis=1, keepdims=True)
        return np.asarray(vectors / np.maximum(length, 1e-6) * np.sqrt(vectors.shape[1]), np.float32)

    def state(self) -> dict[str, np.ndarray]:
        """Empty: the model is found again by its name."""
        return {}


def make_embedder(name: str) -> TextEmbedder:
    """An embedder by its configured name.

    Raises:
        ConfigError: The name is none of those known.
    """
    kind, _, model = name.partition(":")
    if name == "hashed":
        return HashedNgrams()
    if kind in ("model2vec", "sentence-transformers") and model:
        return Pretrained(kind, model)
    raise ConfigError(
        f"unknown text embedder '{name}'",
        hint="use 'hashed', 'model2vec:PATH_OR_NAME' or 'sentence-transformers:PATH_OR_NAME'",
    )


def restore_embedder(name: str, state: Mapping[str, np.ndarray]) -> TextEmbedder:
    """A fitted embedder from its name and `TextEmbedder.state`."""
    return HashedNgrams(state) if name == "hashed" else make_embedder(name)
