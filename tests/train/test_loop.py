"""Training: it learns what is there to learn, stops when it should, and repeats itself bit by bit."""

import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from foreknow.errors import TrainingError
from foreknow.predict.forward import outputs_to_predictions, run_forward
from foreknow.sample.loader import Loader, Seeds
from foreknow.task.metric import evaluate
from foreknow.train import loop
from foreknow.train.loop import SplitData, resolve_device
from foreknow.types import TaskType

pytestmark = pytest.mark.filterwarnings("error")

LEARNING = {"epochs": 9, "max_steps_per_epoch": None, "batch_size": 64, "channels": 16, "num_neighbors": (16, 8)}


def same_weights(one, two):
    one, two = (x.state_dict() if isinstance(x, torch.nn.Module) else x for x in (one, two))
    return one.keys() == two.keys() and all(torch.equal(one[k], two[k]) for k in one)


def told(result):
    """A history without what a clock says, as text: NaN equals NaN there."""
    return [str({k: v for k, v in vars(r).items() if k != "elapsed_s"}) for r in result.history]


def auc_later(shop, network, config, data):
    labels, splits = data
    raw, _ = run_forward(network, shop.loader(config), splits["test"].seeds, batch_size=160)
    output = outputs_to_predictions(raw, labels, np.zeros(1))
    return evaluate(TaskType.BINARY, splits["test"].target, output, ["roc_auc"])["roc_auc"]


# --- learning -----------------------------------------------------------------------------------------------------


def test_a_column_two_links_away_and_its_recency_are_learnt(shop, config):
    config, data = config(**LEARNING), shop.splits()
    result, network, _ = shop.fit(config, data=data)
    assert result.history[-1].train_loss < result.history[0].train_loss / 3
    assert max(r.val_metric for r in result.history) > 0.95
    assert auc_later(shop, network, config, data) > 0.95


def test_one_hop_does_not_reach_that_column(shop, config):
    config, data = config(**LEARNING | {"num_neighbors": (16,)}), shop.splits()
    _, network, _ = shop.fit(config, data=data)
    assert auc_later(shop, network, config, data) < 0.9


def test_from_shuffled_labels_nothing_is_learnt(shop, config):
    config, data = config(**LEARNING), shop.splits(shuffled=True)
    result, network, _ = shop.fit(config, data=data)
    assert result.history[-1].train_loss < result.history[0].train_loss  # it does try
    assert auc_later(shop, network, config, data) == pytest.approx(0.5, abs=0.12)


@pytest.mark.parametrize(
    ("task_type", "metric", "at_least"),
    [
        (TaskType.MULTICLASS, "accuracy", 0.6),
        (TaskType.MULTILABEL, "auroc_macro", 0.9),
        (TaskType.REGRESSION, "r2", 0.5),
    ],
)
def test_the_other_kinds_of_task_are_learnt_too(shop, config, task_type, metric, at_least):
    result, _, _ = shop.fit(config(**LEARNING), task_type=task_type, metric=metric)
    assert max(r.val_metric for r in result.history) > at_least


def test_selection_goes_by_a_metric_where_less_is_better(shop, config):
    result, _, _ = shop.fit(config(epochs=5), task_type=TaskType.REGRESSION, metric="rmse")
    values = [r.val_metric for r in result.history]
    assert result.best_epoch == 1 + int(np.argmin(values))
    assert np.argmin(values) != np.argmax(values)


# --- what is told -------------------------------------------------------------------------------------------------


def test_the_observer_is_told_every_step_and_epoch(shop, config):
    result, _, observer = shop.fit(config(epochs=2, max_steps_per_epoch=2, eval_batch_size=100))
    assert [s[:3] for s in observer.steps] == [(1, 1, 2), (1, 2, 2), (2, 1, 2), (2, 2, 2)]
    assert observer.epochs == list(result.history)
    assert observer.evaluated == [(100, 160), (160, 160)] * 2
    assert [r.epoch for r in result.history] == [1, 2]
    assert (result.num_steps, result.stopped) == (4, "all epochs done")
    assert 0 < result.history[0].elapsed_s < result.history[1].elapsed_s <= result.elapsed_s
    losses = [[s[3] for s in observer.steps if s[0] == epoch] for epoch in (1, 2)]
    assert [r.train_loss for r in result.history] == pytest.approx([np.mean(x) for x in losses])


def test_the_training_loss_weighs_rows_not_batches(shop, config):
    labels, splits = shop.splits()
    few = SplitData(
        seeds=Seeds(row=splits["train"].seeds.row[:40], time=splits["train"].seeds.time[:40]),
        target=splits["train"].target[:40],
    )
    result, _, observer = shop.fit(config(epochs=1), data=(labels, splits | {"train": few}))  # 32 rows and 8
    assert result.history[0].train_loss == pytest.approx((32 * observer.steps[0][3] + 8 * observer.steps[1][3]) / 40)


def test_validation_is_the_loss_and_metric_of_the_forward_pass_that_serves(shop, config):
    config, data = config(epochs=1), shop.splits()
    labels, splits = data
    result, network, _ = shop.fit(config, data=data)
    raw, _ = run_forward(network, shop.loader(config), splits["validation"].seeds, batch_size=160)
    target = splits["validation"].target
    expected = torch.nn.functional.binary_cross_entropy_with_logits(torch.tensor(raw[:, 0]), torch.tensor(target))
    assert result.history[0].val_loss == pytest.approx(float(expected), rel=1e-5)
    output = outputs_to_predictions(raw, labels, result.objective.logit_shift)
    assert result.history[0].val_metric == evaluate(TaskType.BINARY, target, output, ["roc_auc"])["roc_auc"]


# --- stopping -----------------------------------------------------------------------------------------------------


@pytest.fixture
def scripted(monkeypatch):
    """Let validation say a list of metrics."""

    def script(*values):
        rest = iter(values)
        monkeypatch.setattr(loop._Fit, "_validate", lambda self: (1.0, next(rest)))

    return script


def test_training_stops_when_patience_is_out_and_the_best_epoch_is_restored(shop, config, scripted):
    scripted(0.5, 0.7, 0.6, 0.7, 0.9)
    result, network, observer = shop.fit(config(epochs=9, patience=2))
    assert [r.is_best for r in result.history] == [True, True, False, False]  # an equal is not better
    assert result.best_epoch == 2
    assert result.stopped == "no better roc_auc for 2 evaluations"
    assert same_weights(network, observer.weights[2])
    assert not same_weights(network, observer.weights[4])


def test_a_better_epoch_renews_patience(shop, config, scripted):
    scripted(0.5, 0.4, 0.6, 0.5, 0.7)
    result, _, _ = shop.fit(config(epochs=5, patience=2))
    assert (len(result.history), result.best_epoch, result.stopped) == (5, 5, "all epochs done")


def test_an_undefined_metric_is_worse_than_any(shop, config, scripted):
    scripted(math.nan, math.nan, 0.1, math.nan)
    result, network, observer = shop.fit(config(epochs=4, patience=3))
    assert result.best_epoch == 3
    assert same_weights(network, observer.weights[3])


def test_a_metric_never_defined_leaves_the_first_epoch(shop, config, scripted):
    scripted(*[math.nan] * 4)
    result, network, observer = shop.fit(config(epochs=9, patience=3))
    assert (len(result.history), result.best_epoch) == (4, 1)
    assert same_weights(network, observer.weights[1])


def test_epochs_between_evaluations_are_not_evaluated_but_the_last_is(shop, config, scripted):
    scripted(0.5, 0.6, 0.7)
    result, _, _ = shop.fit(config(epochs=5, eval_every=2, patience=2))
    assert [r.val_metric for r in result.history if not math.isnan(r.val_metric)] == [0.5, 0.6, 0.7]
    assert [math.isnan(r.val_loss) for r in result.history] == [True, False, True, False, False]
    assert [r.is_best for r in result.history] == [False, True, False, True, True]


def test_patience_counts_evaluations_not_epochs(shop, config, scripted):
    scripted(0.7, 0.6, 0.5)
    result, _, _ = shop.fit(config(epochs=9, eval_every=2, patience=2))
    assert (len(result.history), result.best_epoch) == (6, 2)


class Clock:
    """A clock that goes on by a second at each step."""

    def __init__(self):
        self.now = 0.0

    def monotonic(self):
        return self.now

    def attach(self, observer, *, at_epoch=0.0):
        step, epoch = observer.on_step, observer.on_epoch

        def on_step(*args):
            self.now += 1
            step(*args)

        def on_epoch(record):
            self.now += at_epoch
            epoch(record)

        observer.on_step, observer.on_epoch = on_step, on_epoch
        return observer


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(loop, "time", SimpleNamespace(monotonic=clock.monotonic))
    return clock


def test_the_time_budget_ends_training_within_an_epoch_which_is_evaluated(shop, config, recorder, clock):
    config = config(epochs=9, time_budget=5, eval_every=4, lr=0.01, eta_min=0)
    result, _, observer = shop.fit(config, observer=clock.attach(recorder()))
    assert [s[:2] for s in observer.steps] == [(1, 1), (1, 2), (1, 3), (2, 1), (2, 2)]
    assert result.stopped == "time budget used up"
    assert [math.isnan(r.val_metric) for r in result.history] == [True, False]
    assert result.elapsed_s == 5
    # the learning rate decays with the time that is used up: 2 of 5 seconds, then 4
    rates = [0.01 * 0.5 * (1 + math.cos(math.pi * share)) for share in (2 / 5, 4 / 5)]
    assert [r.learning_rate for r in result.history] == pytest.approx(rates)


def test_a_budget_used_up_between_epochs_still_gives_an_evaluated_network(shop, config, recorder, clock):
    observer = clock.attach(recorder(), at_epoch=100)
    result, network, _ = shop.fit(config(epochs=9, time_budget=50, eval_every=4), observer=observer)
    assert result.stopped == "time budget used up"
    assert [math.isnan(r.val_metric) for r in result.history] == [True, False]
    assert result.best_epoch == 2
    assert same_weights(network, observer.weights[2])


def test_a_budget_too_small_for_anything_allows_one_step(shop, config):
    result, _, observer = shop.fit(config(time_budget=1e-9))
    assert (len(observer.steps), len(result.history), result.best_epoch) == (1, 1, 1)


def test_an_epoch_takes_all_rows_unless_it_is_told_to_end_early(shop, config):
    for limit, num_steps in ((2, 2), (None, 15), (99, 15)):  # 480 rows in batches of 32
        _, _, observer = shop.fit(config(epochs=1, max_steps_per_epoch=limit))
        assert [s[:3] for s in observer.steps] == [(1, i, num_steps) for i in range(1, num_steps + 1)]


def test_every_row_is_seen_once_in_an_epoch_in_an_order_of_its_own(shop, config, monkeypatch):
    seen = []
    score = loop._Fit._score

    def spy(self, raw, target):
        seen.append(target.tolist())
        return score(self, raw, target)

    monkeypatch.setattr(loop._Fit, "_score", spy)
    labels, splits = shop.splits(TaskType.REGRESSION)
    data = labels, splits | {"train": replace(splits["train"], target=np.arange(480.0))}
    for seed in (0, 1):
        shop.fit(config(epochs=2, max_steps_per_epoch=None, seed=seed), task_type=TaskType.REGRESSION, data=data)
    orders = [rows for rows in seen if len(rows) == 480]
    assert [sorted(rows) for rows in orders] == [list(range(480))] * 4
    assert len({tuple(rows) for rows in orders}) == 4


def test_every_epoch_draws_anew_and_validation_always_the_same(shop, config, monkeypatch):
    drawn = []
    batches = Loader.batches

    def spy(self, seeds, batch_size, *, epoch=0, **options):
        drawn.append(epoch)
        return batches(self, seeds, batch_size, epoch=epoch, **options)

    monkeypatch.setattr(Loader, "batches", spy)
    shop.fit(config(epochs=3))
    assert drawn == [1, 0, 2, 0, 3, 0]


def test_every_epoch_trains_in_training_mode(shop, config, recorder):
    observer, modes = recorder(), []
    observer.on_step = lambda *_: modes.append(observer.model.training)
    observer.on_epoch = lambda _: observer.model.eval()
    shop.fit(config(epochs=2, max_steps_per_epoch=1), observer=observer)
    assert modes == [True, True]


def test_training_starts_from_the_base_rates(shop, config):
    result, network, _ = shop.fit(config(epochs=1, lr=1e-9, weight_decay=0.0), data=shop.splits())
    share = 176 / 480  # of positives
    assert network.head.out.bias.tolist() == pytest.approx([math.log(share / (1 - share))], abs=1e-5)
    assert result.objective.bias.tolist() == pytest.approx(network.head.out.bias.tolist(), abs=1e-5)


def test_the_unit_of_a_regression_label_is_no_matter(shop, config):
    labels, splits = shop.splits(TaskType.REGRESSION)
    one, _, _ = shop.fit(config(), task_type=TaskType.REGRESSION, data=(labels, splits))
    scale = {name: getattr(labels, name) * 1000 + 5000 for name in ("mean", "median", "low", "high")}
    labels = replace(labels, std=labels.std * 1000, **scale)
    splits = {k: replace(s, target=s.target * 1000 + 5000) for k, s in splits.items()}
    two, _, _ = shop.fit(config(), task_type=TaskType.REGRESSION, data=(labels, splits))
    assert [r.train_loss for r in two.history] == pytest.approx([r.train_loss for r in one.history], rel=1e-3)
    assert [r.val_metric for r in two.history] == pytest.approx([1000 * r.val_metric for r in one.history], rel=1e-3)


# --- learning rate ------------------------------------------------------------------------------------------------


def rates(shop, config, **options):
    """The learning rate of every step: one step an epoch."""
    result, _, _ = shop.fit(config(max_steps_per_epoch=1, patience=99, **options))
    return [r.learning_rate for r in result.history]


def cosine(share, low=0.0):
    return low + (1e-3 - low) * 0.5 * (1 + math.cos(math.pi * share))


def test_the_learning_rate_falls_along_a_cosine(shop, config):
    found = rates(shop, config, epochs=4, lr=1e-3, eta_min=1e-4)
    assert found == pytest.approx([cosine(step / 4, 1e-4) for step in range(4)])


def test_it_rises_linearly_before_that_if_told_to(shop, config):
    found = rates(shop, config, epochs=6, lr=1e-3, eta_min=0, warmup_steps=4)
    assert found == pytest.approx([0.25e-3, 0.5e-3, 0.75e-3, 1e-3, cosine(4 / 6), cosine(5 / 6)])


def test_it_stays_at_its_end_after_t_max_epochs(shop, config):
    found = rates(shop, config, epochs=5, lr=1e-3, eta_min=1e-5, t_max=2)
    assert found == pytest.approx([1e-3, cosine(0.5, 1e-5), 1e-5, 1e-5, 1e-5])


def test_a_budget_of_epochs_is_one_of_steps(shop, config):
    result, _, _ = shop.fit(config(epochs=2, max_steps_per_epoch=3, lr=1e-3, eta_min=0))
    assert [r.learning_rate for r in result.history] == pytest.approx([cosine(2 / 6), cosine(5 / 6)])


def test_gradients_are_cut_to_the_norm_that_is_allowed(shop, config):
    """To one so small that AdamW's own guard against division by zero outweighs it."""
    fresh, moved = shop.network(config()).head.out.weight.detach(), {}
    for clip_norm in (1e-14, None):
        _, network, _ = shop.fit(config(epochs=1, weight_decay=0.0, clip_norm=clip_norm))
        moved[clip_norm] = float((network.head.out.weight.detach() - fresh).abs().max())
    assert moved[1e-14] < 1e-6 < 1e-3 < moved[None]


# --- accidents ----------------------------------------------------------------------------------------------------


def test_a_loss_that_is_no_number_ends_training_with_a_hint(shop, config, recorder):
    observer = recorder()

    def poison(epoch, step, num_steps, loss):
        with torch.no_grad():
            observer.model.head.out.bias.fill_(math.nan)

    observer.on_step = poison
    with pytest.raises(TrainingError) as e:
        shop.fit(config(), observer=observer)
    assert str(e.value) == "the loss became nan in epoch 1, step 2\nHint: lower lr, or set clip_norm"


@pytest.mark.parametrize("empty", ["train", "validation"])
def test_rows_are_needed_in_both_splits(shop, config, empty):
    labels, splits = shop.splits()
    nothing = SplitData(seeds=Seeds(row=np.empty(0, np.int32), time=np.empty(0, np.int64)), target=np.empty(0))
    with pytest.raises(TrainingError, match=r"^training needs rows in both train and validation$"):
        shop.fit(config(), data=(labels, splits | {empty: nothing}))


@pytest.mark.parametrize("num_rows", [1, 33])
def test_a_last_batch_of_one_row_is_no_trouble_for_batch_normalisation(shop, config, num_rows):
    labels, splits = shop.splits()
    part = SplitData(
        seeds=Seeds(row=splits["train"].seeds.row[:num_rows], time=splits["train"].seeds.time[:num_rows]),
        target=splits["train"].target[:num_rows],
    )
    result, network, observer = shop.fit(
        config(head_norm="batch", gnn_norm="batch", epochs=2), data=(labels, splits | {"train": part})
    )
    assert [s[:3] for s in observer.steps] == [
        (e, i, -(-num_rows // 32)) for e in (1, 2) for i in range(1, -(-num_rows // 32) + 1)
    ]
    assert all(math.isfinite(r.train_loss) for r in result.history)
    assert all(v.isfinite().all() for v in network.state_dict().values())


def test_a_class_unseen_in_training_is_an_error_of_the_metric_and_nothing_to_the_loss(shop, config):
    labels, splits = shop.splits(TaskType.MULTICLASS)
    target = splits["validation"].target.copy()
    target[::2] = -1
    half = replace(splits["validation"], target=target)
    options = {"task_type": TaskType.MULTICLASS, "metric": "accuracy"}
    result, _, _ = shop.fit(config(), data=(labels, splits | {"validation": half}), **options)
    assert all(math.isfinite(r.val_loss) and r.val_metric <= 0.5 for r in result.history)
    unknown = replace(splits["validation"], target=np.full(160, -1))
    result, _, _ = shop.fit(config(), data=(labels, splits | {"validation": unknown}), **options)
    assert all(math.isnan(r.val_loss) and r.val_metric == 0 for r in result.history)


def test_an_alias_of_a_metric_is_the_metric(shop, config):
    options = {"task_type": TaskType.REGRESSION}
    one, network, _ = shop.fit(config(), metric="mae", **options)
    two, other, _ = shop.fit(config(), metric="Mean-Absolute-Error", **options)
    assert told(one) == told(two)
    assert same_weights(network, other)
    three, _, _ = shop.fit(config(), metric="rmse", **options)
    assert told(three) != told(one)  # another loss


def test_a_device_that_is_not_there_is_named():
    assert resolve_device("cpu").type == "cpu"
    assert resolve_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    with pytest.raises(TrainingError, match=r"^there is no device 'gpu7'\nHint: use auto, cpu or cuda$"):
        resolve_device("gpu7")
    if not torch.cuda.is_available():
        with pytest.raises(TrainingError, match=r"^no CUDA device is available\nHint: use device: cpu or auto$"):
            resolve_device("cuda")


# --- again, to the bit --------------------------------------------------------------------------------------------


def test_one_seed_trains_one_network(shop, config):
    config = config(dropout=0.3, head_layers=2)
    (one, network, _), (two, other, _) = (shop.fit(config) for _ in range(2))
    assert told(one) == told(two)
    assert same_weights(network, other)
    three, third, _ = shop.fit(replace(config, seed=1))
    assert told(one) != told(three)
    assert not same_weights(network, third)


def test_threads_that_draw_ahead_change_nothing(shop, config):
    (one, network, _), (two, other, _) = (shop.fit(config(loader_threads=n)) for n in (0, 2))
    assert told(one) == told(two)
    assert same_weights(network, other)


@pytest.fixture(scope="module")
def undisturbed(shop, config, tmp_path_factory):
    """A run to its end, with all that has state: dropout, running statistics, early stopping."""
    config = config(epochs=4, dropout=0.3, gnn_norm="batch", head_layers=2)
    return config, shop.fit(config, checkpoint=tmp_path_factory.mktemp("whole"))


@pytest.mark.parametrize("death", [(1, 2), 1, (2, 1), 2, (3, 3), 3, (4, 1), 4], ids=lambda d: f"{d}".replace(", ", "-"))
def test_a_killed_run_goes_on_as_if_nothing_had_happened(shop, undisturbed, recorder, killed, tmp_path, death):
    """Killed in the middle of an epoch, or between two."""
    config, (whole, network, _) = undisturbed
    within = isinstance(death, tuple)
    observer = recorder(die_at_step=death) if within else recorder(die_at_epoch=death)
    with pytest.raises(killed):
        shop.fit(config, observer=observer, checkpoint=tmp_path)
    torch.manual_seed(99)  # another process
    resumed, other, observer = shop.fit(config, checkpoint=tmp_path, resume=True)
    done = death[0] - 1 if within else death
    assert [s[0] for s in observer.steps] == [e for e in range(done + 1, 5) for _ in range(3)]
    assert told(resumed) == told(whole)
    assert [r.epoch for r in observer.epochs] == [1, 2, 3, 4]  # the past is told again
    assert same_weights(other, network)
    assert (resumed.num_steps, resumed.best_epoch, resumed.stopped) == (12, whole.best_epoch, whole.stopped)
    assert resumed.elapsed_s > resumed.history[-1].elapsed_s > 0


def test_a_run_killed_twice_goes_on_too(shop, undisturbed, recorder, killed, tmp_path):
    config, (whole, network, _) = undisturbed
    for epoch in (1, 3):
        with pytest.raises(killed):
            shop.fit(config, observer=recorder(die_at_step=(epoch, 2)), checkpoint=tmp_path, resume=True)
    resumed, other, _ = shop.fit(config, checkpoint=tmp_path, resume=True)
    assert told(resumed) == told(whole)
    assert same_weights(other, network)


def test_a_finished_run_is_taken_as_it_is(shop, undisturbed, tmp_path):
    config, _ = undisturbed
    first, network, _ = shop.fit(config, checkpoint=tmp_path)
    again, other, observer = shop.fit(config, checkpoint=tmp_path, resume=True)
    assert observer.steps == []
    assert told(first) == told(again)
    assert same_weights(network, other)


def test_early_stopping_is_remembered(shop, config, scripted, recorder, killed, tmp_path):
    config = config(epochs=9, patience=2)
    scripted(0.7, 0.6)
    with pytest.raises(killed):
        shop.fit(config, observer=recorder(die_at_step=(3, 1)), checkpoint=tmp_path)
    scripted(0.5)
    result, _, _ = shop.fit(config, checkpoint=tmp_path, resume=True)
    assert (len(result.history), result.best_epoch) == (3, 1)
    assert result.stopped == "no better roc_auc for 2 evaluations"


def test_the_time_spent_before_counts_towards_the_budget(shop, config, recorder, killed, clock, tmp_path):
    config = config(epochs=9, time_budget=5)
    with pytest.raises(killed):
        shop.fit(config, observer=clock.attach(recorder(die_at_epoch=1)), checkpoint=tmp_path)
    clock.now += 1000  # the machine was off
    result, _, observer = shop.fit(config, observer=clock.attach(recorder()), checkpoint=tmp_path, resume=True)
    assert [s[:2] for s in observer.steps] == [(2, 1), (2, 2)]
    assert result.elapsed_s == 5


def test_nothing_to_resume_is_a_start(shop, config, tmp_path):
    (one, network, _), (two, other, _) = (
        shop.fit(config(), checkpoint=tmp_path / "empty", resume=True),
        shop.fit(config(), resume=True),
    )
    assert told(one) == told(two)
    assert same_weights(network, other)
