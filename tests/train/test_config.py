"""Training parameters: what is out of range is said, all of it at once."""

from dataclasses import fields

import pytest

from foreknow.errors import ConfigError
from foreknow.project import make_config
from foreknow.train.config import TrainConfig, check_config

pytestmark = pytest.mark.filterwarnings("error")

AT_LEAST_1 = "it must be at least 1"
CHOOSE = {
    "conv_aggregation": "mean, sum, max",
    "hetero_conv_aggregation": "mean, sum, max",
    "gnn_norm": "layer, batch, instance, none",
    "head_norm": "layer, batch, instance, none",
    "temporal_strategy": "uniform, last",
    "class_weight": "auto, balanced, none",
    "scoreboard": "off, quick, full",
}
WRONG = [
    *((name, 0, AT_LEAST_1) for name in ("epochs", "eval_batch_size", "eval_every", "channels", "head_layers")),
    *((name, 0, AT_LEAST_1) for name in ("batch_size", "patience", "max_steps_per_epoch", "t_max", "num_layers")),
    ("batch_size", 1, "batch normalisation (head_norm, gnn_norm) needs at least 2"),
    ("lr", 0.0, "it must be positive"),
    ("lr", float("nan"), "it must be positive"),
    ("eta_min", -1e-9, "it must not be negative, nor above lr"),
    ("eta_min", 0.1, "it must not be negative, nor above lr"),
    ("weight_decay", -0.1, "it must not be negative"),
    ("warmup_steps", -1, "it must not be negative"),
    ("dropout", 1.0, "it must be in [0, 1)"),
    ("dropout", -0.1, "it must be in [0, 1)"),
    ("label_smoothing", 1.0, "it must be in [0, 1)"),
    ("clamp_min", -1.0, "0 <= clamp_min < clamp_max <= 100 is needed"),
    ("clamp_min", 100.0, "0 <= clamp_min < clamp_max <= 100 is needed"),
    ("clip_norm", 0.0, "it must be positive, or null"),
    ("time_budget", 0.0, "it must be positive seconds"),
    *(("num_neighbors", k, "it must hold one positive number (or -1 for all) per hop") for k in ((), (0,), (3, -2))),
    ("seed", -1, "it must not be negative, and fit into 63 bits"),
    ("seed", 1 << 63, "it must not be negative, and fit into 63 bits"),
    ("loader_threads", -1, "it must not be negative"),
    *((name, "often", f"choose one of {allowed}") for name, allowed in CHOOSE.items()),
]


@pytest.mark.parametrize(("name", "value", "what"), WRONG)
def test_a_value_out_of_range_is_told_with_what_is_allowed(name, value, what):
    with pytest.raises(ConfigError) as e:
        check_config(TrainConfig(**{name: value}))
    assert f"{name} is {value!r}; {what}" in str(e.value)


def test_all_values_out_of_range_are_told_in_one_message():
    wrong = {name: value for name, value, _ in reversed(WRONG) if name != "batch_size"} | {"batch_size": 0}
    with pytest.raises(ConfigError) as e:
        check_config(TrainConfig(**wrong))
    message = str(e.value)
    assert message.startswith(f"training parameters: {len(wrong)} problems.\n- ")
    assert all(f"- {name} is {value!r}; " in message for name, value in wrong.items())
    assert len(e.value.findings) == len(wrong)


def test_the_upper_percentile_has_a_limit():
    with pytest.raises(ConfigError, match="0 <= clamp_min < clamp_max <= 100 is needed"):
        check_config(TrainConfig(clamp_max=100.1))


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"dropout": 0.99, "label_smoothing": 0.0, "clip_norm": None, "time_budget": None, "seed": (1 << 63) - 1},
        {"batch_size": 1, "head_norm": "layer", "gnn_norm": "instance"},
        {"eta_min": 1e-3, "lr": 1e-3, "patience": 1, "num_neighbors": (-1,), "loader_threads": 8},
        {"clamp_min": 1.0, "clamp_max": 99.0, "max_steps_per_epoch": 1, "t_max": 1, "num_layers": 1},
    ],
)
def test_values_in_range_are_fine(values):
    check_config(TrainConfig(**values))


def test_every_number_has_a_limit():
    """A new parameter needs a range, or a reason to have none."""
    free = {"clamp_max", "id_awareness", "use_temporal_encoder", "text_embedder", "shallow_embeddings", "device"}
    assert {f.name for f in fields(TrainConfig)} - free == {name for name, _, _ in WRONG}


# --- from plain values --------------------------------------------------------------------------------------------


def test_plain_values_become_a_configuration():
    config = make_config({"epochs": 3, "num_neighbors": [8, -1], "lr": 1, "shallow_embeddings": ["users"]})
    assert (config.epochs, config.num_neighbors, config.lr) == (3, (8, -1), 1.0)
    assert config.shallow_embeddings == ("users",)
    assert config == TrainConfig(epochs=3, num_neighbors=(8, -1), lr=1.0, shallow_embeddings=("users",))
    assert make_config({}) == TrainConfig()


def test_unknown_names_are_told_with_their_near_matches_all_at_once():
    with pytest.raises(ConfigError) as e:
        make_config({"epoch": 3, "chanels": 8, "zzz": 1, "batch_size": 4})
    message = str(e.value)
    assert message.startswith("training parameters: 3 problems.\n")
    assert "- unknown parameter 'epoch'\n  Hint: did you mean 'epochs'?" in message
    assert "- unknown parameter 'chanels'\n  Hint: did you mean 'channels'?" in message
    assert "- unknown parameter 'zzz'\n  Hint: known: batch_size, channels, " in message


def test_values_of_a_wrong_type_are_told_by_name():
    with pytest.raises(ConfigError) as e:
        make_config({"epochs": "many", "gnn_norm": "loud"})
    assert "- epochs is 'many': " in str(e.value)
    assert "- gnn_norm is 'loud': " in str(e.value)


def test_a_message_begins_with_where_the_values_stand():
    for values in ({"epochs": 0, "lr": -1}, {"epochs": "many", "lr": "slow"}, {"epoch": 1, "rl": 1}):
        with pytest.raises(ConfigError) as e:
            make_config(values, where="foreknow.yaml, train")
        assert str(e.value).startswith("foreknow.yaml, train: 2 problems.\n- ")
