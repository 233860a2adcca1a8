"""The forward pass in batches, and what outputs mean."""

import math

import numpy as np
import pytest
import torch

from foreknow.graph.encode import fit_encoding
from foreknow.predict.forward import outputs_to_predictions, run_forward
from foreknow.sample.loader import Seeds
from foreknow.task.label import LabelEncoding
from foreknow.testing.market import END, START, build_market, market_loader, market_network, market_tables, other_future
from foreknow.types import DAY_S, TaskType

pytestmark = pytest.mark.filterwarnings("error")

NOW = START + 300 * DAY_S
BINARY, MULTICLASS, MULTILABEL, REGRESSION, *_ = TaskType


@pytest.fixture(scope="module")
def market(tmp_path_factory):
    return build_market(tmp_path_factory.mktemp("market"))


@pytest.fixture(scope="module")
def encoding(market):
    return fit_encoding(market, NOW)


@pytest.fixture
def loader(market, encoding):
    return market_loader(market, encoding)


@pytest.fixture
def network(loader, encoding):
    return market_network(loader, encoding, num_outputs=2, dropout=0.5, head_layers=2, gnn_norm="batch")


def customers(*rows, time=END):
    return Seeds(row=np.array(rows, np.int32), time=np.full(len(rows), time))


EVERYONE = customers(*range(24))


# --- running ------------------------------------------------------------------------------------------------------


def test_outputs_come_in_the_order_of_the_seeds_whatever_the_batch_size(network, loader):
    whole, vectors = run_forward(network, loader, EVERYONE, batch_size=24)
    assert (whole.shape, whole.dtype, vectors) == ((24, 2), np.float32, None)
    for batch_size in (1, 7, 100):
        parts, _ = run_forward(network, loader, EVERYONE, batch_size=batch_size)
        assert parts == pytest.approx(whole, abs=1e-5)
    backwards, _ = run_forward(network, loader, customers(*range(23, -1, -1)), batch_size=24)
    assert backwards[::-1] == pytest.approx(whole, abs=1e-5)


def test_the_same_seeds_give_the_same_bits_each_time(network, loader):
    """In the middle of training as well: dropout rests, running statistics stay."""
    state = {k: v.clone() for k, v in network.state_dict().items()}
    one, _ = run_forward(network.train(), loader, EVERYONE, batch_size=10)
    assert network.training
    two, _ = run_forward(network.eval(), loader, EVERYONE, batch_size=10)
    assert not network.training
    assert one.tobytes() == two.tobytes()
    assert all(torch.equal(v, state[k]) for k, v in network.state_dict().items())


def test_the_draw_is_that_of_epoch_0(network, loader):
    found, _ = run_forward(network, loader, EVERYONE, batch_size=24)
    with torch.no_grad():
        outputs = [network.eval()(loader.batch(EVERYONE, np.arange(24), epoch=e)).numpy() for e in (0, 1)]
    assert found.tobytes() == outputs[0].tobytes()
    assert found.tobytes() != outputs[1].tobytes()


def test_vectors_are_what_the_head_reads(network, loader):
    raw, vectors = run_forward(network, loader, EVERYONE, batch_size=9, embeddings=True)
    assert (vectors.shape, vectors.dtype) == ((24, 8), np.float32)
    with torch.no_grad():
        assert network.eval().head(torch.from_numpy(vectors)).numpy() == pytest.approx(raw, abs=1e-6)


def test_no_seeds_give_no_outputs(network, loader):
    raw, vectors = run_forward(network, loader, customers(), batch_size=4, embeddings=True)
    assert (raw.shape, vectors.shape) == ((0, 2), (0, 8))


def test_progress_is_told_in_seeds(network, loader):
    done = []
    run_forward(network, loader, EVERYONE, batch_size=10, progress=done.append)
    assert done == [10, 20, 24]


def test_after_an_error_the_network_is_as_it_was(network, loader):
    with pytest.raises(ValueError, match="seeds are no rows"):
        run_forward(network.train(), loader, customers(99), batch_size=1)
    assert network.training


def test_future_rows_after_the_seed_time_change_no_bit_of_an_output(network, loader, market, encoding, tmp_path):
    other = build_market(tmp_path, other_future(market_tables(), NOW))
    seen = customers(*np.flatnonzero(market["customers"].time <= NOW), time=NOW)
    one, _ = run_forward(network, loader, seen, batch_size=8)
    two, _ = run_forward(network, market_loader(other, encoding), seen, batch_size=8)
    assert one.tobytes() == two.tobytes()
    later = customers(*seen.row, time=END)  # there is a difference to be seen
    one, _ = run_forward(network, loader, later, batch_size=8)
    two, _ = run_forward(network, market_loader(other, encoding), later, batch_size=8)
    assert one.tobytes() != two.tobytes()


# --- from outputs to predictions ----------------------------------------------------------------------------------


def test_binary_outputs_are_probabilities_of_the_second_class():
    labels = LabelEncoding(type=BINARY, dtype="BOOLEAN", classes=("false", "true"), shares=(0.5, 0.5))
    raw = np.array([[0.0], [math.log(3)], [-1e9], [1e9]], np.float32)
    found = outputs_to_predictions(raw, labels, np.zeros(1))
    assert found.tolist() == pytest.approx([0.5, 0.75, 0, 1])
    assert outputs_to_predictions(raw[1:2], labels, np.array([math.log(3)])).tolist() == pytest.approx([0.5])


def test_multiclass_outputs_are_probabilities_that_sum_to_one():
    labels = LabelEncoding(type=MULTICLASS, dtype="VARCHAR", classes=("a", "b", "c"), shares=(0.2, 0.3, 0.5))
    raw = np.array([[0, 0, 0], [math.log(2), 0, 0], [1e9, 0, -1e9]], np.float32)
    found = outputs_to_predictions(raw, labels, np.zeros(3))
    assert found == pytest.approx(np.array([[1 / 3] * 3, [0.5, 0.25, 0.25], [1, 0, 0]]))
    shifted = outputs_to_predictions(raw[1:2], labels, np.array([math.log(2), 0, 0]))
    assert shifted == pytest.approx(np.array([[1 / 3] * 3]))


def test_multilabel_outputs_are_a_probability_each():
    labels = LabelEncoding(type=MULTILABEL, dtype="VARCHAR[]", classes=("a", "b"), shares=(0.2, 0.3))
    found = outputs_to_predictions(np.array([[0, 1e9], [math.log(3), -1e9]]), labels, np.zeros(2))
    assert found == pytest.approx(np.array([[0.5, 1], [0.75, 0]]))


def test_regression_outputs_are_scaled_back_and_kept_within_bounds():
    labels = LabelEncoding(type=REGRESSION, dtype="DOUBLE", mean=10.0, std=4.0, low=3.0, high=15.0)
    raw = np.array([[0.0], [1.0], [-5.0], [5.0]], np.float32)
    assert outputs_to_predictions(raw, labels, np.zeros(1)).tolist() == [10, 14, 3, 15]


@pytest.mark.parametrize(
    ("task_type", "shape"), [(BINARY, (0,)), (MULTICLASS, (0, 2)), (MULTILABEL, (0, 2)), (REGRESSION, (0,))]
)
def test_no_outputs_are_no_predictions(task_type, shape):
    labels = LabelEncoding(type=task_type, dtype="", classes=("a", "b"), shares=(0.5, 0.5))
    raw = np.zeros((0, labels.num_outputs), np.float32)
    assert outputs_to_predictions(raw, labels, np.zeros(labels.num_outputs)).shape == shape
