"""A checkpoint is whole or not there: killed at any moment, what was saved before stays."""

import json
import math
import os

import pytest
import torch
from safetensors import safe_open
from torch import nn

from foreknow.errors import StoreError
from foreknow.train import checkpoint as module
from foreknow.train.checkpoint import FORMAT, Checkpoint, load_checkpoint, pack, save_checkpoint, unpack

pytestmark = pytest.mark.filterwarnings("error")


def checkpoint(epoch, best_epoch=None, **changes):
    """One whose tensors say which epoch they are of."""
    best_epoch = epoch if best_epoch is None else best_epoch
    return Checkpoint(
        **{
            "epoch": epoch,
            "step": 10 * epoch,
            "history": [{"epoch": e, "val_loss": math.nan} for e in range(1, epoch + 1)],
            "best_epoch": best_epoch,
            "best_value": 0.5,
            "stale": epoch - best_epoch,
            "elapsed_s": 1.5,
            "tensors": {"model.w": torch.full((2,), float(epoch)), "random": torch.get_rng_state()},
            "best": {"w": torch.full((2,), float(best_epoch))},
            "info": {"run_id": "r"},
            **changes,
        }
    )


def epochs_of(c):
    """Which epoch the parts of a checkpoint are of."""
    return c.epoch, int(c.tensors["model.w"][0]), c.best_epoch, int(c.best["w"][0])


def test_what_is_saved_is_loaded(tmp_path):
    saved = checkpoint(3, 2)
    save_checkpoint(tmp_path / "new", saved)
    loaded = load_checkpoint(tmp_path / "new")
    for name, value in vars(saved).items():
        if name in ("tensors", "best"):
            found = getattr(loaded, name)
            assert found.keys() == value.keys()
            assert all(torch.equal(found[k], value[k]) for k in value)
        else:
            assert str(getattr(loaded, name)) == str(value)  # NaN equals NaN in text


def test_no_checkpoint_is_none(tmp_path):
    assert load_checkpoint(tmp_path) is None
    assert load_checkpoint(tmp_path / "nowhere") is None


def test_the_newest_is_kept_with_the_best_and_nothing_else(tmp_path):
    for c in (checkpoint(1), checkpoint(2), checkpoint(3, 2)):
        save_checkpoint(tmp_path, c)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["best-2.safetensors", "model-3.safetensors", "state.json"]
    assert epochs_of(load_checkpoint(tmp_path)) == (3, 3, 2, 2)


def test_the_best_weights_are_written_when_they_are_new_only(tmp_path):
    save_checkpoint(tmp_path, checkpoint(1))
    before = (tmp_path / "best-1.safetensors").stat().st_mtime_ns
    save_checkpoint(tmp_path, checkpoint(2, 1))
    assert (tmp_path / "best-1.safetensors").stat().st_mtime_ns == before


def test_a_run_begun_anew_in_the_same_folder_leaves_nothing_of_the_one_before(tmp_path):
    for run in (1.0, 2.0):
        save_checkpoint(tmp_path, checkpoint(1, best={"w": torch.tensor([run])}))
    assert load_checkpoint(tmp_path).best["w"].tolist() == [2]


class KilledError(Exception):
    """The process is gone."""


@pytest.mark.parametrize("writes", range(3), ids=["model", "best", "state"])
@pytest.mark.parametrize("how", ["half a file", "not renamed"])
def test_a_kill_while_saving_leaves_the_checkpoint_before(tmp_path, monkeypatch, writes, how):
    save_checkpoint(tmp_path, checkpoint(1))
    done = 0

    def replace(source, target, _replace=os.replace):
        nonlocal done
        if done == writes:
            if how == "half a file":
                os.truncate(source, os.path.getsize(source) // 2)
            raise KilledError
        done += 1
        _replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(module.os, "replace", replace)
        with pytest.raises(KilledError):
            save_checkpoint(tmp_path, checkpoint(2))
    assert epochs_of(load_checkpoint(tmp_path)) == (1, 1, 1, 1)
    save_checkpoint(tmp_path, checkpoint(2))  # resumed
    assert epochs_of(load_checkpoint(tmp_path)) == (2, 2, 2, 2)
    assert len(list(tmp_path.iterdir())) == 3  # what the kill left is gone


def test_a_kill_before_the_old_files_are_gone_leaves_the_new_checkpoint(tmp_path, monkeypatch):
    save_checkpoint(tmp_path, checkpoint(1))
    with monkeypatch.context() as patch:
        patch.setattr(module.Path, "unlink", lambda *_, **__: (_ for _ in ()).throw(KilledError))
        with pytest.raises(KilledError):
            save_checkpoint(tmp_path, checkpoint(2))
    assert epochs_of(load_checkpoint(tmp_path)) == (2, 2, 2, 2)


def test_another_format_is_refused(tmp_path):
    save_checkpoint(tmp_path, checkpoint(1))
    state = json.loads((tmp_path / "state.json").read_text())
    (tmp_path / "state.json").write_text(json.dumps(state | {"format": 99}))
    with pytest.raises(StoreError) as e:
        load_checkpoint(tmp_path)
    assert str(e.value) == (
        f"the checkpoint in '{tmp_path}' is of format 99, this version reads {FORMAT}\n"
        "Hint: start training anew, without --resume"
    )


def test_nothing_in_it_is_a_pickle(tmp_path):
    save_checkpoint(tmp_path, checkpoint(2))
    for path in tmp_path.glob("*.safetensors"):
        with safe_open(path, "pt") as file:
            assert list(file.keys())
    json.loads((tmp_path / "state.json").read_text())


def test_training_goes_on_from_what_was_packed():
    """Weights, moments and random state: the next steps are the same, dropout included."""

    def make(seed):
        torch.manual_seed(seed)
        model = nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 1), nn.Linear(1, 1))
        model[4].requires_grad_(False)
        return model, torch.optim.AdamW(model.parameters(), lr=0.1)

    def steps(model, optimizer, num):
        x = torch.arange(12.0).view(4, 3)
        for _ in range(num):
            optimizer.zero_grad()
            model(x).square().sum().backward()
            optimizer.step()
        return {k: v.clone() for k, v in model.state_dict().items()}

    model, optimizer = make(0)
    steps(model, optimizer, 3)
    packed = {k: v.clone() for k, v in pack(model, optimizer).items()}
    expected = steps(model, optimizer, 3)
    other, fresh = make(1)
    unpack(packed, other, fresh)
    found = steps(other, fresh, 3)
    assert all(torch.equal(found[k], expected[k]) for k in expected)
