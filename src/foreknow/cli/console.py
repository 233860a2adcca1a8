"""What a person sees while work goes on, and how results and errors are printed."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from foreknow.errors import (
    ConfigError,
    Finding,
    ForeknowError,
    MissingExtraError,
    PredictionError,
    SchemaError,
    SinkError,
    SourceError,
    TaskError,
)

if TYPE_CHECKING:
    from foreknow.database import Database
    from foreknow.train.loop import EpochRecord

__all__ = ["JsonOption", "ProjectOption", "TerminalReporter", "fail", "open_project", "out", "print_json", "show_rows"]

PLAIN_WIDTH = 120  # columns if the output goes to a file or a pipe


def _console(*, stderr: bool) -> Console:
    console = Console(stderr=stderr, highlight=False)
    return console if console.is_terminal else Console(stderr=stderr, highlight=False, width=PLAIN_WIDTH)


err = _console(stderr=True)
out = _console(stderr=False)

MENDABLE = (ConfigError, SchemaError, SourceError, TaskError, SinkError, PredictionError, MissingExtraError)

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout instead of text.")]
ProjectOption = Annotated[
    Path,
    typer.Option(
        "--project",
        "-p",
        help="Project file (foreknow.yaml), the folder it is in, or a database without one.",
        show_default="the working directory",
    ),
]


def open_project(where: Path) -> Database:
    """Open the database a command works on; ``FOREKNOW_HOME`` moves its workspace."""
    from foreknow.api import open as open_

    return open_(where)


def print_json(value: Any) -> None:
    """One JSON object on stdout; numbers JSON doesn't know become null."""
    sys.stdout.write(json.dumps(_plain(value), indent=1, default=str) + "\n")
    sys.stdout.flush()


def fail(error: ForeknowError, *, as_json: bool) -> int:
    """Print an error; returns the exit status."""
    if as_json:
        findings = [f.to_dict() for f in error.findings]
        print_json({"error": {"type": type(error).__name__, "message": str(error), "findings": findings}})
    err.print(f"[bold red]{type(error).__name__}[/]: ", end="")
    err.print(str(error), markup=False)
    return 2 if isinstance(error, MENDABLE) else 1


def show_rows(rows: Sequence[Mapping[str, Any]], *, title: str | None = None) -> None:
    """A small table of plain values."""
    if not rows:
        return
    table = Table(title=title, title_justify="left", header_style="bold")
    for name in rows[0]:
        table.add_column(name, overflow="ellipsis", no_wrap=True, max_width=24)
    for row in rows:
        table.add_row(*(_cell(v) for v in row.values()))
    out.print(table)


def show_findings(findings: Iterable[Finding]) -> None:
    """Warnings and errors, a line each, with their hints."""
    for f in findings:
        colour = {"error": "red", "warning": "yellow", "info": "dim"}[f.severity]
        err.print(f"[{colour}]{f.severity}[/] ", end="")
        err.print(str(f), markup=False)


class TerminalReporter:
    """Shows stages, a progress bar with time left, and a line per epoch. Plain lines if stderr is no terminal."""

    def __init__(self, *, quiet: bool = False, metric: str = "metric") -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self._quiet, self._metric = quiet, metric
        self._progress = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=28),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
            TimeRemainingColumn(compact=True, elapsed_when_finished=True),
            console=err,
            transient=True,
            disable=quiet or not err.is_terminal,
        )
        self._bar: Any = None
        self._epochs_shown = False

    def __enter__(self) -> TerminalReporter:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def stage(self, text: str) -> None:
        """A new stage: the bar of the last one goes."""
        self._clear()
        if self._quiet:
            return
        if err.is_terminal:
            self._bar = self._progress.add_task(text, total=None, note="")
        else:
            err.print(text, markup=False)

    def finding(self, finding: Finding) -> None:
        """Shown at once."""
        if not self._quiet:
            show_findings([finding])

    def run_started(self, run_name: str, url: str | None, num_parameters: int) -> None:
        """Where to watch."""
        self._clear()
        if not self._quiet:
            err.print(f"[bold green]run {run_name}[/] ({num_parameters:,} parameters)")
            if url:
                err.print(f"watch it: {url}", soft_wrap=True)

    def on_step(self, epoch: int, step: int, num_steps: int, loss: float) -> None:
        """Move the bar."""
        if self._quiet or not err.is_terminal:
            return
        if self._bar is None or self._progress.tasks[-1].description != f"epoch {epoch}":
            self._clear()
            self._bar = self._progress.add_task(f"epoch {epoch}", total=num_steps, note="")
        self._progress.update(self._bar, completed=step, note=f"loss {loss:.4f}")

    def on_evaluate(self, done: int, total: int) -> None:
        """Move the bar."""
        if self._quiet or not err.is_terminal:
            return
        if self._bar is None or self._progress.tasks[-1].description != "scoring":
            self._clear()
            self._bar = self._progress.add_task("scoring", total=total, note="")
        self._progress.update(self._bar, completed=done)

    def on_epoch(self, record: EpochRecord) -> None:
        """A line per epoch."""
        self._clear()
        if self._quiet:
            return
        if not self._epochs_shown:
            self._epochs_shown = True
            name = self._metric
            err.print(
                f"[dim]{'epoch':>5}  {'train_loss':>10}  {'val_loss':>9}  {'train ' + name:>24}  "
                f"{'val ' + name:>22}  {'seconds':>7}[/]"
            )
        mark = " [green]best so far[/]" if record.is_best else ""
        err.print(
            f"{record.epoch:>5}  {record.train_loss:>10.4f}  {record.val_loss:>9.4f}  {record.train_metric:>24.4f}  "
            f"{record.val_metric:>22.4f}  {record.elapsed_s:>7.1f}{mark}"
        )

    def _clear(self) -> None:
        if self._bar is not None:
            self._progress.remove_task(self._bar)
            self._bar = None


def show_scoreboard(rows: Sequence[Any], metric: str) -> None:
    """Models beside their baselines."""
    names = [n for n in rows[-1].val if any(math.isfinite(r.val.get(n, math.nan)) for r in rows)]
    names = [metric, *(n for n in names if n != metric)][:2]
    splits = [s for s in ("val", "test") if any(getattr(r, s) for r in rows)]
    table = Table(title="Scoreboard", title_justify="left", header_style="bold")
    table.add_column("model", no_wrap=True)
    for split in splits:
        for name in names:
            table.add_column(f"{split}\n{name}", justify="right")
    table.add_column("seconds", justify="right")
    for row in rows:
        style = "bold" if row.model == rows[-1].model else ""
        cells = [_number(getattr(row, s).get(n, math.nan)) for s in splits for n in names]
        table.add_row(row.model, *cells, f"{row.seconds:.1f}", style=style)
    out.print(table)


def _number(value: float) -> str:
    return f"{value:.4f}" if math.isfinite(value) else "-"


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4f}"
    if hasattr(value, "strftime"):
        return str(value).removesuffix(" 00:00:00").partition("+")[0].partition(".")[0]
    return str(value)


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return value
