"""The market of ``foreknow.testing.market`` as a project with a task of every type, and MLflow in a file."""

import shutil

import pytest

import foreknow as fk
from foreknow.testing.market_project import write_market
from foreknow.train import plots


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory):
    """An MLflow database with all its tables, made once: making it takes seconds."""
    from foreknow.track.mlflow import import_mlflow

    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    import_mlflow().MlflowClient(tracking_uri=f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def tracking(empty_store, tmp_path):
    """A tracking store of one's own, in a file."""
    return f"sqlite:///{shutil.copyfile(empty_store, tmp_path / 'mlflow.db')}"


@pytest.fixture
def few_plots(monkeypatch):
    """Draw nothing: plots have tests of their own and take most of a small training's time."""
    monkeypatch.setattr(plots, "evaluation_figures", lambda *_, **__: {})
    monkeypatch.setattr(plots, "learning_curves", lambda *_, **__: None)
    monkeypatch.setattr(plots, "save", lambda _, path: path.touch())


@pytest.fixture
def market(tmp_path):
    """A market project of one's own, to be changed."""
    return write_market(tmp_path / "market")


@pytest.fixture(scope="session")
def trained(empty_store, tmp_path_factory):
    """A market project with one trained run of task Buys; copy it to change it."""
    folder = write_market(tmp_path_factory.mktemp("trained"))
    uri = f"sqlite:///{shutil.copyfile(empty_store, folder / 'mlflow.db')}"
    run = fk.train(fk.open(folder).task("Buys"), tracking_uri=uri)
    return folder, run


@pytest.fixture
def scored(trained, tmp_path):
    """A copy of the trained project: its folder and the run's id."""
    folder, run = trained
    return shutil.copytree(folder, tmp_path / "copy"), run.run_id
