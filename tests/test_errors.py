import builtins
import doctest
import importlib
import inspect
import re

import pytest

from foreknow import errors
from foreknow.errors import (
    Finding,
    ForeknowError,
    MissingExtraError,
    SchemaError,
    SourceError,
    StoreError,
    TaskError,
    did_you_mean,
    near_match,
    raise_findings,
)

CLASSES = {n: c for n, c in vars(errors).items() if inspect.isclass(c) and issubclass(c, ForeknowError)}


# --- the tree -----------------------------------------------------------------------------------------------


def test_the_tree_of_the_docstring_is_the_tree_of_the_classes():
    drawn = dict(re.findall(r"(\w+Error) +\((\w+)\)", errors.__doc__))
    assert drawn.keys() == CLASSES.keys() - {"ForeknowError"}
    for name, builtin in drawn.items():
        assert issubclass(CLASSES[name], getattr(builtins, builtin))


@pytest.mark.parametrize("name", sorted(CLASSES.keys() - {"MissingExtraError"}))
def test_every_error_says_its_message_then_the_hint(name):
    error = CLASSES[name]("it is broken", hint="mend it")
    assert isinstance(error, ForeknowError)
    assert str(error) == "it is broken\nHint: mend it"
    assert (error.hint, error.findings) == ("mend it", ())
    assert str(CLASSES[name]("it is broken")) == "it is broken"


@pytest.mark.parametrize("error", [SourceError, StoreError])
def test_errors_about_files_can_be_caught_as_such(error):
    with pytest.raises(OSError, match=r"^gone$"):
        raise error("gone")


def test_a_missing_package_is_named_with_what_to_install():
    error = MissingExtraError("model2vec", "text")
    assert str(error) == "'model2vec' is not installed\nHint: pip install 'foreknow[text]'"
    assert isinstance(error, ImportError)


# --- findings -----------------------------------------------------------------------------------------------


def test_a_finding_says_where_what_and_what_to_do():
    assert str(Finding(name="x", message="wrong")) == "wrong"
    assert str(Finding(name="x", message="wrong", table="t")) == "table 't': wrong"
    full = Finding(name="x", message="wrong", table="t", column="c", hint="mend it")
    assert str(full) == "table 't', column 'c': wrong\n  Hint: mend it"


def test_a_finding_is_plain_values():
    finding = Finding(name="dangling-links", message="3 values", severity="warning", table="t", column="c", count=3)
    assert finding.to_dict() == {
        "name": "dangling-links",
        "message": "3 values",
        "severity": "warning",
        "table": "t",
        "column": "c",
        "count": 3,
        "hint": None,
    }
    assert Finding(**finding.to_dict()) == finding


def test_warnings_alone_raise_nothing():
    raise_findings([], SchemaError, "intro")
    raise_findings([Finding(name="x", message="hm", severity="warning")], SchemaError, "intro")


def test_one_finding_is_told_in_the_sentence():
    warning, error = Finding(name="w", message="hm", severity="warning"), Finding(name="e", message="no", table="t")
    with pytest.raises(TaskError) as caught:
        raise_findings([warning, error], TaskError, "the task")
    assert str(caught.value) == "the task: table 't': no"
    assert caught.value.findings == (warning, error)


def test_several_findings_are_told_as_a_list():
    with pytest.raises(SchemaError) as caught:
        raise_findings(
            [Finding(name="a", message="no", hint="yes"), Finding(name="b", message="nor")], SchemaError, "it"
        )
    assert str(caught.value) == "it: 2 problems.\n- no\n  Hint: yes\n- nor"


# --- near matches -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "names", "expected"),
    [
        ("prise", ["price", "t_dat"], "price"),
        ("PRICE", ["prices", "price"], "price"),
        ("Price", ["price", "PRICE"], "price"),
        ("customer", ["CUSTOMERS"], "CUSTOMERS"),
        ("val", ["train", "validation", "test"], "validation"),
        ("xyz", ["price"], None),
        ("pr", ["price"], None),
        ("", ["price"], None),
        ("price", [], None),
    ],
)
def test_near_matches_look_past_case_typing_errors_and_abbreviation(name, names, expected):
    assert near_match(name, names) == expected


def test_hints_list_what_exists_but_not_endlessly():
    assert did_you_mean("prise", ["t_dat", "price"], "columns") == "did you mean 'price'? Columns: price, t_dat."
    assert did_you_mean("xyz", [], "tables") == "Tables: none."
    many = [f"c{i:02}" for i in range(30)]
    assert did_you_mean("q", many, "columns").endswith("c10, c11, ... (30 in all).")


@pytest.mark.parametrize(
    "room", ["errors", "source.sql", "source.keys", "source.time", "task.task", "project", "graph.adjacency"]
)
def test_examples_in_docstrings_hold(room):
    module = importlib.import_module(f"foreknow.{room}")
    assert doctest.testmod(module).failed == 0
