"""What the documents say is what the code does."""

import ast
import contextlib
import json
import re
import shlex
from dataclasses import fields
from pathlib import Path

import pytest
import typer
import yaml

from foreknow.cli import app
from foreknow.project import load_project
from foreknow.task.audit import FINDINGS
from foreknow.task.metric import metrics_for
from foreknow.train.config import TrainConfig
from foreknow.types import Stype, TaskType

ROOT = Path(__file__).parents[1]
DOCS = sorted(
    p
    for p in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("bench/*.md"), *ROOT.glob("examples/*/*.md")]
    if p.name != "CHANGELOG.md"  # tells of what was
)
PROJECT_FILE = (ROOT / "docs" / "project-file.md").read_text()


def name(path):
    return str(path.relative_to(ROOT))


def rows(text, heading):
    """Cells of the first table after a heading."""
    lines = text.partition(heading)[2].partition("\n|---")[2].splitlines()[1:]
    table = []
    for line in lines:
        if not line.startswith("|"):
            break
        table.append([cell.strip() for cell in line.strip("|").split(" | ")])
    return table


def test_every_parameter_is_told_with_its_default():
    told = [
        (n.strip("`"), json.loads(v) if v[0] in "[0123456789tfn" else v)
        for n, v, _ in ([r[0], r[1].strip("`"), r[2]] for r in rows(PROJECT_FILE, "<!-- parameters"))
    ]
    defaults = {f.name: f.default for f in fields(TrainConfig)}
    assert dict(told) == {k: list(v) if isinstance(v, tuple) else v for k, v in defaults.items()}
    assert len(told) == len(defaults)


def test_every_column_type_is_told():
    told = {t for row in rows(PROJECT_FILE, "## Columns") for t in re.findall(r"`(\w+)`", row[0])}
    assert told == {s.value for s in Stype}


def test_every_finding_of_the_audit_is_told():
    text = (ROOT / "docs" / "audit.md").read_text().partition("## Findings")[2]
    assert sorted(re.findall(r"^\| `([a-z-]+)` \|", text, flags=re.M)) == sorted(FINDINGS)


def test_every_metric_is_told():
    text = PROJECT_FILE.partition("Metrics: ")[2].partition("\n\n")[0]
    kinds = {
        "binary": TaskType.BINARY,
        "multiclass": TaskType.MULTICLASS,
        "multilabel": TaskType.MULTILABEL,
        "regression": TaskType.REGRESSION,
    }
    told = {kind: set(re.findall(r"`(\w+)`", names)) for names, kind in re.findall(r"([^()]+)\((\w+)\)", text)}
    assert told == {kind: set(metrics_for(t)) for kind, t in kinds.items()}


def blocks(path, language):
    return re.findall(rf"^```{language}\n(.*?)^```", path.read_text(), flags=re.M | re.S)


YAML = [pytest.param(b, id=f"{name(p)}-{i}") for p in DOCS for i, b in enumerate(blocks(p, "yaml"))]
PYTHON = [pytest.param(b, id=f"{name(p)}-{i}") for p in DOCS for i, b in enumerate(blocks(p, "python"))]


@pytest.mark.parametrize("text", YAML)
def test_project_files_can_be_read(text, tmp_path):
    """Examples are whole files, a ``tables:`` or ``tasks:`` of one, or tables indented as they stand below it."""
    if text.startswith("  "):
        text = f"tables:\n{text}"
    value = yaml.safe_load(text)
    if "source" not in value:
        text += "\nsource: x.duckdb\n"
    (tmp_path / "foreknow.yaml").write_text(text)
    load_project(tmp_path)


@pytest.mark.parametrize("text", PYTHON)
def test_python_can_be_compiled(text):
    ast.parse(text)


def commands(path):
    """Commands in code: lines of blocks, and inline."""
    text = path.read_text()
    indented = re.findall(r"^    (foreknow .*)$", text, flags=re.M)
    fenced = [
        line.strip() for b in re.findall(r"^```\w*\n(.*?)^```", text, flags=re.M | re.S) for line in b.splitlines()
    ]
    inline = re.findall(r"`(foreknow [^`]+)`", text)
    found = [*indented, *(c.strip() for c in fenced if c.startswith("foreknow ")), *inline]
    return sorted({" ".join(c.partition("  #")[0].replace("\n", " ").split()) for c in found})


COMMANDS = [pytest.param(c, id=f"{name(p)}: {c[:60]}") for p in DOCS for c in commands(p) if "COMMAND" not in c]


@pytest.mark.parametrize("line", COMMANDS)
def test_commands_exist_with_their_options(line):
    words = shlex.split(line)[1:]
    command = typer.main.get_command(app)
    while hasattr(command, "commands"):
        command = command.commands[words.pop(0)]
    with contextlib.suppress(typer.Exit):  # what --parameters ends with
        command.make_context(line, words)


def test_commands_are_found():
    assert len(COMMANDS) > 8


@pytest.mark.parametrize("path", DOCS, ids=name)
def test_links_lead_somewhere(path):
    targets = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", path.read_text())
    gone = [t for t in targets if "://" not in t and not (path.parent / t).exists()]
    assert gone == []


@pytest.mark.parametrize("path", DOCS, ids=name)
def test_make_targets_exist(path):
    targets = set(re.findall(r"^(\S+):.*##", (ROOT / "Makefile").read_text(), flags=re.M))
    told = set(re.findall(r"(?:^    |`)make ([a-z-]+)", path.read_text(), flags=re.M))
    assert told <= targets
