"""``foreknow audit``: whether a task leaks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from foreknow.cli.console import (
    JsonOption,
    ProjectOption,
    TerminalReporter,
    open_task,
    out,
    print_json,
    show_findings,
    show_rows,
)

AllowOption = Annotated[
    list[str] | None,
    typer.Option(
        "--allow",
        metavar="FINDING",
        help="Let a finding of the leakage audit pass: NAME, NAME:table or NAME:table.column. Repeatable.",
    ),
]


def audit(
    name: Annotated[str, typer.Argument(metavar="TASK", help="Name of a task of the project file.")],
    project: ProjectOption = Path("."),
    allow: AllowOption = None,
    json: JsonOption = False,
) -> None:
    """Look for leaks in a task: whatever tells the answer before its time.

    The same is done before every training. Errors stop one, warnings are
    told. The exit status is 2 if there are errors.

    [bold]Examples[/bold]

      foreknow audit Churn
      foreknow audit Churn --allow lone-predictor:customers.tier
    """
    from foreknow import workflow

    bound = open_task(project, name)
    with TerminalReporter(quiet=json, metric=bound.task.metric) as reporter:
        report = workflow.audit(bound, allow=allow or (), reporter=reporter)
    if json:
        print_json(report.to_dict())
    else:
        shown = [f for f in report.findings if f.severity != "info"]
        told = [*shown, *(f for f in report.findings if f.severity == "info")]
        rows = [
            {"severity": f.severity, "finding": f.name, "table": f.table, "column": f.column, "rows": f.count}
            for f in told
        ]
        show_rows(rows, whole=("severity", "finding"))
        show_findings(shown)
        out.print(
            f"{name}: {report.summary()} ({report.num_rows:,} labelled rows looked at in {report.seconds:.1f} s)",
            markup=False,
            soft_wrap=True,
        )
    if report.errors:
        raise typer.Exit(2)
