"""``foreknow predict`` and ``foreknow evaluate``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from foreknow.cli.console import JsonOption, ProjectOption, TerminalReporter, open_project, out, print_json, show_rows

RunOption = Annotated[str | None, typer.Option("--run", help="Run whose model to use.", metavar="RUN_ID")]
ModelOption = Annotated[
    str | None, typer.Option("--model", "-m", help="Registered model: models:/NAME/VERSION or NAME@ALIAS.")
]


def predict(
    into: Annotated[str, typer.Option("--into", help="Name of the table to write, e.g. PREDICTIONS_CHURN.")],
    project: ProjectOption = Path("."),
    run: RunOption = None,
    model: ModelOption = None,
    table: Annotated[
        str | None, typer.Option(help="Predict for the rows of this task table, or of this SQL.", metavar="NAME|SQL")
    ] = None,
    at: Annotated[
        str | None, typer.Option(help="Predict for all entities at this time, e.g. 2020-09-22.", metavar="TIMESTAMP")
    ] = None,
    to: Annotated[
        Path | None, typer.Option(help="Write here instead: a DuckDB file, or a folder for Parquet files.")
    ] = None,
    embeddings: Annotated[bool, typer.Option("--embeddings", help="Write the entities' vectors too.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace tables that exist.")] = False,
    batch_size: Annotated[int, typer.Option(help="Entities scored at once.")] = 512,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    json: JsonOption = False,
) -> None:
    """Write predictions into a table of the database.

    Without --table and --at the task's own test table is predicted. Rows added since training are used: each
    prediction sees the past up to its own time. A table that exists is refused before any work is done.

    [bold]Examples[/bold]

      foreknow predict --run 0c3e4634f3e6 --into PREDICTIONS_CHURN

      foreknow predict --model churn@champion --at 2020-09-22 --into PREDICTIONS_NEXT_WEEK --embeddings
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
    show_rows(done.head)
    for where in done.tables.values():
        out.print(f"written: {where} ({done.num_rows:,} rows)", soft_wrap=True)
    if done.metrics:
        out.print("labels are known: " + ", ".join(f"{k} {v:.4f}" for k, v in done.metrics.items()))


def evaluate(
    project: ProjectOption = Path("."),
    run: RunOption = None,
    model: ModelOption = None,
    split: Annotated[str, typer.Option(help="train, validation or test.")] = "test",
    table: Annotated[str | None, typer.Option(help="Score this labelled table or SQL instead.")] = None,
    json: JsonOption = False,
) -> None:
    """Score a trained model on labelled rows, on the database as it is now. Writes nothing.

    [bold]Example[/bold]

      foreknow evaluate --model churn@champion
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
    show_rows([{"metric": k, split: v} for k, v in metrics.items()])
