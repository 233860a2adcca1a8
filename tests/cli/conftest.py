"""Commands run in this process, as a user would type them, on the market project."""

import json
import logging
import shutil

import pytest

import foreknow as fk
from foreknow import cli
from foreknow.cli import console
from foreknow.testing.market_project import write_market
from foreknow.train import plots


class Outcome:
    """What a command printed, and its exit status."""

    def __init__(self, status, out, err):
        self.status, self.out, self.err = status, out, err

    @property
    def json(self):
        """The one JSON object on stdout."""
        return json.loads(self.out)


@pytest.fixture
def foreknow(capsys, monkeypatch):
    """Run a command."""
    log = logging.getLogger("foreknow")
    before = log.handlers[:], log.propagate

    def run(*arguments):
        capsys.readouterr()
        status = cli.run([str(a) for a in arguments])
        return Outcome(status, *capsys.readouterr())

    yield run
    log.handlers[:], log.propagate = before


@pytest.fixture
def narrow(monkeypatch):
    """A terminal of 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")
    for each in (console.out, console.err):
        monkeypatch.setattr(each, "width", 80)


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory):
    """An MLflow database with all its tables, made once: making it takes seconds."""
    from foreknow.track.mlflow import import_mlflow

    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    import_mlflow().MlflowClient(tracking_uri=f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture(scope="session")
def trained(empty_store, tmp_path_factory):
    """A market project with a trained run; copy it to change it."""
    folder = write_market(tmp_path_factory.mktemp("trained"))
    uri = f"sqlite:///{shutil.copyfile(empty_store, folder / 'mlflow.db')}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plots, "evaluation_figures", lambda *_, **__: {})
        return folder, fk.train(fk.open(folder).task("Buys"), tracking_uri=uri).run_id


@pytest.fixture
def project(trained, tmp_path, monkeypatch):
    """A copy of the trained project, as working directory, with its own tracking store; gives the run's id."""
    folder, run_id = trained
    shutil.copytree(folder, tmp_path / "project")
    monkeypatch.chdir(tmp_path / "project")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/project/mlflow.db")
    monkeypatch.setattr(plots, "evaluation_figures", lambda *_, **__: {})
    return run_id


class FakeServer:
    """Stands for the workspace's MLflow server; its address is a file."""

    guard = process = None
    is_owner = True
    uri = ""

    def __init__(self, workspace, *, port=5000):
        self.workspace, self.url = workspace, self.uri
        self.calls = []

    def start(self):
        self.calls.append("start")
        return self

    def wait(self):
        self.calls.append("wait")
        return self

    def stop(self):
        self.calls.append("stop")


@pytest.fixture
def fake_server(empty_store, tmp_path, monkeypatch):
    """No server is started."""
    uri = f"sqlite:///{shutil.copyfile(empty_store, tmp_path / 'fake.db')}"
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr(FakeServer, "uri", uri)
    made = []

    def make(*args, **options):
        made.append(FakeServer(*args, **options))
        return made[-1]

    for place in ("foreknow.track.server", "foreknow.track.connect", "foreknow.workflow.training"):
        monkeypatch.setattr(f"{place}.MLflowServer", make)
    return made
