"""The command line. Each command reads its options, makes one call, shows the result.

With ``--json`` a command prints one JSON object on stdout; progress and logs always go to stderr. The exit status is
0 on success, 2 if the user can mend what went wrong, 1 otherwise, 130 after Ctrl-C.
"""

from __future__ import annotations

import sys

import typer

from foreknow.cli import demo, doctor, hm, inspect, mlflow, models, predict, train
from foreknow.cli.console import fail

app = typer.Typer(
    name="foreknow",
    help="Predict the future of the rows of a relational database, straight from its tables.\n\n"
    "[bold]First steps[/bold]\n\n"
    "  foreknow demo                          see the whole way on made-up shop data\n\n"
    "  foreknow inspect shop.duckdb --write   what the tables mean, written to foreknow.yaml\n\n"
    "  foreknow train Churn                   train a task of foreknow.yaml, live in MLflow\n\n"
    "  foreknow predict --run ID --into PREDICTIONS_CHURN",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("demo")(demo.demo)
app.command("inspect")(inspect.inspect)
app.command("task")(train.task)
app.command("train")(train.train)
app.command("evaluate")(predict.evaluate)
app.command("predict")(predict.predict)
app.add_typer(models.app, name="models")
app.command("mlflow")(mlflow.mlflow)
app.add_typer(hm.app, name="hm")
app.command("doctor")(doctor.doctor)


def main() -> None:
    """Run the command line; turn our errors into messages and exit statuses."""
    from foreknow.errors import ForeknowError

    try:
        app(standalone_mode=True)
    except ForeknowError as e:
        sys.exit(fail(e, as_json="--json" in sys.argv))
    except KeyboardInterrupt:
        sys.stderr.write("\ninterrupted\n")
        sys.exit(130)
