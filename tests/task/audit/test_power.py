"""One-column models: they find what is there, say nothing of noise, and are not fooled by columns of names."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foreknow.task.audit.label import find_copy, rank_correlation
from foreknow.task.audit.power import auc, bin_codes, bin_numbers, cross_fitted, folds, power
from foreknow.task.audit.rows import LabelledRows
from foreknow.task.audit.signals import Signal

N = 1000


def labelled(target, *, is_number=False, entity=None):
    entity = np.arange(len(target)) if entity is None else entity
    return LabelledRows(
        entity_row=entity.astype(np.int32),
        seed_time=np.zeros(len(target), np.int64),
        targets=target.astype(float)[:, None],
        weights=np.ones(1),
        codes=None if is_number else target.astype(np.int64),
        numbers=target.astype(float) if is_number else None,
        subsets={"train": np.ones(len(target), bool)},
        fold=folds(entity, np.random.default_rng(0)),
    )


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=60))
def test_the_auc_is_the_share_of_pairs_in_order(rows):
    score, yes = np.array([float(s) for s, _ in rows]), np.array([y for _, y in rows])
    pairs = [(a > b) + (a == b) / 2 for a in score[yes] for b in score[~yes]]
    assert auc(score, yes) == pytest.approx(np.mean(pairs)) if pairs else math.isnan(auc(score, yes))


@settings(deadline=None, max_examples=150)
@given(
    seed=st.integers(0, 1 << 32),
    share=st.sampled_from([0.02, 0.1, 0.5]),
    kind=st.sampled_from(["number", "few", "many", "unique", "sparse"]),
    is_number=st.booleans(),
)
def test_noise_neither_predicts_nor_copies(seed, share, kind, is_number):
    rng = np.random.default_rng(seed)
    target = rng.lognormal(size=N) * (rng.random(N) < 0.5) if is_number else rng.random(N) < share
    rows = labelled(target, is_number=is_number)
    if kind == "number":
        signal = Signal(table="t", column="c", how="", numbers=rng.normal(size=N))
    else:
        size = {"few": 2, "many": 300, "unique": 10**9, "sparse": 4}[kind]
        codes = rng.integers(0, size, N)
        codes[rng.random(N) < (0.9 if kind == "sparse" else 0)] = -1
        signal = Signal(
            table="t", column="c", how="", codes=np.unique(codes, return_inverse=True)[1] - (kind == "sparse")
        )
    found = rows.power(signal.bins)
    assert not found.value >= (0.2 if is_number else 0.85)
    assert find_copy(rows, signal) is None


def test_a_column_that_determines_the_label_has_a_power_of_one():
    yes = np.random.default_rng(0).random(N) < 0.3
    assert labelled(yes).power(bin_numbers(yes * 2.0 + 1)).value == 1
    y = np.random.default_rng(0).normal(size=N)
    assert labelled(np.argsort(np.argsort(y)) / N, is_number=True).power(bin_numbers(np.exp(y))).value > 0.99


def test_a_column_that_names_entities_predicts_nothing():
    """Ten rows of each entity have the same label; its name would tell the label of the other nine."""
    rng = np.random.default_rng(0)
    entity = np.repeat(np.arange(200), 10)
    yes = np.repeat(rng.random(200) < 0.5, 10)
    assert labelled(yes, entity=entity).power(bin_codes(entity.astype(np.int64))).value < 0.6
    fold = rng.random(2000) < 0.5  # folds that tear entities apart are fooled
    assert power(bin_codes(entity.astype(np.int64)), yes.astype(float), fold, is_number=False)[0] > 0.9


def test_few_rows_are_not_judged():
    yes = np.arange(100) % 2 == 0
    assert math.isnan(labelled(yes).power(bin_numbers(yes.astype(float))).value)
    rare = np.arange(N) % 100 == 0
    assert math.isnan(labelled(rare).power(bin_numbers(rare.astype(float))).value)


def test_a_row_is_predicted_from_the_other_fold_only():
    bins, fold = np.array([1, 1, 1, 1]), np.array([True, True, False, False])
    low, high = cross_fitted(bins, np.array([1.0, 1.0, 0.0, 0.0]), fold)[[0, 2]]
    assert (low, high) == (0, 1)


def test_bins_keep_missing_values_apart():
    assert bin_numbers(np.array([np.nan, 1, 2, np.inf, 1])).tolist() == [0, 1, 2, 0, 1]
    assert bin_codes(np.array([-1, 4, 4, 0])).tolist() == [0, 2, 2, 3]
    assert bin_codes(np.array([-1, -1])).tolist() == [0, 0]
    many = bin_numbers(np.arange(10_000.0))
    assert len(np.unique(many)) == 32
    assert np.ptp(np.bincount(many)[1:]) < 400


@given(st.lists(st.integers(-5, 5), min_size=3, max_size=40))
def test_ranks_of_a_monotone_function_agree(values):
    x = np.array(values, float)
    expected = 1.0 if len(set(values)) > 1 else 0.0
    assert rank_correlation(x, x**3 + 2) == pytest.approx(expected)
    assert rank_correlation(x, -x) == pytest.approx(-expected)


def test_a_recoding_is_a_copy_only_one_to_one_and_with_enough_rows_of_each_class():
    yes = np.arange(60) % 3 == 0

    def way(codes, target=yes):
        copy = find_copy(labelled(target), Signal(table="t", column="c", how="", codes=codes.astype(np.int64)))
        return copy and copy.way

    assert way(np.where(yes, 0, 1)) == "a one-to-one recoding of the"
    assert way(np.where(yes, np.arange(60) % 2, 2)) is None  # two values for one class
    assert way(np.where(yes, -1, np.arange(60))) == "present exactly with one value of the"
    assert way(np.where(yes, 0, 1)[:20], yes[:20]) is None  # few rows
    rare = np.arange(60) < 4
    assert way(np.where(rare, 0, 1), rare) is None
