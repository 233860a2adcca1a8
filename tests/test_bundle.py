"""A bundle loaded is the bundle saved, predicts the same bits, and is nothing but JSON, YAML and tensors."""

import json
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
import yaml
from safetensors import safe_open

from foreknow.bundle import FORMAT, Bundle
from foreknow.errors import StoreError
from foreknow.graph.encode import Encoding, fit_encoding
from foreknow.nn.model import ModelConfig
from foreknow.predict.forward import run_forward
from foreknow.sample.loader import Loader, Seeds
from foreknow.task.label import LabelEncoding
from foreknow.testing.market import END, START, build_market, market_loader, market_network, market_schema, market_task
from foreknow.types import DAY_S, TaskType

pytestmark = pytest.mark.filterwarnings("error")

FILES = ["bundle.json", "encoding.json", "encoding.safetensors", "schema.yaml", "weights.safetensors"]
SHAPE = {"channels": 8, "head_layers": 2, "gnn_norm": "batch", "id_awareness": True}
SEEDS = Seeds(row=np.arange(24, dtype=np.int32), time=np.full(24, END))


@pytest.fixture(scope="module")
def market(tmp_path_factory):
    return build_market(tmp_path_factory.mktemp("market"))


@pytest.fixture(scope="module")
def network(market, encoding):
    """With running statistics that are not those of a fresh one."""
    loader = market_loader(market, encoding)
    network = market_network(loader, encoding, num_outputs=3, **SHAPE)
    for batch in loader.batches(SEEDS, 12):
        network.train()(batch)
    return network.eval()


@pytest.fixture(scope="module")
def encoding(market):
    return fit_encoding(market, START + 300 * DAY_S)


@pytest.fixture(scope="module")
def bundle(encoding, network):
    return Bundle(
        schema=market_schema(),
        task=market_task(
            known=("age",), context_until=END, inclusive=False, type=TaskType.MULTICLASS, metric="accuracy"
        ),
        labels=LabelEncoding(
            type=TaskType.MULTICLASS, dtype="VARCHAR", classes=("ä", "b", "c"), shares=(0.1, 0.2, 0.7)
        ),
        encoding=encoding,
        model=ModelConfig(**SHAPE),
        num_neighbors=(3, 2),
        temporal_strategy="last",
        windows_days=(7.0, 0.1 + 0.2),
        seed=1 << 40,
        logit_shift=(0.5, -1 / 3, 0.0),
        shallow_embeddings=("articles",),
        weights=network.state_dict(),
        info={"foreknow_version": "9.9", "metrics": {"val": {"accuracy": 0.5, "macro_f1": None}}},
    )


@pytest.fixture
def folder(bundle, tmp_path):
    return bundle.save(tmp_path / "new" / "bundle")


def test_what_is_saved_is_loaded(bundle, folder):
    loaded = Bundle.load(folder)
    for f in fields(Bundle):
        if f.name not in ("encoding", "weights"):
            assert getattr(loaded, f.name) == getattr(bundle, f.name), f.name
    assert loaded.encoding.to_dict() == bundle.encoding.to_dict()
    assert loaded.encoding.tables == bundle.encoding.tables
    assert loaded.encoding.time == bundle.encoding.time
    for one, two in ((loaded.encoding.arrays, bundle.encoding.arrays), (loaded.weights, bundle.weights)):
        assert one.keys() == two.keys() != set()
        assert all(np.array_equal(one[k], two[k]) and one[k].dtype == two[k].dtype for k in one)


def test_the_loaded_network_predicts_the_same_bits(market, bundle, network, folder):
    def predict(network, bundle):
        loader = Loader.for_task(
            market,
            bundle.task,
            bundle.encoding,
            num_neighbors=bundle.num_neighbors,
            strategy=bundle.temporal_strategy,
            windows_days=bundle.windows_days,
            seed=bundle.seed,
        )
        return run_forward(network, loader, SEEDS, batch_size=7)[0]

    loaded = Bundle.load(folder)
    restored = loaded.network()
    assert not restored.training
    before = predict(network, bundle)
    assert before.std() > 0
    assert predict(restored, loaded).tobytes() == before.tobytes()


def test_a_bundle_saved_twice_is_the_same_bytes(bundle, folder, tmp_path):
    again = Bundle.load(folder).save(tmp_path / "again")
    for name in FILES:
        if not name.endswith("safetensors"):  # whose header has no fixed order
            assert (again / name).read_bytes() == (folder / name).read_bytes(), name


@pytest.mark.parametrize(
    "labels",
    [
        LabelEncoding(type=TaskType.REGRESSION, dtype="DOUBLE", mean=0.1, std=3.0, median=-1.0, low=-7.5, high=1e300),
        LabelEncoding(type=TaskType.BINARY, dtype="BOOLEAN", classes=("false", "true"), shares=(1 / 3, 2 / 3)),
        LabelEncoding(type=TaskType.MULTILABEL, dtype="VARCHAR[]", classes=("a",), shares=(0.0,)),
    ],
    ids=lambda labels: str(labels.type),
)
def test_labels_of_every_kind_come_back(bundle, labels, tmp_path):
    assert Bundle.load(replace(bundle, labels=labels).save(tmp_path)).labels == labels


def test_a_bundle_without_arrays_comes_back(bundle, encoding, tmp_path):
    plain = Encoding(tables=encoding.tables, time=encoding.time)
    assert Bundle.load(replace(bundle, encoding=plain).save(tmp_path)).encoding.arrays == {}


def test_weights_need_not_lie_in_one_piece(bundle, tmp_path):
    weights = {k: v.T.contiguous().T if v.ndim == 2 else v for k, v in bundle.weights.items()}
    assert not all(v.is_contiguous() for v in weights.values())
    loaded = Bundle.load(replace(bundle, weights=weights).save(tmp_path))
    assert all(torch.equal(v, weights[k]) for k, v in loaded.weights.items())


# --- what is on disk ----------------------------------------------------------------------------------------------


def test_common_tools_can_read_every_file_and_none_is_a_pickle(folder):
    assert sorted(p.name for p in folder.iterdir()) == FILES

    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    for name in ("bundle.json", "encoding.json"):
        assert json.loads((folder / name).read_text(), parse_constant=refuse)
    assert yaml.safe_load((folder / "schema.yaml").read_text()) == market_schema().to_dict()
    for name in ("encoding.safetensors", "weights.safetensors"):
        with safe_open(folder / name, "pt") as file:
            assert list(file.keys())


def test_a_folder_without_bundle_is_refused(tmp_path):
    with pytest.raises(StoreError) as e:
        Bundle.load(tmp_path)
    assert str(e.value) == f"'{tmp_path}' holds no bundle\nHint: a bundle folder has a bundle.json"


def test_a_bundle_cut_short_is_no_bundle(bundle, folder, monkeypatch):
    """Neither a new one nor the one that was there before: its files are mixed."""
    from foreknow import bundle as module

    def die(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "save_tensors", die)
    with pytest.raises(KeyboardInterrupt):
        bundle.save(folder)
    with pytest.raises(StoreError, match="holds no bundle"):
        Bundle.load(folder)


def test_another_format_is_refused_by_naming_the_version_that_wrote_it(folder):
    meta = json.loads((folder / "bundle.json").read_text())
    (folder / "bundle.json").write_text(json.dumps(meta | {"format": 99}))
    with pytest.raises(StoreError) as e:
        Bundle.load(folder)
    assert str(e.value) == (
        f"the bundle in '{folder}' is of format 99, this version reads {FORMAT}\n"
        "Hint: it was written by foreknow 9.9; use that version or train again"
    )


def test_weights_of_another_shape_are_refused(bundle):
    with pytest.raises(RuntimeError, match="size mismatch"):
        replace(bundle, model=ModelConfig(**SHAPE | {"channels": 4})).network()
