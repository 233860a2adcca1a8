"""Baselines: the simple ones by hand, LightGBM by what it can and can't see."""

import math

import numpy as np
import pyarrow as pa
import pytest

from foreknow.graph.encode import TableFeatures, fit_encoding
from foreknow.sample.aggregates.feature import AggregatePlan, Feature, Stat
from foreknow.sample.aggregates.value import Value
from foreknow.sample.loader import Seeds
from foreknow.schema.table import Column, Schema, Table
from foreknow.task.label import LabelEncoding, encode_labels, fit_labels
from foreknow.testing.market import market_task
from foreknow.testing.stores import build_store
from foreknow.train import baselines
from foreknow.train.baselines import entity_baseline, majority_baseline
from foreknow.train.boosting import BoostedTrees, BoostingConfig, fit_trees
from foreknow.train.loop import SplitData
from foreknow.train.scoreboard import NETWORK, Row, make_row, score, with_intervals
from foreknow.train.screening import explained_share
from foreknow.train.tabular import _is_clock, horizon_of
from foreknow.train.verdict import verdict
from foreknow.types import DAY_S, Stype, TaskType

pytestmark = pytest.mark.filterwarnings("error")

BINARY, MULTICLASS, MULTILABEL, REGRESSION, *_ = TaskType


def split(target):
    n = len(target)
    return SplitData(seeds=Seeds(row=np.arange(n, dtype=np.int32), time=np.zeros(n, np.int64)), target=np.array(target))


# --- scores -------------------------------------------------------------------------------------------------------


def test_rows_without_a_label_are_not_scored():
    labels = LabelEncoding(type=REGRESSION, dtype="DOUBLE")
    assert score(labels, np.array([1.0, np.nan, 3.0]), np.array([1.0, 99, 5]))["rmse"] == pytest.approx(2**0.5)
    labels = LabelEncoding(type=BINARY, dtype="BOOLEAN", classes=("false", "true"))
    assert score(labels, np.array([1, np.nan, 0]), np.array([0.9, 0.9, 0.1]))["accuracy"] == 1
    labels = LabelEncoding(type=MULTILABEL, dtype="VARCHAR[]", classes=("a", "b"))
    target = np.array([[1, 0], [np.nan, np.nan], [0, 1]])
    assert score(labels, target, np.array([[0.9, 0.1], [0.9, 0.9], [0.1, 0.9]]))["precision_micro"] == 1


def test_a_class_unseen_in_training_is_scored_as_wrong_a_missing_one_is_not_scored():
    labels = LabelEncoding(type=MULTICLASS, dtype="VARCHAR", classes=("a", "b"))
    output = np.array([[0.9, 0.1]] * 4)
    assert score(labels, np.array([0, 0, -1, -2]), output)["accuracy"] == pytest.approx(2 / 3)


def test_no_known_label_scores_nothing():
    labels = LabelEncoding(type=REGRESSION, dtype="DOUBLE")
    assert all(math.isnan(v) for v in score(labels, np.full(3, np.nan), np.zeros(3)).values())


# --- what is most common ------------------------------------------------------------------------------------------


def test_the_majority_is_the_share_of_each_class():
    labels = LabelEncoding(type=BINARY, dtype="BOOLEAN", classes=("false", "true"), shares=(0.7, 0.3))
    row = majority_baseline(labels, {"train": split([0.0]), "validation": split([0.0, 1, 0])}, "roc_auc")
    assert row.model == "majority"
    assert (row.val["roc_auc"], row.val["accuracy"], row.val["recall"]) == (0.5, pytest.approx(2 / 3), 0)
    assert row.test == {}
    labels = LabelEncoding(type=MULTICLASS, dtype="VARCHAR", classes=("a", "b", "c"), shares=(0.2, 0.5, 0.3))
    row = majority_baseline(labels, {"validation": split([1, 1, 0, 2]), "test": split([1, 0])}, "accuracy")
    assert (row.val["accuracy"], row.test["accuracy"]) == (0.5, 0.5)
    labels = LabelEncoding(type=MULTILABEL, dtype="VARCHAR[]", classes=("a", "b"), shares=(0.6, 0.2))
    row = majority_baseline(labels, {"validation": split([[1.0, 0], [0, 0]])}, "auroc_macro")
    assert row.val["precision_micro"] == 0.5  # a yes to "a" for all, never to "b"


@pytest.mark.parametrize(
    ("metric", "name", "value"),
    [("rmse", "mean", 4), ("r2", "mean", 4), ("mae", "median", 2), ("mape", "median", 2), ("MAE", "median", 2)],
)
def test_a_number_is_the_mean_or_for_absolute_errors_the_median(metric, name, value):
    labels = LabelEncoding(type=REGRESSION, dtype="DOUBLE", mean=4.0, median=2.0)
    row = majority_baseline(labels, {"validation": split([2.0, 5.0])}, metric)
    assert row.model == name
    assert row.val["mae"] == (abs(2 - value) + abs(5 - value)) / 2


def test_a_row_of_the_board_as_plain_values():
    row = Row(model="m", val={"a": 1.0}, test={}, seconds=1.23456)
    assert row.to_dict() == {
        "model": "m",
        "val": {"a": 1.0},
        "test": {},
        "val_interval": None,
        "test_interval": None,
        "seconds": 1.235,
    }


# --- LightGBM on the entity's columns -----------------------------------------------------------------------------

NUM = 600
LABELS = {
    BINARY: ("BOOLEAN", lambda kind, late: late > 0),
    MULTICLASS: ("VARCHAR", lambda kind, late: kind),
    MULTILABEL: ("VARCHAR[]", lambda kind, late: [kind, "late"] if late > 0 else [kind]),
    REGRESSION: ("DOUBLE", lambda kind, late: 10 * late),
}


class Flights:
    """Flights ``i`` leave on day ``i``: how late they are says all; their airline says half of it."""

    def __init__(self, folder, *, is_timed=True):
        rng = np.random.default_rng(0)
        self.kind, self.late = rng.choice(["slow", "fast"], NUM), rng.normal(size=NUM)
        self.late = np.where(self.kind == "slow", 1, -1) * np.abs(self.late) * rng.choice([1, 1, 1, -1], NUM)
        columns = "id key BIGINT, airline categorical VARCHAR, late numerical DOUBLE, leaves timestamp TIMESTAMP"
        flights = Table(
            name="flights",
            columns=tuple(Column(name=n, stype=Stype(s), dtype=d) for n, s, d in map(str.split, columns.split(", "))),
            primary_key=("id",),
            time_column="leaves" if is_timed else None,
        )
        leaves = pa.array(np.arange(NUM) * DAY_S).cast(pa.timestamp("s"))
        rows = {"id": np.arange(NUM), "airline": self.kind, "late": self.late, "leaves": leaves}
        self.store = build_store(folder, Schema({"flights": flights}), {"flights": pa.table(rows)})
        self.encoding = fit_encoding(self.store, NUM * DAY_S)

    def data(self, task_type=BINARY, *, days=1, test=True):
        """Labels and splits of alternating rows, looked at some days after they leave (a negative number: before)."""
        dtype, label = LABELS[task_type]
        values = [label(str(k), float(x)) for k, x in zip(self.kind, self.late, strict=True)]
        rows = np.arange(NUM, dtype=np.int32)
        parts = {"train": rows[rows % 3 > 0], "validation": rows[rows % 6 == 0], "test": rows[rows % 6 == 3]}
        labels = fit_labels(task_type, pa.array([values[i] for i in parts["train"]]), dtype)
        return labels, {
            name: SplitData(
                seeds=Seeds(row=part, time=(part + days) * DAY_S),
                target=encode_labels(labels, pa.array([values[i] for i in part])),
            )
            for name, part in parts.items()
            if test or name != "test"
        }

    def baseline(self, data, *, metric="roc_auc", known=(), inclusive=True, seed=0, **options):
        features = TableFeatures(self.encoding.tables["flights"], self.store["flights"], self.encoding.arrays)
        options = {"metric": metric, "known": known, "inclusive": inclusive, "seed": seed, **options}
        return entity_baseline(*data, features, self.store["flights"], **options)


@pytest.fixture(scope="module")
def flights(tmp_path_factory):
    return Flights(tmp_path_factory.mktemp("flights"))


@pytest.mark.parametrize(
    ("task_type", "metric", "at_least"),
    [
        (BINARY, "roc_auc", 0.99),
        (MULTICLASS, "accuracy", 0.99),
        (MULTILABEL, "auroc_macro", 0.99),
        (REGRESSION, "r2", 0.9),
    ],
)
def test_every_kind_of_task_is_learnt(flights, task_type, metric, at_least):
    row = flights.baseline(flights.data(task_type), metric=metric)
    assert row.model == "entity columns (LightGBM)"
    assert row.val[metric] >= at_least
    assert row.test[metric] >= at_least
    assert row.seconds > 0


def test_columns_of_rows_later_than_the_seed_time_are_hidden_but_those_known_ahead(flights):
    after, before = flights.data(days=0), flights.data(days=-1)
    assert flights.baseline(after).val["roc_auc"] > 0.99
    assert flights.baseline(after, inclusive=False).val["roc_auc"] == 0.5  # nothing is known at the very time
    assert flights.baseline(before).val["roc_auc"] == 0.5
    assert 0.6 < flights.baseline(before, known=("airline",)).val["roc_auc"] < 0.9
    assert flights.baseline(before, known=("late",)).val["roc_auc"] > 0.99


def test_columns_of_rows_later_than_a_frozen_context_are_hidden(flights):
    data = flights.data(days=1)
    assert flights.baseline(data, context_until=-1).val["roc_auc"] == 0.5
    some = flights.baseline(data, context_until=NUM // 2 * DAY_S).val["roc_auc"]
    assert 0.6 < some < 0.95  # half of the rows are seen
    assert flights.baseline(data, context_until=NUM * DAY_S).val["roc_auc"] > 0.99


def test_an_instant_of_a_table_without_time_is_unknown_until_the_context_reaches_it(tmp_path):
    """Rows are labelled by whether they have left; only the instant tells, and only if it may be seen."""
    flights = Flights(tmp_path, is_timed=False)
    labels, splits = flights.data()
    rng = np.random.default_rng(0)

    def has_left(part):
        target = rng.integers(0, 2, len(part)).astype(np.float32)
        day = part.seeds.row + np.where(target > 0, 1, -1)
        return SplitData(seeds=Seeds(row=part.seeds.row, time=day * DAY_S), target=target)

    data = labels, {name: has_left(part) for name, part in splits.items()}
    encoding = flights.encoding.tables["flights"]
    assert encoding.instants == ("leaves",)
    assert flights.baseline(data).val["roc_auc"] == 1
    assert flights.baseline(data, context_until=-1).val["roc_auc"] < 0.6


def test_without_columns_there_is_no_baseline(tmp_path):
    bare = Table(name="flights", columns=(Column(name="id", stype=Stype.KEY),), primary_key=("id",))
    store = build_store(tmp_path, Schema({"flights": bare}), {"flights": pa.table({"id": np.arange(9)})})
    encoding = fit_encoding(store, 0)
    features = TableFeatures(encoding.tables["flights"], store["flights"], {})
    labels = LabelEncoding(type=BINARY, dtype="BOOLEAN", classes=("false", "true"), shares=(0.5, 0.5))
    options = {"metric": "roc_auc", "known": (), "inclusive": True, "seed": 0}
    assert entity_baseline(labels, {"train": split([0.0, 1])}, features, store["flights"], **options) is None


def test_one_seed_gives_one_baseline(flights):
    data = flights.data(REGRESSION)
    one, two = (flights.baseline(data, metric="rmse").to_dict() | {"seconds": 0} for _ in range(2))
    assert one == two


def test_an_alias_of_a_metric_is_the_metric(flights):
    data = flights.data(REGRESSION)
    one, two, three = (flights.baseline(data, metric=m).val for m in ("mae", "mean_absolute_error", "rmse"))
    assert one == two != three


def test_a_label_all_training_rows_have_is_predicted_for_all(flights):
    labels, splits = flights.data(MULTILABEL)
    target = {k: np.where(np.arange(3) == 0, 1, s.target) for k, s in splits.items()}
    splits = {k: SplitData(seeds=s.seeds, target=target[k]) for k, s in splits.items()}
    row = flights.baseline((labels, splits), metric="auprc_macro")
    assert all(math.isfinite(v) for v in row.val.values())


def test_a_class_unseen_in_training_is_an_error(flights):
    labels, splits = flights.data(MULTICLASS)
    target = splits["validation"].target.copy()
    target[::2] = -1
    unseen = SplitData(seeds=splits["validation"].seeds, target=target)
    row = flights.baseline((labels, splits | {"validation": unseen}), metric="accuracy")
    assert row.val["accuracy"] <= 0.5 < row.test["accuracy"]


def test_a_missing_test_split_is_not_scored(flights):
    assert flights.baseline(flights.data(test=False)).test == {}


def test_very_many_rows_are_thinned_evenly(flights, monkeypatch):
    whole = flights.baseline(flights.data()).val
    monkeypatch.setattr(baselines, "MAX_ROWS", 100)
    thinned = flights.baseline(flights.data()).val
    assert thinned != whole
    assert thinned["roc_auc"] > 0.9


# --- intervals and verdict ----------------------------------------------------------------------------------------


def board(*noises, task_type=BINARY, metric="roc_auc", num=400):
    """Rows of models with more or less noise, the last one the network."""
    labels = LabelEncoding(type=task_type, dtype="DOUBLE", classes=("a", "b") if task_type is BINARY else ())
    rng = np.random.default_rng(0)
    splits = {}
    for name in ("validation", "test"):
        target = rng.normal(size=num)
        splits[name] = split((target > 0).astype(float) if task_type is BINARY else target)
    rows = []
    for i, noise in enumerate(noises):
        outputs = {k: s.target - 0.5 + noise * rng.normal(size=num) for k, s in splits.items()}
        if task_type is BINARY:
            outputs = {k: 1 / (1 + np.exp(-o)) for k, o in outputs.items()}
        model = NETWORK if i == len(noises) - 1 else f"model {i}"
        rows.append(make_row(model, labels, splits, outputs, 0.0))
    return with_intervals(rows, labels, splits, metric)


def test_intervals_hold_the_metric_and_narrow_with_more_rows():
    widths = []
    for num in (100, 1600, 40_000):
        rows, _ = board(1.0, 2.0, num=num)
        for row in rows:
            for value, (low, high) in ((row.val, row.val_interval), (row.test, row.test_interval)):
                assert low < value["roc_auc"] < high
        widths.append(rows[0].test_interval[1] - rows[0].test_interval[0])
    assert widths[0] / 4 == pytest.approx(widths[1], rel=0.5)
    assert widths[1] / 5 == pytest.approx(widths[2], rel=0.5), "beyond the rows drawn, deviations are scaled"


def test_a_difference_is_measured_on_the_same_rows():
    _, resamplers = board(1.0, 1.0)
    noise = board(1.0, 1.0)[1]["test"]
    assert noise.difference(0, 1) == resamplers["test"].difference(0, 1), "the same seed draws the same rows"
    assert noise.difference(0, 0) == (0, (0, 0))


@pytest.mark.parametrize(
    ("task_type", "metric", "noises", "begins"),
    [
        (BINARY, "roc_auc", (3.0, 2.0, 0.3), "The graph network adds +0."),
        (BINARY, "roc_auc", (0.3, 3.0, 2.0), "Model 0 is better here: the graph network falls behind by 0."),
        (
            BINARY,
            "roc_auc",
            (3.0, 1.0, 1.0),
            "Model 1 is enough here: the graph network adds nothing that test can",
        ),
        (REGRESSION, "mae", (3.0, 2.0, 0.3), "The graph network adds +1."),
        (REGRESSION, "mae", (0.3, 2.0, 1.0), "Model 0 is better here: the graph network falls behind by 0."),
    ],
)
def test_the_verdict_compares_the_network_with_the_baseline_best_on_validation(task_type, metric, noises, begins):
    rows, resamplers = board(*noises, task_type=task_type, metric=metric)
    assert verdict(rows, resamplers).startswith(begins)


def test_nothing_compared_needs_no_verdict():
    assert verdict(*board(1.0)) == ""


# --- aggregates ---------------------------------------------------------------------------------------------------


def test_trees_are_kept_as_text_and_predict_the_same():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 4)).astype(np.float32)
    for labels, y in (
        (LabelEncoding(type=BINARY, dtype="BOOLEAN", classes=("a", "b")), (x[:, 0] > 0).astype(float)),
        (LabelEncoding(type=MULTILABEL, dtype="X", classes=("a", "b")), np.stack([x[:, 0] > 0, x[:, 0] > -9], 1) * 1.0),
        (LabelEncoding(type=MULTICLASS, dtype="X", classes=("a", "b", "c")), (x[:, 0] > 0) + (x[:, 1] > 0)),
        (LabelEncoding(type=REGRESSION, dtype="DOUBLE"), x[:, 0] + x[:, 1]),
    ):
        metric = {REGRESSION: "mae", BINARY: "roc_auc", MULTICLASS: "accuracy", MULTILABEL: "auroc_macro"}[labels.type]
        trees = fit_trees(labels, metric, (x, y), None, config=BoostingConfig(rounds=20, stop_after=0))
        again = BoostedTrees.from_text(labels.type, trees.to_text())
        np.testing.assert_array_equal(trees.predict(x), again.predict(x))
        assert trees.gain(4).argmax() in (0, 1)


def test_screening_finds_what_explains_the_target():
    rng = np.random.default_rng(0)
    target = rng.normal(size=(3000, 1))
    noise = rng.normal(size=(3000, 5))
    half = np.where(rng.random(3000) < 0.5, target[:, 0] ** 2, np.nan)
    x = np.column_stack([target[:, 0] ** 2 * np.sign(target[:, 0]), np.ones(3000), half, noise]).astype(np.float32)
    share = explained_share(x, target)
    assert share[0] > 0.9
    assert share[1] == 0
    assert (share[3:] < 0.02).all()
    assert explained_share(x, np.ones((3000, 1))).tolist() == [0] * 8


def test_what_counts_up_with_the_seed_time_is_taken_for_a_clock():
    plan = AggregatePlan(
        entity_table="t",
        windows_s=(),
        horizon_s=0,
        features=(
            Feature(family="history", value=Value(), chain=(0,), stat=Stat(kind="rows")),
            Feature(family="label", stat=Stat(kind="mean")),
            Feature(family="attribute", column="age"),
        ),
    )
    time = np.repeat(np.arange(20), 50) * DAY_S
    x = np.column_stack([time, time, np.random.default_rng(0).normal(size=1000)]).astype(np.float32)
    assert _is_clock(plan, x, time).tolist() == [True, False, False]


@pytest.mark.parametrize(("said", "expected"), [(30 * DAY_S, 30 * DAY_S), (0, 0), (None, 7 * DAY_S)])
def test_past_labels_are_known_after_the_horizon_the_task_says(said, expected):
    task = market_task(horizon_s=said)
    splits = {
        split: SplitData(seeds=Seeds(row=np.zeros(len(t), np.int64), time=np.array(t) * DAY_S), target=np.zeros(len(t)))
        for split, t in {"train": [0, 7, 14], "validation": [21], "test": [28]}.items()
    }
    assert horizon_of(task, splits) == expected
