"""Metrics against values worked out by hand and against slow implementations that follow the definition."""

import math
import subprocess
import sys
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foreknow.errors import TaskError
from foreknow.task.metric import (
    THRESHOLD,
    best_f1_threshold,
    check_outputs,
    default_metric,
    evaluate,
    hard_labels,
    is_better,
    metric,
    metrics_for,
)
from foreknow.types import TaskType

pytestmark = pytest.mark.filterwarnings("error")

BINARY, MULTICLASS, MULTILABEL, REGRESSION, *_ = TaskType

# Scores with many ties, scores with few, and neighbours that differ in the last bit.
SCORES = st.one_of(
    st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]),
    st.floats(0, 1),
    st.sampled_from([0.5, np.nextafter(0.5, 0), np.nextafter(0.5, 1), 5e-324, 0.0]),
)
ROWS = st.lists(st.tuples(st.integers(0, 1), SCORES), min_size=1, max_size=30)


def slow_roc_auc(target, score):
    """Chance that a positive scores above a negative, a tie counting half."""
    positives = [s for t, s in zip(target, score, strict=True) if t]
    negatives = [s for t, s in zip(target, score, strict=True) if not t]
    if not positives or not negatives:
        return math.nan
    wins = sum((p > n) + 0.5 * (p == n) for p in positives for n in negatives)
    return wins / (len(positives) * len(negatives))


def slow_average_precision(target, score):
    """Precision at each threshold, weighted by the recall gained there."""
    num_positive = sum(target)
    if num_positive == 0:
        return math.nan
    total, recall_before = 0.0, 0.0
    for threshold in sorted(set(score), reverse=True):
        found = [t for t, s in zip(target, score, strict=True) if s >= threshold]
        recall = sum(found) / num_positive
        total += (recall - recall_before) * sum(found) / len(found)
        recall_before = recall
    return total


def slow_f1(target, label):
    both = sum(t and y for t, y in zip(target, label, strict=True))
    return 2 * both / (sum(target) + sum(label)) if sum(target) + sum(label) else math.nan


def assert_same(actual, expected):
    assert actual == pytest.approx(expected, nan_ok=True, abs=1e-12)


# --- the register -------------------------------------------------------------------------------------------


def test_every_task_type_lists_its_metrics_with_the_default_first():
    assert metrics_for(BINARY) == ("roc_auc", "average_precision", "accuracy", "f1", "precision", "recall")
    assert metrics_for(MULTICLASS) == ("macro_f1", "micro_f1", "accuracy")
    assert metrics_for(MULTILABEL) == (
        *("auroc_macro", "auroc_micro", "auprc_macro", "auprc_micro"),
        *("precision_macro", "precision_micro"),
    )
    assert metrics_for(REGRESSION) == ("rmse", "mae", "r2", "mape")
    assert [default_metric(t) for t in TaskType if not t.is_link] == ["roc_auc", "macro_f1", "auroc_macro", "rmse"]


def test_errors_are_better_low_and_everything_else_high():
    low = {m for t in TaskType for m in metrics_for(t) if not metric(m, t).higher_is_better}
    assert low == {"rmse", "mae", "mape"}


def test_a_metric_says_what_it_fits_and_needs_and_is_frozen():
    accuracy = metric("accuracy", BINARY)
    assert accuracy.task_types == {BINARY, MULTICLASS}
    assert (accuracy.needs, metric("roc_auc", BINARY).needs) == ("labels", "scores")
    assert accuracy is metric("accuracy", MULTICLASS)
    with pytest.raises(FrozenInstanceError):
        accuracy.name = "other"


@pytest.mark.parametrize(
    ("alias", "task_type", "name"),
    [
        ("auroc", BINARY, "roc_auc"),
        ("ROC-AUC", BINARY, "roc_auc"),
        (" Average Precision ", BINARY, "average_precision"),
        ("ap", BINARY, "average_precision"),
        ("auprc", BINARY, "average_precision"),
        ("f1_macro", MULTICLASS, "macro_f1"),
        ("multilabel_auprc_micro", MULTILABEL, "auprc_micro"),
        ("r2_score", REGRESSION, "r2"),
    ],
)
def test_common_aliases_mean_one_metric(alias, task_type, name):
    assert metric(alias, task_type).name == name


def test_a_misspelt_name_is_answered_with_the_near_match_and_the_valid_names():
    with pytest.raises(TaskError) as error:
        metric("roc_acu", BINARY)
    assert str(error.value) == (
        "there is no metric 'roc_acu' for binary_classification\n"
        "Hint: did you mean 'roc_auc'? Metrics of binary_classification: "
        "accuracy, average_precision, f1, precision, recall, roc_auc."
    )


@pytest.mark.parametrize(
    ("name", "task_type", "fits"),
    [
        ("rmse", BINARY, "regression"),
        ("auroc", MULTILABEL, "binary_classification"),
        ("accuracy", REGRESSION, "binary_classification and multiclass_classification"),
    ],
)
def test_a_metric_of_another_task_type_is_refused_by_name(name, task_type, fits):
    with pytest.raises(TaskError) as error:
        metric(name, task_type)
    assert str(error.value).startswith(f"metric '{name}' doesn't fit {task_type.value}, it measures {fits}\nHint: ")
    assert all(valid in str(error.value) for valid in metrics_for(task_type))


def test_an_ambiguous_name_is_refused():
    """F1 of several classes can be macro or micro."""
    with pytest.raises(TaskError, match="accuracy, macro_f1, micro_f1"):
        metric("f1", MULTICLASS)


# --- hand-worked values -------------------------------------------------------------------------------------


def test_binary_by_hand():
    """Ranked 0.9+ 0.8- 0.6+ 0.5- 0.2+ 0.1-: of 9 pairs 6 in order; labels yes for the first four."""
    target, output = np.array([1, 0, 1, 0, 1, 0]), np.array([0.9, 0.8, 0.6, 0.5, 0.2, 0.1])
    values = evaluate(BINARY, target, output)
    assert list(values) == list(metrics_for(BINARY))
    assert values == pytest.approx(
        {
            "roc_auc": 6 / 9,
            "average_precision": (1 / 1 + 2 / 3 + 3 / 5) / 3,
            "accuracy": 3 / 6,
            "f1": 2 * 2 / (3 + 4),
            "precision": 2 / 4,
            "recall": 2 / 3,
        }
    )


def test_multiclass_by_hand():
    """Class 0: F1 2/3; class 1: 2/3; class 2 neither predicted nor true: not in the mean."""
    target = np.array([0, 0, 1, 1, 1])
    output = np.array([[0.8, 0.2, 0], [0.4, 0.6, 0], [0.1, 0.9, 0], [0.2, 0.8, 0], [0.7, 0.2, 0.1]])
    values = evaluate(MULTICLASS, target, output)
    f1 = [2 * 1 / (2 + 2), 2 * 2 / (3 + 3)]
    assert values == pytest.approx({"macro_f1": np.mean(f1), "micro_f1": 3 / 5, "accuracy": 3 / 5})


def test_a_class_never_seen_in_training_counts_as_an_error():
    """Classes 0 and 1 have F1 1 and 2/3, the class of the unseen row 0."""
    output = np.array([[0.9, 0.1], [0.2, 0.8], [0.3, 0.7]])
    values = evaluate(MULTICLASS, np.array([0, 1, -1]), output)
    assert values == pytest.approx({"macro_f1": (1 + 2 / 3 + 0) / 3, "micro_f1": 2 / 3, "accuracy": 2 / 3})
    only_unseen = evaluate(MULTICLASS, np.array([-1, -1]), output[:2])
    assert only_unseen == {"macro_f1": 0, "micro_f1": 0, "accuracy": 0}


def test_multilabel_by_hand():
    """Label 0: AUC 1, AP 1; label 1: AUC 1/2, AP (1/1 + 2/3)/2; label 2 has no positive: only the micro ones see it."""
    target = np.array([[1, 1, 0], [0, 0, 0], [0, 1, 0]])
    output = np.array([[0.9, 0.8, 0.2], [0.3, 0.6, 0.7], [0.1, 0.4, 0.0]])
    values = evaluate(MULTILABEL, target, output)
    # Pooled: .9+ .8+ .7- .6- .4+ .3- .2- .1- .0-: three positives beat 6, 6 and 4 of 6 negatives.
    expected = {
        "auroc_macro": (1 + 1 / 2) / 2,
        "auroc_micro": (6 + 6 + 4) / 18,
        "auprc_macro": (1 + (1 + 2 / 3) / 2) / 2,
        "auprc_micro": (1 + 1 + 3 / 5) / 3,
        "precision_macro": (1 + 1 / 2 + 0) / 3,
        "precision_micro": 2 / 4,
    }
    assert values == pytest.approx(expected)


def test_one_label_is_measured_like_a_binary_task():
    """scikit-learn would average over the two values of the only column."""
    rng = np.random.default_rng(0)
    target, output = rng.integers(0, 2, 50), rng.random(50)
    many, one = evaluate(MULTILABEL, target[:, None], output[:, None]), evaluate(BINARY, target, output)
    for name, binary in {"auroc": "roc_auc", "auprc": "average_precision", "precision": "precision"}.items():
        assert many[f"{name}_macro"] == many[f"{name}_micro"] == one[binary]


def test_regression_by_hand():
    target, output = np.array([1.0, 2.0, 4.0, 5.0]), np.array([2.0, 2.0, 2.0, 6.0])
    values = evaluate(REGRESSION, target, output)
    expected = {"rmse": math.sqrt(6 / 4), "mae": 1.0, "r2": 1 - 6 / 10, "mape": (1 + 0 + 0.5 + 0.2) / 4}
    assert values == pytest.approx(expected)


def test_names_select_and_aliases_answer_under_the_plain_name():
    target, output = np.array([0, 1]), np.array([0.2, 0.9])
    assert evaluate(BINARY, target, output, ["ap", "accuracy"]) == {"average_precision": 1.0, "accuracy": 1.0}
    assert evaluate(BINARY, target, output, "auroc") == {"roc_auc": 1.0}
    assert evaluate(BINARY, target, output, []) == {}


def test_booleans_and_single_precision_are_fine():
    values = evaluate(BINARY, np.array([False, True]), np.array([0.2, 0.9], dtype=np.float32))
    assert values["roc_auc"] == values["f1"] == 1.0


# --- undefined cases ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("task_type", "target", "output"),
    [
        (BINARY, np.zeros(0), np.zeros(0)),
        (MULTICLASS, np.zeros(0), np.zeros((0, 3))),
        (MULTILABEL, np.zeros((0, 3)), np.zeros((0, 3))),
        (MULTILABEL, np.zeros((3, 0)), np.zeros((3, 0))),
        (REGRESSION, np.zeros(0), np.zeros(0)),
    ],
)
def test_without_rows_everything_is_nan(task_type, target, output):
    values = evaluate(task_type, target, output)
    assert list(values) == list(metrics_for(task_type))
    assert all(math.isnan(v) for v in values.values())


def test_only_negatives():
    values = evaluate(BINARY, np.array([0, 0]), np.array([0.1, 0.9]))
    nan = math.nan
    expected = {"roc_auc": nan, "average_precision": nan, "accuracy": 0.5, "f1": 0.0, "precision": 0.0, "recall": nan}
    assert_same(values, expected)


def test_only_positives_and_nothing_predicted():
    values = evaluate(BINARY, np.array([1, 1]), np.array([0.1, 0.2]))
    nan = math.nan
    expected = {"roc_auc": nan, "average_precision": 1.0, "accuracy": 0.0, "f1": 0.0, "precision": nan, "recall": 0.0}
    assert_same(values, expected)


def test_f1_of_nothing_true_and_nothing_predicted_is_nan():
    assert math.isnan(evaluate(BINARY, np.array([0]), np.array([0.1]), ["f1"])["f1"])


def test_macro_averages_leave_out_labels_without_a_value():
    """Label 0 has both values, label 1 no positive, label 2 no negative and is never predicted."""
    target = np.array([[1, 0, 1], [0, 0, 1]])
    output = np.array([[0.9, 0.9, 0.1], [0.1, 0.9, 0.1]])
    values = evaluate(MULTILABEL, target, output)
    assert values["auroc_macro"] == 1.0
    assert values["auprc_macro"] == 1.0  # labels 0 and 2
    assert values["precision_macro"] == 0.5  # labels 0 and 1
    assert values["precision_micro"] == pytest.approx(1 / 3)


def test_macro_averages_are_nan_if_no_label_has_a_value():
    values = evaluate(MULTILABEL, np.zeros((2, 2)), np.full((2, 2), 0.1))
    assert all(math.isnan(v) for v in values.values())


def test_mape_leaves_out_rows_of_target_zero():
    values = evaluate(REGRESSION, np.array([0.0, 2.0]), np.array([5.0, 3.0]), ["mape"])
    assert values == {"mape": 0.5}
    assert math.isnan(evaluate(REGRESSION, np.zeros(2), np.ones(2), ["mape"])["mape"])


@pytest.mark.parametrize("target", [[3.0], [3.0, 3.0]])
def test_r2_of_targets_that_do_not_vary_is_nan(target):
    values = evaluate(REGRESSION, np.array(target), np.ones(len(target)))
    assert math.isnan(values["r2"])
    assert values["rmse"] == values["mae"] == 2.0


def test_huge_errors_overflow_to_infinity_without_a_warning():
    values = evaluate(REGRESSION, np.array([1e200, 1.0]), np.array([-1e200, 1.0]))
    assert values["rmse"] == math.inf


# --- laws ---------------------------------------------------------------------------------------------------


@given(ROWS)
def test_roc_auc_is_the_share_of_ordered_pairs(rows):
    target, score = zip(*rows, strict=True)
    value = evaluate(BINARY, np.array(target), np.array(score), ["roc_auc"])["roc_auc"]
    assert_same(value, slow_roc_auc(target, score))


@given(ROWS)
def test_average_precision_sums_precision_over_recall(rows):
    target, score = zip(*rows, strict=True)
    value = evaluate(BINARY, np.array(target), np.array(score), ["ap"])["average_precision"]
    assert_same(value, slow_average_precision(target, score))


@given(ROWS)
def test_labels_count_from_the_threshold_on(rows):
    target, score = zip(*rows, strict=True)
    label = [int(s >= THRESHOLD) for s in score]
    values = evaluate(BINARY, np.array(target), np.array(score))
    assert_same(values["accuracy"], np.mean([t == y for t, y in zip(target, label, strict=True)]))
    assert_same(values["f1"], slow_f1(target, label))


@given(ROWS, st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(rows, random):
    shuffled = random.sample(rows, len(rows))
    before, after = (evaluate(BINARY, *(np.array(c) for c in zip(*r, strict=True))) for r in (rows, shuffled))
    assert_same(after, before)


@given(st.lists(st.tuples(st.integers(-1, 3), st.integers(0, 3)), min_size=1, max_size=20))
def test_macro_f1_averages_over_the_classes_that_occur(rows):
    target, label = (np.array(c) for c in zip(*rows, strict=True))
    each = [slow_f1(target == k, label == k) for k in range(-1, 4)]
    values = evaluate(MULTICLASS, target, np.eye(4)[label])
    assert_same(values["macro_f1"], np.nanmean(each))
    assert_same(values["micro_f1"], values["accuracy"])


@given(ROWS)
def test_best_f1_threshold_beats_every_other(rows):
    target, score = zip(*rows, strict=True)
    best = best_f1_threshold(np.array(target), np.array(score))
    if not any(target):
        assert math.isnan(best)
        return
    f1 = {s: slow_f1(target, [x >= s for x in score]) for s in set(score)}
    assert best == max(s for s, value in f1.items() if value == max(f1.values()))


# --- comparing values ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "a", "b", "expected"),
    [
        ("rmse", 1.0, 2.0, True),
        ("rmse", 2.0, 1.0, False),
        ("r2", 0.2, 0.1, True),
        ("r2", 0.1, 0.2, False),
        ("r2", 0.1, 0.1, False),
        ("r2", math.nan, -9.0, False),
        ("r2", -9.0, math.nan, True),
        ("rmse", math.nan, math.nan, False),
        ("rmse", math.inf, math.nan, True),
    ],
)
def test_is_better(name, a, b, expected):
    assert is_better(metric(name, REGRESSION), a, b) is expected


# --- labels and checks --------------------------------------------------------------------------------------


def test_hard_labels_include_the_threshold_and_take_the_first_of_equals():
    assert hard_labels(BINARY, np.array([0.499, 0.5])).tolist() == [0, 1]
    assert hard_labels(MULTILABEL, np.array([[0.5, 0.4]])).tolist() == [[1, 0]]
    assert hard_labels(MULTICLASS, np.array([[0.4, 0.4, 0.2], [0.1, 0.2, 0.7]])).tolist() == [0, 2]


@pytest.mark.parametrize(
    ("task_type", "target", "output", "wanted"),
    [
        (BINARY, np.zeros(2), np.zeros(3), "(N,) and (N,)"),
        (BINARY, np.zeros(2), np.zeros((2, 2)), "(N,) and (N,)"),
        (REGRESSION, np.zeros((2, 1)), np.zeros(2), "(N,) and (N,)"),
        (MULTICLASS, np.zeros(2), np.zeros(2), "(N,) and (N, K)"),
        (MULTICLASS, np.zeros(2), np.zeros((2, 0)), "(N,) and (N, K)"),
        (MULTILABEL, np.zeros((2, 3)), np.zeros((2, 2)), "(N, K) and (N, K)"),
        (REGRESSION, np.float64(1), np.float64(1), "(N,) and (N,)"),
    ],
)
def test_wrong_shapes_are_named(task_type, target, output, wanted):
    with pytest.raises(TaskError) as error:
        evaluate(task_type, target, output)
    assert str(error.value) == (
        f"target and output of shapes {np.shape(target)} and {np.shape(output)} don't fit {task_type.value}\n"
        f"Hint: pass arrays of shapes {wanted}, one row per prediction."
    )


def test_missing_labels_are_counted():
    with pytest.raises(TaskError) as error:
        evaluate(REGRESSION, np.array([1.0, np.nan, np.nan]), np.ones(3))
    assert str(error.value) == (
        "cannot evaluate regression: target: 2 of 3 values are missing or infinite (e.g. nan)\n"
        "  Hint: leave out unlabelled rows."
    )


def test_all_findings_are_reported_at_once():
    with pytest.raises(TaskError) as error:
        evaluate(BINARY, np.array([0, 2, np.nan]), np.array([0.1, 3, np.inf]))
    assert str(error.value).splitlines() == [
        "cannot evaluate binary_classification: 4 problems.",
        "- target: 1 of 3 values are missing or infinite (e.g. nan)",
        "  Hint: leave out unlabelled rows.",
        "- output: 1 of 3 values are missing or infinite (e.g. inf)",
        "  Hint: did the training diverge?",
        "- output: 1 of 3 values are not in 0..1 (e.g. 3)",
        "  Hint: pass probabilities.",
        "- target: 1 of 3 values are not 0 or 1 (e.g. 2)",
        "  Hint: pass 1 for positives, 0 for the others.",
    ]


def test_a_target_beyond_the_classes_is_refused():
    with pytest.raises(TaskError) as error:
        evaluate(MULTICLASS, np.array([0, 3, -2, 1.5]), np.full((4, 3), 0.3))
    assert str(error.value) == (
        "cannot evaluate multiclass_classification: "
        "target: 3 of 4 values are not one of the classes 0..2 (e.g. -2, 1.5, 3)\n"
        "  Hint: pass class indices, -1 for a class never seen in training."
    )


def test_values_that_are_no_numbers_are_refused():
    with pytest.raises(TaskError, match="target is not an array of numbers: could not convert string"):
        evaluate(BINARY, np.array(["yes"]), np.array([0.5]))


def test_rounding_beyond_one_is_no_error():
    _, output = check_outputs(BINARY, np.array([1]), np.array([1.0 + 1e-7]))
    assert output.dtype == np.float64


def test_importing_metrics_does_not_import_scikit_learn():
    code = "import sys, foreknow.task.metric; sys.exit('sklearn' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
