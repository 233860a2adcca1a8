"""``foreknow inspect``: what the tables of a database mean."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.table import Table
from rich.text import Text

from foreknow.cli.console import (
    JsonOption,
    console_width,
    err,
    open_project,
    out,
    print_json,
    show_findings,
)
from foreknow.cli.evidence import open_questions, resolve, show_evidence, show_questions
from foreknow.errors import ConfigError


def inspect(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="SOURCE",
            help="A DuckDB file, a folder of CSV or Parquet files, or a project file.",
            show_default="the working directory",
        ),
    ] = Path("."),
    write: Annotated[
        bool, typer.Option("--write", "-w", help="Write the proposal to foreknow.yaml.", metavar="")
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Where to write it.", show_default="./foreknow.yaml"),
    ] = None,
    diagram: Annotated[Path | None, typer.Option(metavar="FILE", help="Draw the schema to this .svg file.")] = None,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Take the best answer to every question.", metavar="")
    ] = False,
    why: Annotated[
        list[str] | None,
        typer.Option(metavar="TABLE[.COLUMN]", help="Show the evidence for one table or column. Repeatable."),
    ] = None,
    columns: Annotated[
        bool, typer.Option("--columns", "-c", help="List every column with the reason.", metavar="")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a project file that exists.", metavar="")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Propose types, keys, links and time columns; write foreknow.yaml.

    Nothing in the database is changed. Edit the written file as you like:
    what it says goes. What can't be settled is asked: a file written without
    --yes leaves it out, with the answers to choose from as comments.

    [bold]Examples[/bold]

      foreknow inspect shop.duckdb
      foreknow inspect exports/ --columns --diagram schema.svg
      foreknow inspect shop.duckdb --why orders.customer_id
      foreknow inspect shop.duckdb --write --yes
    """
    target = output or Path("foreknow.yaml")
    write = write or output is not None
    if why and write:
        raise ConfigError("--why only shows evidence and writes nothing", hint="leave out --write and --output")
    if write and target.exists() and not overwrite:
        raise ConfigError(
            f"'{target}' exists already and is left as it is", hint="write elsewhere with --output, or --overwrite it"
        )
    if diagram is not None and diagram.suffix.lower() != ".svg":
        raise ConfigError(f"'{diagram}' is no name for a drawing", hint="diagrams are SVG: --diagram schema.svg")
    database = open_project(source)
    if not json:
        database.progress = lambda text: err.print(text, style="dim", markup=False, soft_wrap=True)
    found = database.inspect()
    asked = [resolve(found, name) for name in why or ()]
    dangling = found.dangling
    if diagram is not None:
        diagram.parent.mkdir(parents=True, exist_ok=True)
        database.diagram(diagram)
    if write:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(database.to_yaml(folder=target.parent, guess=yes), encoding="utf-8")
    if json:
        print_json(
            {
                "dataset": database.dataset,
                "source": database.source.uri,
                "tables": {
                    t.name: {
                        **t.to_dict(),
                        "rows": found.row_counts.get(t.name),
                        "dangling": {k.name: dangling.get((t.name, k.name)) for k in t.foreign_keys},
                        "reasons": {c: r for (name, c), r in found.reasons.items() if name == t.name},
                    }
                    for t in found.schema
                },
                "left_out": dict(found.left_out),
                **(found.inference.to_dict() if found.inference is not None else {"rankings": [], "questions": []}),
                "findings": [f.to_dict() for f in found.notes],
                "diagram": str(diagram) if diagram is not None else None,
                "written": str(target) if write else None,
            }
        )
        return
    if asked:
        show_evidence(found, asked)
        return
    out.print(database.describe(width=console_width()), markup=False, soft_wrap=True)
    if columns:
        for t in found.schema:
            detail = Table(
                title=Text(t.name), title_justify="left", header_style="bold", box=box.SIMPLE_HEAD, pad_edge=False
            )
            for name in ("column", "stored as", "means", "why"):
                detail.add_column(name, overflow="fold")
            for c in t.columns:
                detail.add_row(*map(Text, (c.name, c.dtype, str(c.stype), found.reasons.get((t.name, c.name), ""))))
            out.print(detail)
    for name, reason in found.left_out.items():
        out.print(f"left out: {name} ({reason})", markup=False, soft_wrap=True)
    show_findings(f for f in found.notes if (columns or f.severity != "info") and not f.name.startswith("ambiguous-"))
    if diagram is not None:
        out.print(f"drawn: {diagram}", markup=False, soft_wrap=True)
    if not yes:
        show_questions(found.questions)
    if write:
        left = "" if yes else open_questions(len(found.questions), target)
        out.print(f"written: {target}.{left} Add tasks to it, then: foreknow train TASK", markup=False, soft_wrap=True)
    elif database.project.path is None:
        out.print("[dim]--write puts this into foreknow.yaml; --columns lists every column;[/]")
        out.print("[dim]--why TABLE shows the evidence[/]")
