"""``foreknow hm``: H&M-shaped data, made up or real."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from foreknow.cli.console import JsonOption, err, out, print_json
from foreknow.errors import SinkError

app = typer.Typer(help="H&M-shaped shop data: made up (generate) or the real files (import).", no_args_is_help=True)

OverwriteOption = Annotated[bool, typer.Option("--overwrite", help="Replace the database if it exists.", metavar="")]


def _progress(text: str, share: float) -> None:
    err.print(f"[dim]{share:>4.0%} {text}[/]")


def _check(path: Path, overwrite: bool) -> None:
    """Refuse an existing file in the words of the command line."""
    if path.exists() and not overwrite:
        raise SinkError(f"'{path}' exists already and is left as it is", hint="choose another path, or use --overwrite")


def _show(path: Path, rows: dict[str, int], json: bool) -> None:
    if json:
        print_json({"path": str(path), "rows": rows})
        return
    out.print(
        f"written: {path} (" + ", ".join(f"{n:,} {t}" for t, n in rows.items()) + ")", markup=False, soft_wrap=True
    )
    out.print(f"next: foreknow inspect {shlex.quote(str(path))}", markup=False, soft_wrap=True)


@app.command()
def generate(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="DuckDB file to write.")] = Path("hm.duckdb"),
    size: Annotated[
        str,
        typer.Option(
            metavar="SIZE", help="small (20k customers, 0.3M transactions), medium (100k, 3M) or large (1.37M, 31.8M)."
        ),
    ] = "small",
    seed: Annotated[int, typer.Option(metavar="N", help="The same seed gives the same data.")] = 0,
    overwrite: OverwriteOption = False,
    json: JsonOption = False,
) -> None:
    """Make a shop database with the tables and columns of the H&M data.

    Popularity, seasons, repeat purchases, and churn that depends on behaviour
    and articles are planted in it.

    [bold]Examples[/bold]

      foreknow hm generate
      foreknow hm generate shop.duckdb --size medium --seed 7
    """
    from foreknow.demo import hm

    _check(path, overwrite)
    _show(path, hm.generate(path, size=size, seed=seed, progress=_progress, overwrite=overwrite), json)


@app.command("import")
def import_(
    folder: Annotated[
        Path,
        typer.Argument(metavar="FOLDER", help="Holds customers.csv, articles.csv and transactions_train.csv."),
    ],
    path: Annotated[Path, typer.Argument(metavar="FILE", help="DuckDB file to write.")] = Path("hm.duckdb"),
    overwrite: OverwriteOption = False,
    json: JsonOption = False,
) -> None:
    """Read the real Kaggle files into DuckDB.

    Article ids keep their leading zero. The files may be compressed (.csv.gz).

    [bold]Examples[/bold]

      foreknow hm import ~/Downloads/h-and-m
      foreknow hm import ~/Downloads/h-and-m shop.duckdb --overwrite
    """
    from foreknow.demo import hm

    _check(path, overwrite)
    _show(path, hm.import_kaggle(folder, path, progress=_progress, overwrite=overwrite), json)
