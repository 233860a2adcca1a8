"""``foreknow hm``: H&M-shaped data, made up or real."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from foreknow.cli.console import JsonOption, err, out, print_json

app = typer.Typer(help="H&M-shaped shop data: made up (generate) or the real files (import).", no_args_is_help=True)


def _progress(text: str, share: float) -> None:
    err.print(f"[dim]{share:>4.0%} {text}[/]")


def _show(path: Path, rows: dict[str, int], json: bool) -> None:
    if json:
        print_json({"path": str(path), "rows": rows})
        return
    out.print(f"written: {path} (" + ", ".join(f"{n:,} {t}" for t, n in rows.items()) + ")", soft_wrap=True)
    out.print(f"next: foreknow inspect {path}", soft_wrap=True)


@app.command()
def generate(
    path: Annotated[Path, typer.Argument(help="DuckDB file to write.")] = Path("hm.duckdb"),
    size: Annotated[
        str,
        typer.Option(help="small (20k customers, 0.3M transactions), medium (100k, 3M) or large (1.37M, 31.8M)."),
    ] = "small",
    seed: Annotated[int, typer.Option(help="The same seed gives the same data.")] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file if it exists.")] = False,
    json: JsonOption = False,
) -> None:
    """Make a shop database with the tables and columns of the H&M data.

    Popularity, seasons, repeat purchases and churn that depends on behaviour and articles are planted in it.
    """
    from foreknow.demo import hm

    _show(path, hm.generate(path, size=size, seed=seed, progress=_progress, overwrite=overwrite), json)


@app.command("import")
def import_(
    folder: Annotated[Path, typer.Argument(help="Folder with customers.csv, articles.csv, transactions_train.csv.")],
    path: Annotated[Path, typer.Argument(help="DuckDB file to write.")] = Path("hm.duckdb"),
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file if it exists.")] = False,
    json: JsonOption = False,
) -> None:
    """Read the real Kaggle files into DuckDB; article ids keep their leading zero."""
    from foreknow.demo import hm

    _show(path, hm.import_kaggle(folder, path, progress=_progress, overwrite=overwrite), json)
