"""How results look on a terminal of 80 columns, and in a file."""

import datetime as dt
import json
import logging

import numpy as np
import pytest

from foreknow.cli import console
from foreknow.errors import Finding
from foreknow.train.loop import EpochRecord
from foreknow.train.scoreboard import Row

LINEAGE = {"model_version": "churn/3", "run_id": "0c3e4634f3e6" * 3, "predicted_at": dt.datetime(2026, 1, 1)}


def test_a_composite_key_is_joined_so_that_the_prediction_stays_whole(capsys, narrow):
    flight = {"year": 2014, "month": 11, "day": 1, "carrier": "AA", "flight": 1043, "origin": "SEA", "dest": "DFW"}
    row = {**flight, "seed_time": dt.datetime(2014, 11, 1), "predicted_labels": False, "probs": 0.07214, **LINEAGE}
    console.show_predictions([row], title="P")
    out = capsys.readouterr().out
    assert "2014 11 1 AA 1043 SEA DFW" in out
    assert "2014-11-01" in out
    assert "predicted_labels" in out
    assert "False" in out
    assert "0.0721" in out
    assert "churn/3" not in out
    assert all(len(line.rstrip()) <= 80 for line in out.splitlines())


def test_long_keys_are_cut_and_short_ones_are_not(capsys, narrow):
    rows = [{"customer_id": c, "predicted_value": v, **LINEAGE} for c, v in (("a" * 64, 12345.678), ("short", -0.5))]
    console.show_predictions(rows, title="P")
    out = capsys.readouterr().out
    assert "a" * 19 + "…" in out
    assert "short" in out
    assert "12,345.7" in out
    assert "-0.5000" in out


def test_many_classes_show_the_first_probabilities(capsys, narrow):
    row = {"id": 1, "predicted_labels": ["x", "y"], "probs": [0.125] * 9, **LINEAGE}
    console.show_predictions([row], title="P")
    out = capsys.readouterr().out
    assert "[x, y]" in out
    assert "[0.1250, 0.1250, 0.1250, 0.1250, …]" in out


def test_nothing_to_show_shows_nothing(capsys):
    console.show_predictions([], title="P")
    console.show_rows([])
    assert capsys.readouterr().out == ""


def test_a_scoreboard_shows_a_second_metric_if_there_is_room(capsys, monkeypatch):
    metrics = {"average_precision": 0.5, "roc_auc": 0.75, "f1": float("nan")}
    rows = [
        Row(model=m, val=metrics, test=metrics, seconds=1.5) for m in ("entity columns (LightGBM)", "graph network")
    ]
    for width, has_both in ((80, False), (120, True)):
        monkeypatch.setattr(console.out, "width", width)
        console.show_scoreboard(rows, "average_precision")
        out = capsys.readouterr().out
        assert out.count("average_precision") == 2
        assert ("roc_auc" in out) == has_both
        assert all(len(line.rstrip()) <= width for line in out.splitlines())


def test_a_missing_test_split_has_no_column(capsys):
    rows = [Row(model="graph network", val={"mae": 1.0}, test={"mae": float("nan")}, seconds=0)]
    console.show_scoreboard(rows, "mae")
    out = capsys.readouterr().out
    assert "val" in out
    assert "test" not in out


def test_findings_are_one_line_each_in_a_file(capsys):
    message = "8,678 of 162,049 values have no row in 'planes' (e.g. D942DN, N200AA, N216SW); " * 2
    console.show_findings([Finding(name="x", severity="warning", message=message, hint="[load] them")])
    assert capsys.readouterr().err == f"warning {message}\n  Hint: [load] them\n"


def test_json_knows_neither_nan_nor_dates_nor_numpy(capsys):
    value = {
        "nan": float("nan"),
        "inf": [float("inf")],
        "at": dt.datetime(2026, 1, 2, tzinfo=dt.UTC),
        "number": np.int64(3),
        "float": np.float32(0.5),
        1: ("a", None),
    }
    console.print_json(value)
    assert json.loads(capsys.readouterr().out) == {
        "nan": None,
        "inf": [None],
        "at": "2026-01-02T00:00:00+00:00",
        "number": 3,
        "float": 0.5,
        "1": ["a", None],
    }


def test_epochs_fit_into_80_columns(capsys, narrow):
    reporter = console.TerminalReporter(metric="average_precision")
    nan = float("nan")
    for epoch, val in ((1, nan), (100, 0.5)):
        reporter.on_epoch(
            EpochRecord(
                epoch=epoch,
                train_loss=1234.5678,
                val_loss=val,
                train_metric=0.25,
                val_metric=val,
                learning_rate=0.1,
                elapsed_s=12345.6,
                is_best=True,
            )
        )
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "metric: average_precision"
    assert "          -        0.2500           -  12345.6  best so far" in lines[2]
    assert all(len(line) <= 80 for line in lines)


def test_a_quiet_reporter_is_quiet(capsys):
    with console.TerminalReporter(quiet=True) as reporter:
        reporter.stage("reading tables")
        reporter.finding(Finding(name="x", message="y"))
        reporter.run_started("id", "name", "http://x", 3, 1)
        reporter.on_step(1, 1, 2, 0.5)
        reporter.on_evaluate(1, 2)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("level", [logging.INFO, logging.WARNING])
def test_what_the_library_warns_of_is_shown(capsys, level, foreknow):
    console.show_logs()
    console.show_logs()
    logging.getLogger("foreknow.track.mlflow").log(level, "MLflow at %s is away", "[x]")
    err = capsys.readouterr().err
    assert err == ("warning MLflow at [x] is away\n" if level == logging.WARNING else "")
