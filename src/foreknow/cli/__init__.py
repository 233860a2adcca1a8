"""The command line. Each command reads its options, makes one call, shows the result.

With ``--json`` a command prints one JSON object on stdout, an error too; progress and logs always go to stderr. The
exit status is 0 on success, 2 if the user can mend what went wrong, 1 otherwise, 130 after Ctrl-C.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from typing import Any

import typer

from foreknow.cli import audit, demo, doctor, hm, inspect, jobs, mlflow, models, predict, train, up
from foreknow.cli.console import fail, fail_otherwise, show_logs

HELP = """\
Predict the future of the rows of a relational database, from its tables.

[bold]First steps[/bold]

  [cyan]foreknow demo[/cyan]
      the whole way on made-up shop data, in about a minute
  [cyan]foreknow inspect shop.duckdb --write[/cyan]
      what the tables mean, written to foreknow.yaml for you to edit
  [cyan]foreknow audit Churn[/cyan]
      does anything tell the answer before its time?
  [cyan]foreknow train Churn[/cyan]
      train a task of foreknow.yaml, live in MLflow
  [cyan]foreknow predict --run RUN_ID --into PREDICTIONS_CHURN[/cyan]
      write predictions into a table of the database

Each command explains itself: foreknow train --help
"""

app = typer.Typer(
    name="foreknow",
    help=HELP,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("demo")(demo.demo)
app.command("inspect")(inspect.inspect)
app.command("task")(train.task)
app.command("audit")(audit.audit)
app.command("train")(train.train)
app.command("evaluate")(predict.evaluate)
app.command("predict")(predict.predict)
app.add_typer(models.app, name="models")
app.command("up")(up.up)
app.command("status")(up.status)
app.command("down")(up.down)
app.add_typer(jobs.app, name="jobs")
app.command("mlflow")(mlflow.mlflow)
app.add_typer(hm.app, name="hm")
app.command("doctor")(doctor.doctor)

INTERRUPTED = 130
USAGE_ERRORS: Any = typer.BadParameter.__bases__  # Typer exports the leaf; its base is every wrong use of a command


def main() -> None:
    """Run the command line as a program."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one command; turn errors into messages. Returns the exit status."""
    from foreknow.errors import ForeknowError

    as_json = "--json" in arguments
    show_logs()
    if not sys.warnoptions:
        warnings.simplefilter("ignore")  # what libraries tell each other; what a user must know is a finding or a log
    try:
        status = app(args=list(arguments), prog_name="foreknow", standalone_mode=False)
    except USAGE_ERRORS as e:
        from typer.rich_utils import rich_format_error

        rich_format_error(e)
        return fail_otherwise("UsageError", e.format_message(), as_json=as_json, status=2)
    except ForeknowError as e:
        return fail(e, as_json=as_json)
    except typer.Abort:
        status = INTERRUPTED
    except Exception as e:  # a bug of ours: show where, and keep the promise of one JSON object
        import traceback

        traceback.print_exc()
        sys.stderr.write("\nThis is a bug in foreknow. Please report it with the lines above.\n")
        return fail_otherwise(type(e).__name__, str(e), as_json=as_json, status=1)
    if status == INTERRUPTED:
        sys.stderr.write("\ninterrupted\n")
        return fail_otherwise("Interrupted", "interrupted", as_json=as_json, status=INTERRUPTED)
    return int(status or 0)
