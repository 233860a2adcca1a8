"""Figures hold the right data: lines, bars and texts are read back, pixels are not looked at."""

import math
import struct
import subprocess
import sys
import threading

import numpy as np
import pytest
from sklearn import metrics as sk

from foreknow.errors import TaskError
from foreknow.train import look, plots
from foreknow.types import TaskType

pytestmark = pytest.mark.filterwarnings("error")

BINARY, MULTICLASS, MULTILABEL, REGRESSION, *_ = TaskType


def line(axes, label):
    (found,) = [line for line in axes.lines if line.get_label() == label]
    return found


def texts(axes):
    return [text.get_text() for text in axes.texts]


def notes(figure):
    (note,) = [text.get_text() for text in figure.texts if text.get_text() != figure.get_suptitle()]
    return note.replace("\n", " ").replace("\N{NO-BREAK SPACE}", " ")


def title(figure):
    return figure.get_suptitle().replace("\n", " ")


@pytest.fixture
def binary():
    rng = np.random.default_rng(0)
    output = rng.random(500)
    return (rng.random(500) < output).astype(np.int64), output


@pytest.fixture
def three_classes():
    rng = np.random.default_rng(1)
    output = rng.dirichlet([2, 1, 1], 400)
    return np.array([rng.choice(3, p=row) for row in output]), output


# --- curves -------------------------------------------------------------------------------------------------


def test_roc_curve_draws_the_points_and_states_the_area(binary):
    target, output = binary
    figure = plots.roc_curve(target, output, split="test")
    x, y, _ = sk.roc_curve(target, output)
    drawn = line(figure.axes[0], "model")
    np.testing.assert_array_equal(drawn.get_xdata(), x)
    np.testing.assert_array_equal(drawn.get_ydata(), y)
    np.testing.assert_array_equal(line(figure.axes[0], "chance").get_xydata(), [[0, 0], [1, 1]])
    assert title(figure) == f"ROC curve, test: area {sk.roc_auc_score(target, output):.3f}"


def test_precision_recall_curve_by_hand():
    """Ranked + - + -: precision 1 up to recall 1/2, 2/3 up to recall 1, then down to the base rate."""
    target, output = np.array([1, 0, 1, 0]), np.array([0.9, 0.8, 0.7, 0.1])
    figure = plots.precision_recall_curve(target, output, split="validation")
    drawn = line(figure.axes[0], "model")
    assert drawn.get_drawstyle() == "steps-pre"
    assert drawn.get_xdata().tolist() == [0, 0.5, 0.5, 1, 1]
    assert drawn.get_ydata() == pytest.approx([1, 1, 0.5, 2 / 3, 0.5])
    assert set(line(figure.axes[0], "base rate").get_ydata()) == {0.5}
    assert "base rate 50%" in texts(figure.axes[0])
    assert title(figure) == "Precision and recall, validation: average precision 0.833"


def test_the_area_of_the_drawn_steps_is_the_average_precision(binary):
    figure = plots.precision_recall_curve(*binary, split="test")
    x, y = line(figure.axes[0], "model").get_data()
    assert np.sum(np.diff(x) * y[1:]) == pytest.approx(sk.average_precision_score(*binary))


def test_false_alarms_before_the_first_hit_do_not_bend_the_curve():
    figure = plots.precision_recall_curve(np.array([0, 0, 1]), np.array([0.9, 0.8, 0.7]), split="test")
    drawn = line(figure.axes[0], "model")
    assert (drawn.get_xdata().tolist(), drawn.get_ydata()) == ([0, 1], pytest.approx([1 / 3, 1 / 3]))


def test_rare_positives_get_a_shorter_precision_axis():
    rng = np.random.default_rng(2)
    target = (rng.random(5000) < 0.02).astype(np.int64)
    figure = plots.precision_recall_curve(target, rng.random(5000), split="test")
    low, high = figure.axes[0].get_ylim()
    assert low == 0
    assert 0.02 < high < 0.2


def test_several_classes_are_drawn_against_the_rest(three_classes):
    target, output = three_classes
    figure = plots.roc_curve(target, output, split="test", classes=["red", "$green$", "_blue"])
    areas = [sk.roc_auc_score(target == k, output[:, k]) for k in range(3)]
    labels = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    names = ["red", "$green$", "_blue"]
    assert labels == [f"{areas[k]:.3f}  {names[k]}" for k in sorted(range(3), key=lambda k: -areas[k])]
    x, y, _ = sk.roc_curve(target == 2, output[:, 2])
    np.testing.assert_array_equal(line(figure.axes[0], f"{areas[2]:.3f}  _blue").get_xydata(), np.stack([x, y], 1))
    assert title(figure) == f"ROC curves, test: area {min(areas):.3f} to {max(areas):.3f}, 3 classes"


def test_only_the_eight_most_frequent_classes_are_drawn():
    target = np.repeat(np.arange(12), np.arange(1, 13))
    output = np.random.default_rng(3).dirichlet(np.ones(12), len(target))
    figure = plots.precision_recall_curve(target, output, split="test", classes=[f"k{k}" for k in range(12)])
    labels = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert sorted(label.split()[1] for label in labels) == sorted(f"k{k}" for k in range(4, 12))
    assert "8 of 12 classes" in title(figure)


def test_labels_are_drawn_like_classes_and_those_without_a_positive_left_out():
    target = np.array([[1, 0], [0, 0], [1, 0]])
    figure = plots.roc_curve(target, np.array([[0.9, 0.1], [0.2, 0.3], [0.8, 0.4]]), split="test")
    (label,) = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert label == "1.000  class 0"
    assert title(figure) == "ROC curves, test: area 1.000, 1 of 2 classes"


def test_long_curves_are_thinned_but_keep_their_shape():
    rng = np.random.default_rng(4)
    output = rng.random(100_000)
    target = (rng.random(100_000) < output * 0.1).astype(np.int64)
    figure = plots.roc_curve(target, output, split="test")
    x, y = line(figure.axes[0], "model").get_data()
    assert len(x) <= 2_001
    assert (x[0], y[0], x[-1], y[-1]) == (0, 0, 1, 1)
    assert sk.auc(x, y) == pytest.approx(sk.roc_auc_score(target, output), abs=1e-3)


@pytest.mark.parametrize("draw", [plots.roc_curve, plots.precision_recall_curve])
def test_a_curve_of_one_class_is_refused(draw):
    with pytest.raises(TaskError, match="a class with positive and negative rows"):
        draw(np.array([1, 1]), np.array([0.1, 0.9]), split="test")


def test_the_number_of_names_has_to_fit(three_classes):
    with pytest.raises(TaskError, match="there are 2 class names for 3 classes"):
        plots.evaluation_figures(MULTICLASS, *three_classes, split="test", classes=["a", "b"])


# --- calibration --------------------------------------------------------------------------------------------


def test_calibration_by_hand():
    """Four rows at 0.2 with one positive, four at 0.8 with two: off by 0.05 and 0.3 for half of the rows each."""
    output, target = np.repeat([0.2, 0.8], 4), np.array([0, 0, 0, 1, 0, 0, 1, 1])
    figure = plots.calibration(target, output, split="test")
    drawn = line(figure.axes[0], "bins")
    assert drawn.get_xdata() == pytest.approx([0.2, 0.8])
    assert drawn.get_ydata() == pytest.approx([0.25, 0.5])
    assert title(figure) == "Calibration, test: expected calibration error 0.175"
    heights = [bar.get_height() for bar in figure.axes[1].patches]
    assert (sum(heights), max(heights)) == (8, 4)


def test_bins_hold_equally_many_rows_and_equal_outputs_stay_together(binary):
    target, output = binary
    mean, share, count = plots._calibration_bins(target, output)
    assert count.tolist() == [50] * 10
    order = np.argsort(output)
    assert mean == pytest.approx(output[order].reshape(10, 50).mean(axis=1))
    assert share == pytest.approx(target[order].reshape(10, 50).mean(axis=1))
    assert plots._calibration_bins(target, np.full(500, 0.3))[2].tolist() == [500]


def test_wilson_interval_of_a_known_case():
    """10 of 20: 0.299 to 0.701; 0 of 20: 0 to 0.161."""
    low, high = plots._wilson(np.array([0.5, 0.0]), np.array([20.0, 20.0]))
    assert low == pytest.approx([0.299, 0.0], abs=5e-4)
    assert high == pytest.approx([0.701, 0.161], abs=5e-4)


def test_rare_predictions_are_zoomed_in_and_the_rest_counted():
    rng = np.random.default_rng(5)
    output = np.append(rng.random(999) * 0.05, 0.9)
    figure = plots.calibration((rng.random(1000) < output).astype(np.int64), output, split="test")
    assert figure.axes[0].get_xlim()[1] < 0.3
    assert "1 row beyond" in texts(figure.axes[1])


# --- confusion matrix ---------------------------------------------------------------------------------------


def test_confusion_matrix_shows_counts_and_row_shares():
    target, labels = np.array([0, 0, 0, 0, 1, 1]), np.array([0, 0, 0, 1, 1, 1])
    figure = plots.confusion_matrix(target, labels, split="test", classes=["stays", "leaves"])
    axes = figure.axes[0]
    assert texts(axes) == ["3\n75%", "1\n25%", "0", "2\n100%"]
    np.testing.assert_array_equal(axes.images[0].get_array(), [[0.75, 0.25], [0, 1]])
    assert [label.get_text() for label in axes.get_yticklabels()] == ["stays", "leaves"]
    assert title(figure) == "Confusion matrix, test: 83% of the rows are right"


def test_classes_not_in_training_have_a_row_of_their_own():
    counts, rows, columns = plots._confusion(np.array([0, -1, -1]), np.array([0, 1, 0]), ["a", "b"])
    assert (rows, columns) == (["a", "b", "not in training"], ["a", "b"])
    assert counts.tolist() == [[1, 0], [0, 0], [1, 1]]


def test_beyond_twenty_classes_the_rarest_are_together():
    """Class 24 is the most frequent, class 0 the rarest."""
    target = np.repeat(np.arange(25), np.arange(1, 26))
    labels = np.where(target == 24, 0, target)
    counts, rows, columns = plots._confusion(np.append(target, -1), np.append(labels, 3), [f"k{k}" for k in range(25)])
    assert columns == [*(f"k{k}" for k in range(24, 4, -1)), "other (5)"]
    assert rows == [*columns, "not in training"]
    assert counts[0, -1] == 25  # k24 predicted as k0
    assert counts[1, 1] == 24
    assert counts[20, 20] == 1 + 2 + 3 + 4 + 5
    assert counts[21].tolist() == [*[0] * 20, 1]
    assert counts.sum() == len(target) + 1


# --- gains --------------------------------------------------------------------------------------------------


def test_gain_chart_by_hand():
    """10 rows, the best 2 positive and one more in the middle."""
    target = np.array([1, 1, 0, 0, 1, 0, 0, 0, 0, 0])
    figure = plots.gain_chart(target, np.linspace(0.9, 0.1, 10), split="test", entity="customers")
    model = line(figure.axes[0], "model")
    assert model.get_xdata() == pytest.approx(np.arange(11) / 10)
    assert model.get_ydata() == pytest.approx(np.array([0, 1, 2, 2, 2, 3, 3, 3, 3, 3, 3]) / 3)
    assert line(figure.axes[0], "perfect order").get_xdata() == pytest.approx([0, 0.3, 1])
    assert [bar.get_height() for bar in figure.axes[1].patches] == pytest.approx(
        [10 / 3, 10 / 3, 0, 0, 10 / 3, 0, 0, 0, 0, 0]
    )
    assert title(figure) == "Gains, test: the top 10% of customers hold 33% of the positives"


def test_equal_predictions_gain_nothing():
    figure = plots.gain_chart(np.array([1, 0, 0, 1]), np.full(4, 0.5), split="test")
    assert line(figure.axes[0], "model").get_xydata().tolist() == [[0, 0], [1, 1]]
    assert "top 10% of rows hold 10% of the positives" in title(figure)


@pytest.mark.parametrize("target", [[], [0, 0], [1]])
def test_gains_need_both_classes(target):
    with pytest.raises(TaskError, match="positive and negative rows"):
        plots.gain_chart(np.array(target), np.zeros(len(target)), split="test")


# --- regression ---------------------------------------------------------------------------------------------


def test_few_values_are_points_and_many_are_density():
    rng = np.random.default_rng(6)
    target = rng.normal(size=5000)
    output = target + rng.normal(size=5000) / 2
    few = plots.predicted_vs_true(target[:100], output[:100], split="test")
    np.testing.assert_array_equal(
        few.axes[0].collections[0].get_offsets(), np.stack([target[:100], output[:100]], axis=1)
    )
    many = plots.predicted_vs_true(target, output, split="test")
    assert many.axes[0].collections[0].get_array().sum() == 5000
    assert title(many) == f"Predicted and true values, test: R² {sk.r2_score(target, output):.3f}"


def test_the_diagonal_spans_both_axes():
    axes = plots.predicted_vs_true(np.array([1.0, 5.0]), np.array([2.0, 9.0]), split="test").axes[0]
    assert axes.get_xlim() == axes.get_ylim()
    assert line(axes, "perfect").get_xdata() == pytest.approx(axes.get_xlim())
    assert axes.get_xlim()[0] < 1
    assert axes.get_xlim()[1] > 9


def test_heavy_tails_get_a_logarithmic_scale():
    target = np.random.default_rng(7).lognormal(3, 2, 1000)
    target[:300] = 0
    axes = plots.predicted_vs_true(target, target * 0.9, split="test").axes[0]
    assert (axes.get_xscale(), axes.get_yscale()) == ("symlog", "symlog")
    light = plots.predicted_vs_true(np.arange(100.0), np.arange(100.0), split="test").axes[0]
    assert light.get_xscale() == "linear"


def test_residuals_are_true_minus_predicted():
    target, output = np.array([1.0, 2.0, 3.0, 4.0]), np.array([2.0, 2.0, 2.0, 2.0])
    figure = plots.residuals(target, output, split="test")
    np.testing.assert_array_equal(
        figure.axes[0].collections[0].get_offsets(), np.stack([output, target - output], axis=1)
    )
    assert sum(bar.get_width() for bar in figure.axes[1].patches) == 4
    assert title(figure) == "Residuals, test: half of the predictions are within 1 of the truth"


def test_residuals_out_of_range_are_counted():
    output = np.zeros(1000)
    target = np.append(np.random.default_rng(8).normal(size=999), 1e6)
    figure = plots.residuals(target, output, split="test")
    assert figure.axes[0].get_ylim()[1] < 10
    assert "1 row beyond" in texts(figure.axes[1])


# --- learning curves ----------------------------------------------------------------------------------------

HISTORY = [
    {"epoch": 1, "train_loss": 0.9, "val_loss": 0.8, "train_metric": 0.5, "val_metric": 0.4, "learning_rate": 0.1},
    {"epoch": 2, "train_loss": 0.7, "val_loss": 0.7, "train_metric": 0.6, "val_metric": 0.7, "learning_rate": 0.1},
    {"epoch": 3, "train_loss": 0.5, "val_loss": 0.6, "train_metric": 0.8, "val_metric": 0.6, "learning_rate": 0.05},
]


def test_learning_curves_draw_losses_metric_and_rate():
    figure = plots.learning_curves(HISTORY, metric_name="roc_auc")
    loss, score, rate = figure.axes
    assert line(loss, "train").get_xydata().tolist() == [[1, 0.9], [2, 0.7], [3, 0.5]]
    assert line(loss, "validation").get_ydata().tolist() == [0.8, 0.7, 0.6]
    assert line(score, "train").get_ydata().tolist() == [0.5, 0.6, 0.8]
    assert line(score, "validation").get_ydata().tolist() == [0.4, 0.7, 0.6]
    assert line(rate, "learning rate").get_ydata().tolist() == [0.1, 0.1, 0.05]
    assert [set(line(axes, "best epoch").get_xdata()) for axes in (loss, score)] == [{2}, {2}]
    assert (loss.get_ylabel(), score.get_ylabel()) == ("loss", "roc_auc")
    assert title(figure) == "Learning curves: best validation roc_auc 0.700 in epoch 2 of 3"


def test_a_constant_rate_is_not_drawn_and_lower_can_be_better():
    history = [{**entry, "learning_rate": 0.1} for entry in HISTORY]
    figure = plots.learning_curves(history, metric_name="mae", higher_is_better=False)
    assert len(figure.axes) == 2
    assert title(figure) == "Learning curves: best validation mae 0.400 in epoch 1 of 3"


def test_without_a_metric_the_lowest_loss_is_best():
    history = [{"epoch": e["epoch"], "val_loss": e["val_loss"], "val_metric": None} for e in HISTORY]
    assert title(plots.learning_curves(history)) == "Learning curves: best validation loss 0.600 in epoch 3 of 3"


def test_names_of_close_lines_are_kept_apart():
    history = [{"train_loss": 1 - 0.1 * i, "val_loss": 1.0001 - 0.1 * i} for i in range(5)]
    axes = plots.learning_curves(history).axes[0]
    low, high = axes.get_ylim()
    train, validation = sorted(axes.texts, key=lambda text: text.get_text())
    assert validation.xy[1] - train.xy[1] == pytest.approx(0.06 * (high - low))


@pytest.mark.parametrize(
    ("history", "expected"),
    [
        ([], "Learning curves: no epoch is finished"),
        ([{}], "Learning curves: 1 epoch, nothing validated"),
        ([{"train_loss": math.inf, "val_loss": math.nan}], "Learning curves: 1 epoch, nothing validated"),
        ([{"epoch": 7, "val_loss": 2}], "Learning curves: best validation loss 2.000 in epoch 7 of 7"),
    ],
)
def test_learning_curves_of_little(history, expected, tmp_path):
    figure = plots.learning_curves(history)
    assert title(figure) == expected
    plots.save(figure, tmp_path / "figure.png")


# --- the whole set ------------------------------------------------------------------------------------------


def test_each_task_type_has_its_set(binary, three_classes):
    curves = ["roc_curve", "precision_recall_curve", "calibration"]
    figures = plots.evaluation_figures(BINARY, *binary, split="test")
    assert list(figures) == [*curves, "confusion_matrix", "gain_chart"]
    figures = plots.evaluation_figures(MULTICLASS, *three_classes, split="test")
    assert list(figures) == [*curves, "confusion_matrix"]
    target, output = three_classes
    figures = plots.evaluation_figures(MULTILABEL, np.eye(3)[target], output, split="test")
    assert list(figures) == curves
    figures = plots.evaluation_figures(REGRESSION, output[:, 0], output[:, 1], split="test")
    assert list(figures) == ["predicted_vs_true", "residuals"]


def test_multiclass_calibration_is_that_of_the_predicted_class():
    output = np.array([[0.9, 0.1], [0.9, 0.1], [0.4, 0.6], [0.4, 0.6]])
    figure = plots.evaluation_figures(MULTICLASS, np.array([0, 1, 1, -1]), output, split="test")["calibration"]
    drawn = line(figure.axes[0], "bins")
    assert drawn.get_xdata() == pytest.approx([0.6, 0.9])
    assert drawn.get_ydata() == pytest.approx([0.5, 0.5])


def test_the_note_states_rows_missing_labels_base_rate_and_metric(binary):
    target = binary[0].astype(np.float64)
    target[:20] = np.nan
    share = f"{100 * target[20:].mean():.0f}%"
    area = sk.roc_auc_score(target[20:], binary[1][20:])
    figures = plots.evaluation_figures(BINARY, target, binary[1], split="test", metric_name="auroc", entity="customers")
    expected = f"480 customers, 20 without a value left out, {share} positive, roc_auc {area:.3f}"
    assert notes(figures["roc_curve"]) == expected
    assert notes(figures["confusion_matrix"]) == f"{expected}; a probability of 0.5 or more counts as yes"


def test_a_metric_of_another_task_is_refused(binary):
    with pytest.raises(TaskError, match="metric 'rmse' doesn't fit binary_classification"):
        plots.evaluation_figures(BINARY, *binary, split="test", metric_name="rmse")


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(TaskError, match="don't fit binary_classification"):
        plots.evaluation_figures(BINARY, np.zeros(3), np.zeros(2), split="test")


NAN = math.nan
RANKED = {"roc_curve", "precision_recall_curve"}


@pytest.mark.parametrize(
    ("task_type", "target", "output", "expected"),
    [
        (BINARY, [], [], set()),
        (BINARY, [1], [0.5], set()),
        (BINARY, [NAN, NAN, 1], [0.1, 0.2, 0.3], set()),
        (BINARY, [1, 1], [0.5, 0.6], {"calibration", "confusion_matrix"}),
        (BINARY, [0, 0], [0.0, 0.0], {"calibration", "confusion_matrix"}),
        (BINARY, [0, NAN, 1], [0.5, 0.5, 0.5], {*RANKED, "calibration", "confusion_matrix", "gain_chart"}),
        (BINARY, [0, 1, 1], [0.0, 1.0, NAN], {*RANKED, "calibration", "confusion_matrix", "gain_chart"}),
        (MULTICLASS, [-1, -1], [[0.5, 0.5], [1, 0]], {"calibration", "confusion_matrix"}),
        (MULTICLASS, [0, 0], [[1.0], [1.0]], {"calibration", "confusion_matrix"}),
        (MULTICLASS, [0, -1], [[0.5, 0.5], [1, 0]], {*RANKED, "calibration", "confusion_matrix"}),
        (MULTILABEL, [[], []], [[], []], set()),
        (MULTILABEL, [[0, 0], [0, 0]], [[0.1, 0.2], [0.1, 0.2]], {"calibration"}),
        (MULTILABEL, [[1, NAN], [0, 1], [1, 1]], [[0.1, 0.2]] * 3, {*RANKED, "calibration"}),
        (REGRESSION, [1.0, NAN], [1.0, 2.0], set()),
        (REGRESSION, [1.0, 1.0], [1.0, 1.0], {"predicted_vs_true", "residuals"}),
        (REGRESSION, [0.0, 0.0, 0.0], [0.0, 0.0, 7.0], {"predicted_vs_true", "residuals"}),
        (REGRESSION, [1e200, -1e200], [0.0, 1.0], {"predicted_vs_true", "residuals"}),
        (REGRESSION, [1e308, -1e308], [-1e308, 1e308], set()),
    ],
)
def test_degenerate_input_skips_what_makes_no_sense(task_type, target, output, expected, tmp_path):
    figures = plots.evaluation_figures(task_type, np.array(target), np.array(output), split="test")
    assert set(figures) == expected
    for name, figure in figures.items():
        plots.save(figure, tmp_path / f"{name}.png")


# --- text and files -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("share", "expected"),
    [
        (0, "0%"),
        (0.0004, "<0.1%"),
        (0.02, "2.0%"),
        (0.31, "31%"),
        (0.843, "84%"),
        (0.984, "98.4%"),
        (0.99999, ">99.9%"),
        (1, "100%"),
    ],
)
def test_shares_are_written_so_that_only_none_is_0_and_only_all_is_100(share, expected):
    assert look.format_percent(share) == expected


def test_cell_shares_have_no_digits():
    assert [look.format_percent(s, digits=0) for s in (0.001, 0.25, 0.999)] == ["<1%", "25%", ">99%"]


def test_class_names_are_made_fit_to_print():
    long = "Cancelled by the airline less than {} hours before the scheduled departure"
    names = ["on\ntime", "名前", "", long.format(24), long.format(48), "x" * 60, "cost $5 & $6"]
    assert look.class_names(names, 7) == [
        "on time",
        "class 1",
        "(empty)",
        "3: Cancelled by the … departure",
        "4: Cancelled by the … departure",
        "x" * 22 + "…" + "x" * 9,
        "cost $5 & $6",
    ]


def test_any_text_can_be_drawn_without_a_warning(three_classes, tmp_path):
    figures = plots.evaluation_figures(
        MULTICLASS, *three_classes, split="検証", classes=["名前", "$a_b$ $", "_"], entity="顧客"
    )
    assert title(figures["roc_curve"]).startswith("ROC curves, ??: area")
    for name, figure in figures.items():
        plots.save(figure, tmp_path / f"{name}.png")


def test_save_writes_png_and_empties_the_figure(binary, tmp_path):
    figure = plots.roc_curve(*binary, split="test")
    plots.save(figure, tmp_path / "roc_curve.png")
    head = (tmp_path / "roc_curve.png").read_bytes()[:24]
    assert head[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", head[16:])
    assert 800 < width < 1200
    assert 800 < height < 1200
    assert figure.axes == []


def test_the_same_data_give_the_same_file(binary, tmp_path):
    for name in ("a.png", "b.png"):
        plots.save(plots.gain_chart(*binary, split="test"), tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_threads_can_draw_at_the_same_time(binary, tmp_path):
    plots.save(plots.roc_curve(*binary, split="test"), tmp_path / "alone.png")
    errors = []

    def draw(i):
        try:
            plots.save(plots.roc_curve(*binary, split="test"), tmp_path / f"{i}.png")
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=draw, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    alone = (tmp_path / "alone.png").read_bytes()
    assert all((tmp_path / f"{i}.png").read_bytes() == alone for i in range(4))


def test_pyplot_is_never_imported_and_matplotlib_only_when_drawing(tmp_path):
    code = (
        "import sys\n"
        "from foreknow.train import plots\n"
        "assert 'matplotlib' not in sys.modules and 'sklearn' not in sys.modules\n"
        f"plots.save(plots.learning_curves([{{'val_loss': 1}}]), {str(tmp_path / 'x.png')!r})\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
