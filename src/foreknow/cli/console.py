"""What a person sees while work goes on, and how results and errors are printed."""

from __future__ import annotations

import json
import logging
import math
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from foreknow.errors import (
    AccessError,
    ConfigError,
    Finding,
    ForeknowError,
    JobError,
    MissingExtraError,
    PredictionError,
    QueryError,
    ResourceError,
    SchemaError,
    SinkError,
    SourceError,
    TaskError,
    TrainingError,
    UnknownJobError,
    UnknownModelError,
)

if TYPE_CHECKING:
    from foreknow.database import BoundTask, Database
    from foreknow.train.loop import EpochRecord

__all__ = [
    "JsonOption",
    "ProjectOption",
    "TerminalReporter",
    "console_width",
    "fail",
    "fail_otherwise",
    "finite",
    "is_sentence",
    "open_project",
    "open_task",
    "out",
    "print_json",
    "show_findings",
    "show_logs",
    "show_predictions",
    "show_rows",
    "show_scoreboard",
]

PLAIN_WIDTH = 100  # columns if the output goes to a file or a pipe, and COLUMNS doesn't say


def _console(*, stderr: bool) -> Console:
    console = Console(stderr=stderr, highlight=False)
    if not console.is_terminal and not os.environ.get("COLUMNS", "").isdigit():
        console.width = PLAIN_WIDTH
    return console


err = _console(stderr=True)
out = _console(stderr=False)

MENDABLE = (
    ConfigError,
    SchemaError,
    SourceError,
    QueryError,
    TaskError,
    SinkError,
    PredictionError,
    TrainingError,
    UnknownModelError,
    UnknownJobError,
    JobError,
    ResourceError,
    AccessError,
    MissingExtraError,
)

JsonOption = Annotated[
    bool, typer.Option("--json", help="Print one JSON object on stdout instead of text.", metavar="")
]
ProjectOption = Annotated[
    Path,
    typer.Option(
        "--project",
        "-p",
        metavar="PATH",
        help="foreknow.yaml or the folder it is in; or a database or folder of files without one.",
        show_default="the working directory",
    ),
]


def console_width() -> int:
    """Columns a line on stdout may have."""
    return out.width


def open_project(where: Path) -> Database:
    """Open the database a command works on; ``FOREKNOW_HOME`` moves its workspace."""
    from foreknow.api import open as open_

    return open_(where)


def open_task(where: Path, name: str) -> BoundTask:
    """Open a task of a project file, or make one from a predictive query.

    Raises:
        ConfigError: There is no project file, or no such task in it.
        QueryError: The query is not understood, or doesn't fit the schema.
    """
    if is_sentence(name):
        return open_project(where).ask(name)
    is_project = where.suffix in (".yaml", ".yml") or (where / "foreknow.yaml").is_file()
    if where.exists() and not is_project:
        place = "the working directory" if where == Path(".") else f"'{where}'"
        raise ConfigError(
            f"there is no foreknow.yaml in {place}" if where.is_dir() else f"{place} is no project file",
            hint="tasks stand in a project file. Name it with --project, or write one with: "
            "foreknow inspect SOURCE --write",
        )
    return open_project(where).task(name)


def is_sentence(text: str) -> bool:
    """Whether a task is given as a predictive query rather than by its name."""
    words = [line.split("--")[0].split() for line in text.splitlines()]
    first = next((w[0] for w in words if w), "")
    return first.upper() == "PREDICT" and len(text.split()) > 1


def print_json(value: Any) -> None:
    """One JSON object on stdout; numbers JSON doesn't know become null."""
    sys.stdout.write(json.dumps(_plain(value), indent=1, default=_text) + "\n")
    sys.stdout.flush()


def fail(error: ForeknowError, *, as_json: bool) -> int:
    """Print an error of ours; returns the exit status."""
    kind = type(error).__name__
    has_kind = str(error).startswith(f"{kind} ")  # errors that point into a query name themselves, each time
    _say(err, str(error), "bold red", "" if has_kind else f"{kind}: ")
    status = 2 if isinstance(error, MENDABLE) else 1
    return fail_otherwise(type(error).__name__, str(error), as_json=as_json, status=status, findings=error.findings)


def fail_otherwise(kind: str, message: str, *, as_json: bool, status: int, findings: Iterable[Finding] = ()) -> int:
    """Print the JSON object of an error that was shown on stderr already; returns the exit status."""
    if as_json:
        print_json({"error": {"type": kind, "message": message, "findings": [f.to_dict() for f in findings]}})
    return status


def show_logs() -> None:
    """Let what the library logs appear on stderr, above a progress bar if there is one."""
    log = logging.getLogger("foreknow")
    if not any(isinstance(h, _TerminalHandler) for h in log.handlers):
        log.addHandler(_TerminalHandler(logging.WARNING))
        log.propagate = False


class _TerminalHandler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        _say(err, record.getMessage(), "yellow", "warning ")


def show_rows(rows: Sequence[Mapping[str, Any]], *, title: str | None = None, whole: Sequence[str] = ()) -> None:
    """A small table of plain values. Columns shrink to what the terminal holds, but for those in `whole`."""
    if not rows:
        return
    table = _table(title)
    for name in rows[0]:
        cells = [_cell(row[name]) for row in rows]
        is_number = all(isinstance(row[name], int | float) and not isinstance(row[name], bool) for row in rows)
        table.add_column(
            Text(name),
            overflow="ellipsis",
            no_wrap=True,
            min_width=max(map(len, [name, *cells])) if name in whole else None,
            justify="right" if is_number else "left",
        )
    for row in rows:
        table.add_row(*(Text(_cell(v)) for v in row.values()))
    out.print(table)


def show_predictions(head: Sequence[Mapping[str, Any]], *, title: str) -> None:
    """The first rows of a prediction table: who, when and what. The lineage is the same in every row and left out.

    If all of it doesn't fit into a line the key columns are joined to one, which is cut if need be: the prediction is
    always whole.
    """
    if not head:
        return
    names = [n for n in head[0] if n not in ("model_version", "run_id", "predicted_at")]
    first = next(i for i, n in enumerate(names) if n in ("predicted_labels", "predicted_value"))
    times = [n for n in names[:first] if hasattr(head[0][n], "strftime")]
    keys = [n for n in names[:first] if n not in times]
    cells = {n: [_cell(row[n]) for row in head] for n in names}
    shown = {n: ([_cut(c, KEY_WIDTH) for c in cells[n]] if n in keys else cells[n]) for n in names}
    widths = {n: max(map(len, [n, *column])) for n, column in shown.items()}
    if _table_width(widths.values()) > out.width and len(keys) > 1:
        rest = [n for n in names if n not in keys]
        room = max(out.width - _table_width([*(widths[n] for n in rest), 0]), 8)
        joined = [" ".join(cells[n][i] for n in keys) for i in range(len(head))]
        shown = {_cut(" ".join(keys), room): [_cut(c, room) for c in joined], **{n: shown[n] for n in rest}}
    table = _table(title)
    for name in shown:
        table.add_column(Text(name), no_wrap=True, overflow="ellipsis")
    for row in zip(*shown.values(), strict=True):
        table.add_row(*map(Text, row))
    out.print(table)


KEY_WIDTH = 20  # characters of a key shown in a preview


def show_findings(findings: Iterable[Finding]) -> None:
    """Warnings and errors, a line each, with their hints."""
    for f in findings:
        colour = {"error": "red", "warning": "yellow", "info": "dim"}[f.severity]
        _say(err, str(f), colour, f.severity + " ")


class TerminalReporter:
    """Shows stages, a progress bar with time left, and a line per epoch. Plain lines if stderr is no terminal."""

    def __init__(self, *, quiet: bool = False, metric: str = "metric") -> None:
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self._quiet, self._metric = quiet, metric
        self._progress = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=28),
            TextColumn("{task.fields[note]}"),
            TimeRemainingColumn(compact=True, elapsed_when_finished=True),
            console=err,
            transient=True,
            disable=quiet or not err.is_terminal,
            speed_estimate_period=120,  # longer than an evaluation, in which the bar of the training stands still
        )
        self._bar: Any = None
        self._training_bar: Any = None
        self._planned_epochs = 1
        self.num_epochs = 0

    def __enter__(self) -> TerminalReporter:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def stage(self, text: str) -> None:
        """A new stage: the bars of the last one go."""
        self._clear()
        if self._training_bar is not None:
            self._progress.remove_task(self._training_bar)
            self._training_bar = None
        if self._quiet:
            return
        if err.is_terminal:
            self._bar = self._progress.add_task(text, total=None, note="")
        else:
            err.print(text, markup=False, soft_wrap=True)

    def finding(self, finding: Finding) -> None:
        """Shown at once."""
        if not self._quiet:
            show_findings([finding])

    def run_started(self, run_id: str, run_name: str, url: str | None, num_parameters: int, num_epochs: int) -> None:
        """Where to watch."""
        self._clear()
        self._planned_epochs = num_epochs
        if not self._quiet:
            err.print(f"[bold green]run {run_name}[/] ({num_parameters:,} parameters)")
            if url:
                err.print(f"watch it: {url}", soft_wrap=True)

    def on_step(self, epoch: int, step: int, num_steps: int, loss: float) -> None:
        """Move the bar; its time left is that of the whole training."""
        if self._quiet or not err.is_terminal:
            return
        done = (epoch - 1) * num_steps + step
        if self._training_bar is None:
            self._clear()
            total = self._planned_epochs * num_steps
            self._training_bar = self._progress.add_task("", total=total, completed=done - 1, note="")
        self._progress.update(
            self._training_bar,
            completed=done,
            description=f"epoch {epoch}/{self._planned_epochs}",
            note=f"step {step:,} of {num_steps:,}, loss {loss:.4f}",
        )

    def on_evaluate(self, done: int, total: int) -> None:
        """Move the bar."""
        if self._quiet or not err.is_terminal:
            return
        if self._bar is None or self._progress.tasks[-1].description != "scoring":
            self._clear()
            self._bar = self._progress.add_task("scoring", total=total, note="")
        self._progress.update(self._bar, completed=done, note=f"{done:,} of {total:,} rows")

    def on_epoch(self, record: EpochRecord) -> None:
        """A line per epoch."""
        self._clear()
        self.num_epochs += 1
        if self._quiet:
            return
        if self.num_epochs == 1:
            err.print(f"[dim]metric: {self._metric}[/]")
            err.print("[dim]epoch  train_loss   val_loss  train_metric  val_metric  seconds[/]")
        mark = "  [green]best so far[/]" if record.is_best else ""
        err.print(
            f"{record.epoch:>5}  {_number(record.train_loss):>10}  {_number(record.val_loss):>9}  "
            f"{_number(record.train_metric):>12}  {_number(record.val_metric):>10}  {record.elapsed_s:>7.1f}{mark}"
        )

    def _clear(self) -> None:
        if self._bar is not None:
            self._progress.remove_task(self._bar)
            self._bar = None


def show_scoreboard(rows: Sequence[Any], metric: str, verdict: str = "") -> None:
    """Models beside their baselines: the task's metric with its intervals, another metric if there is room; verdict."""
    names = [n for n in rows[-1].val if any(math.isfinite(r.val.get(n, math.nan)) for r in rows)]
    splits = [s for s in ("val", "test") if any(finite(getattr(r, s)) for r in rows)]
    names = [metric, *(n for n in names if n != metric)][:2]
    model_width = max(len(r.model) for r in rows)
    spans = any(getattr(r, f"{s}_interval") is not None for r in rows for s in splits)
    forms = [(names, spans, True), (names[:1], spans, True), (names[:1], False, True), (names[:1], False, False)]
    for shown, with_spans, with_seconds in forms:  # as much as fits
        cells = [[_score(r, s, n, with_spans and n == metric) for r in rows] for s in splits for n in shown]
        heads = [f"{s}\n{n}" for s in splits for n in shown]
        widths = [max(map(len, [*column, *head.split("\n")])) for column, head in zip(cells, heads, strict=True)]
        if _table_width([model_width, *widths, *([len("seconds")] if with_seconds else [])]) <= out.width:
            break
    table = _table("Scoreboard")
    table.add_column("model", no_wrap=True)
    for head in heads:
        table.add_column(head, justify="right", no_wrap=True)
    if with_seconds:
        table.add_column("seconds", justify="right")
    for i, row in enumerate(rows):
        style = "bold" if row.model == rows[-1].model else ""
        seconds = [f"{row.seconds:.1f}"] if with_seconds else []
        table.add_row(row.model, *(column[i] for column in cells), *seconds, style=style)
    out.print(table)
    if verdict:
        out.print(verdict, markup=False, style="bold")


def _score(row: Any, split: str, name: str, with_span: bool) -> str:
    """A metric, and its interval in short."""
    text, span = _number(getattr(row, split).get(name, math.nan)), getattr(row, f"{split}_interval")
    return f"{text} \\[{span[0]:.3f}, {span[1]:.3f}]" if with_span and span is not None else text


def _table(title: str | None) -> Table:
    return Table(
        title=Text(title, style="table.title") if title else None,
        title_justify="left",
        header_style="bold",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )


def _table_width(columns: Iterable[int]) -> int:
    """Characters a table of columns of these widths takes."""
    widths = list(columns)
    return sum(widths) + 3 * len(widths) - 1


def finite(values: Mapping[str, float]) -> dict[str, float]:
    """The metrics that have a value."""
    return {k: v for k, v in values.items() if v is not None and math.isfinite(v)}


def _say(console: Console, text: str, style: str, label: str) -> None:
    """A labelled text. A terminal gets words wrapped at its edge, a file gets lines as they are."""
    console.print(f"[{style}]{label}[/]", end="")
    console.print(text, markup=False, soft_wrap=not console.is_terminal)


def _number(value: float) -> str:
    return f"{value:.4f}" if math.isfinite(value) else "-"


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:,.1f}" if math.isfinite(value) and abs(value) >= 1000 else _number(value)
    if isinstance(value, list | tuple):
        more = ", …" if len(value) > 4 else ""
        return "[" + ", ".join(_cell(v) for v in value[:4]) + more + "]"
    if hasattr(value, "strftime"):
        return str(value).removesuffix(" 00:00:00").partition("+")[0].partition(".")[0]
    return str(value)


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def _text(value: Any) -> Any:
    """A value JSON doesn't know."""
    if hasattr(value, "isoformat"):
        return value.isoformat()
    return value.item() if hasattr(value, "item") else str(value)


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return value
