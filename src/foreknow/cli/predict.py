"""``foreknow predict`` and ``foreknow evaluate``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from foreknow.cli.console import (
    JsonOption,
    ProjectOption,
    TerminalReporter,
    finite,
    open_project,
    out,
    print_json,
    show_predictions,
    show_rows,
)

RunOption = Annotated[str | None, typer.Option("--run", help="Run whose model to use.", metavar="RUN_ID")]
ModelOption = Annotated[
    str | None, typer.Option("--model", "-m", metavar="MODEL", help="Registered model: NAME@ALIAS or NAME/VERSION.")
]


def predict(
    into: Annotated[
        str, typer.Option("--into", metavar="NAME", help="Name of the table to write, e.g. PREDICTIONS_CHURN.")
    ],
    project: ProjectOption = Path("."),
    run: RunOption = None,
    model: ModelOption = None,
    table: Annotated[
        str | None, typer.Option(help="Predict for the rows of this task table, or of this SQL.", metavar="NAME|SQL")
    ] = None,
    at: Annotated[
        str | None, typer.Option(help="Predict for all entities at this time, e.g. 2020-09-22.", metavar="TIME")
    ] = None,
    to: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="Write here instead: a DuckDB file, or a folder for Parquet files."),
    ] = None,
    embeddings: Annotated[
        bool, typer.Option("--embeddings", help="Write the entities' vectors too.", metavar="")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace prediction tables that exist.", metavar="")
    ] = False,
    batch_size: Annotated[int, typer.Option(metavar="N", min=1, help="Entities scored at once.")] = 512,
    device: Annotated[str, typer.Option(metavar="DEVICE", help="cpu or cuda.")] = "cpu",
    json: JsonOption = False,
) -> None:
    """Write predictions into a table of the database.

    Without --table and --at the task's own test table is predicted. Rows
    added since training are used: each prediction sees the past up to its own
    time. A table that exists is refused before any work is done.

    [bold]Examples[/bold]

      foreknow predict --run 0c3e4634f3e6 --into PREDICTIONS_CHURN
      foreknow predict --model churn@champion --at 2020-09-22 --into NEXT_WEEK
      foreknow predict --run 0c3e4634f3e6 --into CHURN --to results --embeddings
    """
    from foreknow import workflow

    database = open_project(project)
    with TerminalReporter(quiet=json) as reporter:
        done = workflow.predict(
            database,
            run_id=run,
            model=model,
            into=into,
            table=table,
            at=at,
            to=to,
            embeddings=embeddings,
            overwrite=overwrite,
            batch_size=batch_size,
            device=device,
            tracking_uri=os.environ.get("MLFLOW_TRACKING_URI"),
            reporter=reporter,
        )
    if json:
        print_json(
            {
                "tables": dict(done.tables),
                "rows": done.num_rows,
                "columns": list(done.columns),
                "head": list(done.head),
                "metrics": dict(done.metrics),
                "findings": [f.to_dict() for f in done.findings],
            }
        )
        return
    show_predictions(done.head, title=f"{into}: the first of {done.num_rows:,} rows")
    for where in done.tables.values():
        out.print(f"written: {where}", markup=False, soft_wrap=True)
    metrics = finite(done.metrics)
    if metrics:
        scores = ", ".join(f"{k} {v:.4f}" for k, v in metrics.items())
        out.print(f"scored against the labels that are known: {scores}", soft_wrap=True)


def evaluate(
    project: ProjectOption = Path("."),
    run: RunOption = None,
    model: ModelOption = None,
    split: Annotated[str, typer.Option(metavar="SPLIT", help="train, validation or test.")] = "test",
    table: Annotated[
        str | None, typer.Option(metavar="NAME|SQL", help="Score this labelled table or SQL instead.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Score a trained model on labelled rows, on the database as it is now.

    Writes nothing.

    [bold]Examples[/bold]

      foreknow evaluate --model churn@champion
      foreknow evaluate --run 0c3e4634f3e6 --split validation
    """
    from foreknow import workflow

    with TerminalReporter(quiet=json) as reporter:
        metrics = workflow.evaluate(
            open_project(project),
            run_id=run,
            model=model,
            split=split,
            table=table,
            tracking_uri=os.environ.get("MLFLOW_TRACKING_URI"),
            reporter=reporter,
        )
    if json:
        print_json({"split": table or split, "metrics": metrics})
        return
    show_rows([{"metric": k, "value" if table else split: v} for k, v in metrics.items()])
