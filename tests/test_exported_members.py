"""The front door: what it offers, and that opening it costs nothing."""

import subprocess
import sys
from types import ModuleType

import pytest

import foreknow

HEAVY = "torch, mlflow, numba, sklearn, lightgbm, matplotlib, pandas, pyarrow, duckdb"


def test_all_is_what_can_be_imported():
    assert foreknow.__all__ == sorted(foreknow.__all__)
    assert dir(foreknow) == foreknow.__all__
    for name in foreknow.__all__:
        member = getattr(foreknow, name)
        assert not isinstance(member, ModuleType), name
        assert member.__doc__, name
    with pytest.raises(AttributeError, match="module 'foreknow' has no attribute 'tarin'"):
        _ = foreknow.tarin


def test_rooms_do_not_hide_the_functions_of_their_names():
    """``foreknow.train`` is a function, and a package that holds the training loop; the same goes for predict."""
    import foreknow.predict.sink
    import foreknow.train.loop
    from foreknow.api import predict, train
    from foreknow.train import plots

    assert foreknow.train is train
    assert foreknow.predict is predict
    assert isinstance(plots, ModuleType)


def loaded_after(code):
    """Which heavy modules are loaded after running code in a fresh process."""
    program = f"import sys\n{code}\nprint(*[m for m in '{HEAVY}'.split(', ') if m in sys.modules])"
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()


def test_importing_the_package_loads_nothing_heavy():
    assert loaded_after("import foreknow") == []


def test_showing_help_loads_nothing_heavy():
    quietly = "import contextlib, foreknow.cli\nwith contextlib.redirect_stdout(sys.stderr):\n"
    assert loaded_after(quietly + "    foreknow.cli.run(['--help'])") == []
    assert loaded_after(quietly + "    foreknow.cli.run(['train', '--help'])") == []


def test_opening_and_inspecting_loads_neither_mlflow_nor_plots(toy_folder, tmp_path):
    code = f"import foreknow as fk\nfk.open({str(toy_folder)!r}, home={str(tmp_path)!r}).inspect()"
    assert not {"mlflow", "sklearn", "matplotlib", "pandas"} & set(loaded_after(code))
