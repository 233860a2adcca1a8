"""Labels as numbers and back."""

import datetime as dt
import json
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foreknow.errors import TaskError
from foreknow.task import label
from foreknow.task.label import LabelEncoding, encode_labels, fit_labels, infer_task_type
from foreknow.types import TaskType

BINARY, MULTICLASS, MULTILABEL, REGRESSION, *_ = TaskType
NAN = float("nan")


def fit(type_, values, dtype, **options):
    return fit_labels(type_, pa.array(values) if isinstance(values, list) else values, dtype, **options)


def encode(encoding, values, type_=None):
    return encode_labels(encoding, pa.array(values, type_))


# --- classification -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "dtype", "classes"),
    [
        ([True, False, True], "BOOLEAN", ("false", "true")),
        ([1, 0, 1], "BIGINT", ("0", "1")),
        ([10, 9, 10], "INTEGER", ("9", "10")),
        ([1.0, 0.0, 1.0], "DOUBLE", ("0", "1")),
        ([1.5, 0.5, 1.5], "DOUBLE", ("0.5", "1.5")),
        ([Decimal("1.0"), Decimal("0.0"), Decimal("1.0")], "DECIMAL(2,1)", ("0", "1")),
        (["yes", "no", "yes"], "VARCHAR", ("no", "yes")),
        ([dt.date(2020, 1, 2), dt.date(2020, 1, 1), dt.date(2020, 1, 2)], "DATE", ("2020-01-01", "2020-01-02")),
    ],
)
def test_the_second_of_two_sorted_classes_is_the_positive_one(values, dtype, classes):
    encoding = fit(BINARY, values, dtype)
    assert encoding.classes == classes
    assert encoding.shares == (1 / 3, 2 / 3)
    assert encoding.num_outputs == 1
    target = encode(encoding, [*values, None])
    assert target.dtype == np.float32
    np.testing.assert_array_equal(target, [1, 0, 1, NAN])


def test_a_binary_class_never_trained_on_counts_as_missing():
    np.testing.assert_array_equal(encode(fit(BINARY, ["a", "b"], "VARCHAR"), ["b", "c", None]), [1, NAN, NAN])


def test_nan_is_a_missing_label():
    encoding = fit(BINARY, [0.0, 1.0, NAN, 1.0], "DOUBLE")
    assert (encoding.classes, encoding.shares) == (("0", "1"), (0.25, 0.5))
    np.testing.assert_array_equal(encode(encoding, [1.0, NAN]), [1, NAN])
    assert encode(fit(MULTICLASS, [1.0, 2.0, 3.0], "DOUBLE"), [2.0, NAN, 4.0]).tolist() == [1, -2, -1]


def test_labels_of_another_type_fit_if_they_read_the_same():
    encoding = fit(BINARY, [0.0, 1.0], "DOUBLE")
    np.testing.assert_array_equal(encode(encoding, [1, 0]), [1, 0])
    np.testing.assert_array_equal(encode(encoding, [Decimal("1.00")]), [1])
    np.testing.assert_array_equal(encode(encoding, ["1", "0"]), [1, 0])


def test_classes_are_numbered_in_their_own_order():
    encoding = fit(MULTICLASS, [10, 9, 100, 9], "BIGINT")
    assert encoding.classes == ("9", "10", "100")
    assert encoding.shares == (0.5, 0.25, 0.25)
    assert encoding.num_outputs == 3
    target = encode(encoding, [100, 9, 7, None])
    assert target.dtype == np.int64
    assert target.tolist() == [2, 0, -1, -2]


@given(st.lists(st.text(max_size=4), min_size=2, unique=True), st.data())
def test_class_to_index_to_class(texts, data):
    encoding = fit(MULTICLASS, texts, "VARCHAR")
    asked = data.draw(st.lists(st.sampled_from(texts), min_size=1))
    assert [encoding.classes[i] for i in encode(encoding, asked, pa.string())] == asked


@pytest.mark.parametrize("type_", [pa.large_string(), pa.dictionary(pa.int32(), pa.string())])
def test_texts_in_other_layouts_are_read_alike(type_):
    values = pa.array(["b", "a", None, "b"]).cast(type_)
    encoding = fit(BINARY, values.drop_null(), "VARCHAR")
    np.testing.assert_array_equal(encode_labels(encoding, values), [1, 0, NAN, 1])


def test_splits_without_any_label():
    encoding = fit(MULTICLASS, ["a", "b"], "VARCHAR")
    assert encode(encoding, [None, None], pa.string()).tolist() == [-2, -2]
    assert encode(encoding, [None], pa.null()).tolist() == [-2]
    assert encode(encoding, [], pa.string()).tolist() == []


def test_several_labels_per_row():
    encoding = fit(MULTILABEL, [["b", "a"], [], ["a"], ["a"]], "VARCHAR[]")
    assert (encoding.classes, encoding.shares) == (("a", "b"), (0.75, 0.25))
    assert encoding.num_outputs == 2
    target = encode(encoding, [["a", "b", "a"], [], None, ["new", None, "b"]])
    assert target.dtype == np.float32
    np.testing.assert_array_equal(target, [[1, 1], [0, 0], [NAN, NAN], [0, 1]])
    sliced = pa.array([["a"], None, ["b"]]).slice(1)
    np.testing.assert_array_equal(encode_labels(encoding, sliced), [[NAN, NAN], [0, 1]])


def test_lists_of_fixed_length_are_several_labels_too():
    values = pa.array([[1, 2], None, [2, 3]], pa.list_(pa.int64(), 2))
    encoding = fit(MULTILABEL, values.drop_null(), "BIGINT[2]")
    assert encoding.classes == ("1", "2", "3")
    np.testing.assert_array_equal(encode_labels(encoding, values), [[1, 1, 0], [NAN] * 3, [0, 1, 1]])


def test_one_class_is_enough_for_several_labels_but_for_nothing_else():
    assert fit(MULTILABEL, [["a"], []], "VARCHAR[]").classes == ("a",)
    for type_ in (BINARY, MULTICLASS):
        with pytest.raises(
            TaskError, match="all 2 training labels are true: nothing to learn\nHint: check the label's"
        ):
            fit(type_, [True, True], "BOOLEAN")


@pytest.mark.parametrize(
    ("type_", "values", "dtype", "message"),
    [
        (BINARY, [1, 2, 3], "BIGINT", "a binary task has two classes, but the training labels hold 3: 1, 2, 3, ...\n"),
        (BINARY, [["a"]], "VARCHAR[]", "of type binary_classification needs one label per row, not VARCHAR\\[\\]\n"),
        (MULTICLASS, pa.array([], pa.string()), "VARCHAR", "all 0 training labels are missing: nothing to learn\n"),
        (
            MULTILABEL,
            pa.array([[], []], pa.list_(pa.string())),
            "VARCHAR[]",
            "all 2 training labels are empty: nothing",
        ),
        (MULTILABEL, ["a"], "VARCHAR", "a multilabel task needs list-valued labels, not VARCHAR\nHint: use list"),
        (REGRESSION, ["a"], "VARCHAR", "a regression task needs numbers as labels, not VARCHAR\nHint: cast the label"),
        (REGRESSION, [[1.0]], "DOUBLE[]", "a regression task needs numbers as labels, not DOUBLE\\[\\]\nHint"),
        (REGRESSION, [dt.date(2020, 1, 1)], "DATE", "a regression task needs numbers as labels, not DATE\n"),
        (REGRESSION, [dt.time(1)], "TIME", "a regression task needs numbers as labels, not TIME\n"),
        (REGRESSION, [NAN, float("inf")], "DOUBLE", "no training label is a finite number"),
        (REGRESSION, [0.1, 0.1, 0.1], "DOUBLE", "all 3 training labels are 0.1: nothing to learn\nHint: check the"),
    ],
)
def test_labels_that_teach_nothing_are_refused(type_, values, dtype, message):
    with pytest.raises(TaskError, match=message):
        fit(type_, values, dtype)


def test_too_many_classes_are_refused(monkeypatch):
    monkeypatch.setattr(label, "MAX_CLASSES", 3)
    assert len(fit(MULTICLASS, list("abc"), "VARCHAR").classes) == 3
    message = "the training labels hold 4 classes, at most 3 are supported\nHint: group rare classes together"
    with pytest.raises(TaskError, match=message):
        fit(MULTICLASS, list("abcd"), "VARCHAR")
    with pytest.raises(TaskError, match=message):
        fit(MULTILABEL, [list("abcd")], "VARCHAR[]")


# --- regression ---------------------------------------------------------------------------------------------


def test_numbers_are_described_by_training_and_left_as_they_are():
    encoding = fit(REGRESSION, [0.0, 2.0, 10.0, NAN], "DOUBLE")
    assert (encoding.mean, encoding.median, encoding.low, encoding.high) == (4.0, 2.0, 0.0, 10.0)
    assert encoding.std == pytest.approx(np.sqrt(56 / 3))
    assert (encoding.classes, encoding.num_outputs) == ((), 1)
    target = encode(encoding, [1.5, None, NAN, float("inf"), -7.0])
    assert target.dtype == np.float64
    np.testing.assert_array_equal(target, [1.5, NAN, NAN, NAN, -7])


@pytest.mark.parametrize(
    ("values", "dtype"),
    [([1, 3], "BIGINT"), ([Decimal("1.00"), Decimal("3.00")], "DECIMAL(9,2)"), ([1.0, 3.0], "FLOAT")],
)
def test_numbers_of_any_type(values, dtype):
    encoding = fit(REGRESSION, values, dtype)
    assert (encoding.mean, encoding.std) == (2.0, 1.0)
    np.testing.assert_array_equal(encode(encoding, [*values, None]), [1, 3, NAN])


def test_truth_values_count_as_zero_and_one():
    np.testing.assert_array_equal(encode(fit(REGRESSION, [True, False], "BOOLEAN"), [True, None, False]), [1, NAN, 0])


def test_predictions_are_bounded_by_percentiles_of_training():
    encoding = fit(REGRESSION, [float(i) for i in range(101)], "DOUBLE", clamp_min=5, clamp_max=90)
    assert (encoding.low, encoding.high) == (5.0, 90.0)


# --- saving, guessing ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "encoding",
    [
        fit(BINARY, [True, False], "BOOLEAN"),
        fit(MULTICLASS, ["a", "b", "ü"], "VARCHAR"),
        fit(MULTILABEL, [["a"], ["b"]], "VARCHAR[]"),
        fit(REGRESSION, [0.1, 0.2], "DOUBLE"),
    ],
    ids=lambda e: e.type,
)
def test_an_encoding_survives_json(encoding):
    assert LabelEncoding.from_dict(json.loads(json.dumps(encoding.to_dict()))) == encoding


@pytest.mark.parametrize(
    ("values", "dtype", "expected"),
    [
        ([[1, 2]], "INTEGER[]", MULTILABEL),
        ([["a"]], "VARCHAR[1]", MULTILABEL),
        ([True, True], "BOOLEAN", BINARY),
        ([0, 1, 1, None], "BIGINT", BINARY),
        (["a", "b"], "VARCHAR", BINARY),
        ([0, 1, 2], "INTEGER", MULTICLASS),
        (["a", "b", "c"], "VARCHAR", MULTICLASS),
        (["a", "b", "c"], "ENUM('a', 'b', 'c')", MULTICLASS),
        (list(range(21)), "BIGINT", REGRESSION),
        ([0.5, 1.5, 2.5], "DOUBLE", REGRESSION),
    ],
)
def test_the_type_of_a_task_is_guessed_from_its_labels(values, dtype, expected):
    assert infer_task_type(pa.array(values), dtype) is expected
