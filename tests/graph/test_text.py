import sys
from types import SimpleNamespace

import numpy as np
import pytest

from foreknow.errors import ConfigError, MissingExtraError
from foreknow.graph import text
from foreknow.graph.text import HashedNgrams, make_embedder, restore_embedder

TEXTS = [
    "red running shoes for women",
    "blue running shoes for men",
    "warm woollen hat",
    "woollen hat with ear flaps",
    "leather belt",
    "brown leather belt for men",
]


def cosine(a, b):
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


# --- the default --------------------------------------------------------------------------------------------


def test_alike_texts_have_alike_vectors():
    embedder = HashedNgrams()
    size = embedder.fit(TEXTS)
    shoes, more_shoes, hat, *_ = vectors = embedder.embed(TEXTS)
    assert vectors.shape == (6, size)
    assert vectors.dtype == np.float32
    assert cosine(shoes, more_shoes) > 0.5 > cosine(shoes, hat)


def test_entries_are_of_the_order_of_one():
    embedder = HashedNgrams()
    embedder.fit(TEXTS)
    assert 0.5 < np.sqrt((embedder.embed(TEXTS) ** 2).mean()) < 1.5


def test_fitting_twice_gives_the_same_bits():
    first, second = HashedNgrams(), HashedNgrams()
    assert first.fit(TEXTS) == second.fit(TEXTS)
    np.testing.assert_array_equal(first.embed(["new hat", *TEXTS]), second.embed(["new hat", *TEXTS]))


def test_a_text_has_the_same_vector_whatever_stands_beside_it():
    embedder = HashedNgrams()
    embedder.fit(TEXTS)
    np.testing.assert_array_equal(embedder.embed(TEXTS)[2], embedder.embed([TEXTS[2]])[0])


def test_the_state_restores_the_embedder():
    embedder = HashedNgrams()
    embedder.fit(TEXTS)
    state = embedder.state()
    assert {k: v.dtype for k, v in state.items()} == {"weight": np.float32, "components": np.float32}
    restored = restore_embedder("hashed", state)
    np.testing.assert_array_equal(restored.embed(TEXTS), embedder.embed(TEXTS))


@pytest.mark.parametrize(
    "texts", [[], ["one text"], ["one text", "two texts"], ["same", "same"], ["", " ", "."], ["日本語", "naïve café"]]
)
def test_few_odd_or_no_texts_are_enough(texts):
    embedder = HashedNgrams()
    size = embedder.fit(texts)
    vectors = embedder.embed([*texts, "", "unseen words"])
    assert vectors.shape == (len(texts) + 2, size)
    assert np.isfinite(vectors).all()
    assert not vectors[len(texts)].any()  # an empty text says nothing


def test_no_texts_have_no_vectors():
    embedder = HashedNgrams()
    size = embedder.fit(TEXTS)
    assert embedder.embed([]).shape == (0, size)


def test_of_many_texts_an_even_sample_is_fitted(monkeypatch):
    monkeypatch.setattr(text, "MAX_FIT", 3)
    sampled, whole = HashedNgrams(), HashedNgrams()
    sampled.fit(TEXTS)
    whole.fit(TEXTS[::2])
    np.testing.assert_array_equal(sampled.state()["components"], whole.state()["components"])


# --- pretrained ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def static_model(tmp_path_factory):
    """A model2vec model of four words, saved as such models are."""
    from model2vec import StaticModel
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace

    words = {"[UNK]": 0, "[PAD]": 1, "red": 2, "shoes": 3, "hat": 4}
    tokenizer = Tokenizer(WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    vectors = np.array([[0, 0, 0], [0, 0, 0], [1, 0, 0], [0, 3, 0], [0, 0, 5]], np.float32)
    folder = tmp_path_factory.mktemp("model2vec")
    StaticModel(vectors, tokenizer, normalize=False).save_pretrained(str(folder))
    return f"model2vec:{folder}"


def test_a_static_model_is_loaded_by_path_and_scaled(static_model):
    embedder = make_embedder(static_model)
    assert embedder.name == static_model
    assert embedder.fit(["anything"]) == 3
    vectors = embedder.embed(["shoes", "hat", "red shoes", ""])
    assert vectors.dtype == np.float32
    root = np.sqrt(3)
    np.testing.assert_allclose(vectors[:2], [[0, root, 0], [0, 0, root]], rtol=1e-6)
    assert np.linalg.norm(vectors[2]) == pytest.approx(root)
    assert not vectors[3].any()


def test_a_pretrained_embedder_has_no_state_but_its_name(static_model):
    first = make_embedder(static_model)
    assert first.state() == {}
    restored = restore_embedder(static_model, {})
    np.testing.assert_array_equal(restored.embed(["red hat"]), first.embed(["red hat"]))


def test_a_static_model_that_is_not_there_is_said_to_be_missing():
    message = "can't load text embedder 'model2vec:/nowhere/at all': (?s:.*)Hint: after 'model2vec:' stands the path"
    with pytest.raises(ConfigError, match=message):
        make_embedder("model2vec:/nowhere/at all").fit(["a"])


class FakeTransformer:
    """Stands in for the class of sentence-transformers, whose import takes seconds."""

    def __init__(self, name, device):
        if name != "known":
            raise OSError("no such model\n")
        assert device == "cpu"

    def encode(self, texts):
        return [[len(t), 0.0] for t in texts]


def test_sentence_transformers_are_loaded_by_name(monkeypatch):
    monkeypatch.setitem(sys.modules, "sentence_transformers", SimpleNamespace(SentenceTransformer=FakeTransformer))
    embedder = make_embedder("sentence-transformers:known")
    assert embedder.fit([]) == 2
    np.testing.assert_allclose(embedder.embed(["a", "bbb"]), [[np.sqrt(2), 0]] * 2)
    with pytest.raises(
        ConfigError, match="can't load text embedder 'sentence-transformers:other': no such model\nHint"
    ):
        make_embedder("sentence-transformers:other").fit([])


@pytest.mark.parametrize("package", ["model2vec", "sentence-transformers"])
def test_a_missing_package_is_named_with_the_extra_to_install(monkeypatch, package):
    monkeypatch.setitem(sys.modules, package.replace("-", "_"), None)
    message = f"'{package}' is not installed\nHint: pip install 'foreknow\\[text\\]'"
    with pytest.raises(MissingExtraError, match=message):
        make_embedder(f"{package}:x").embed(["a"])


@pytest.mark.parametrize("name", ["bert", "model2vec:", "hashed:32", ""])
def test_unknown_embedders_are_refused_with_the_known_ones(name):
    with pytest.raises(
        ConfigError, match=f"unknown text embedder '{name}'\nHint: use 'hashed', 'model2vec:PATH_OR_NAME'"
    ):
        make_embedder(name)
