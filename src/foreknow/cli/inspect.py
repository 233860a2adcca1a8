"""``foreknow inspect``: what the tables of a database mean."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from foreknow.cli.console import JsonOption, err, open_project, out, print_json, show_findings
from foreknow.errors import ConfigError


def inspect(
    source: Annotated[
        Path, typer.Argument(help="A DuckDB file, a folder of CSV or Parquet files, or a project file.")
    ] = Path("."),
    write: Annotated[bool, typer.Option("--write", "-w", help="Write the proposal to foreknow.yaml.")] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Where to write it.", show_default="./foreknow.yaml")
    ] = None,
    diagram: Annotated[Path | None, typer.Option(help="Draw the schema to this .svg file.")] = None,
    columns: Annotated[bool, typer.Option("--columns", "-c", help="List every column with the reason.")] = False,
    overwrite: Annotated[bool, typer.Option(help="Replace a project file that exists.")] = False,
    json: JsonOption = False,
) -> None:
    """Propose types, keys, links and time columns; draw them; write foreknow.yaml.

    Nothing in the database is changed. Edit the written file as you like: what it says goes.

    [bold]Examples[/bold]

      foreknow inspect shop.duckdb

      foreknow inspect exports/ --columns --diagram schema.svg

      foreknow inspect shop.duckdb --write
    """
    target = output or Path("foreknow.yaml")
    if (write or output is not None) and target.exists() and not overwrite:
        raise ConfigError(
            f"'{target}' exists already and is left as it is", hint="write elsewhere with --output, or --overwrite it"
        )
    database = open_project(source)
    if not json:
        database.progress = lambda text: err.print(f"[dim]{text}[/]")
    found = database.inspect()
    dangling = found.dangling
    if diagram is not None:
        database.diagram(diagram)
    if write or output is not None:
        target.write_text(database.to_yaml())
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
                "findings": [f.to_dict() for f in found.notes],
                "written": str(target) if write or output is not None else None,
            }
        )
        return
    table = Table(header_style="bold")
    for name, justify in (("table", "left"), ("rows", "right"), ("columns", "right"), ("key", "left")):
        table.add_column(name, justify=justify)  # type: ignore[arg-type]
    table.add_column("time")
    table.add_column("links (share dangling)")
    for t in found.schema:
        links = [
            f"{k.name} → {k.table}"
            + (f" ({dangling[t.name, k.name]:.2%})" if dangling.get((t.name, k.name), 0) > 0 else "")
            for k in t.foreign_keys
        ]
        rows = found.row_counts.get(t.name, 0)
        table.add_row(
            t.name,
            f"{rows:,}",
            str(len(t.columns)),
            ", ".join(t.primary_key) or "-",
            t.time_column or "-",
            "\n".join(links) or "-",
        )
    out.print(table)
    if columns:
        for t in found.schema:
            detail = Table(title=t.name, title_justify="left", header_style="bold")
            for name in ("column", "stored as", "means", "why"):
                detail.add_column(name)
            for c in t.columns:
                detail.add_row(c.name, c.dtype, str(c.stype), found.reasons.get((t.name, c.name), ""))
            out.print(detail)
    out.print(database.describe(), markup=False)
    for name, why in found.left_out.items():
        out.print(f"left out: {name} ({why})", markup=False)
    show_findings(f for f in found.notes if columns or f.severity != "info")
    if diagram is not None:
        out.print(f"drawn: {diagram}")
    if write or output is not None:
        out.print(f"written: {target}. Edit it, then: foreknow train TASK")
    else:
        out.print("[dim]write this to foreknow.yaml with --write; list every column with --columns[/]")
