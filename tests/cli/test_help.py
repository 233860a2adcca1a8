"""Every command explains itself, on a terminal of 80 columns."""

import inspect
import re
import shlex

import pytest
import typer

from foreknow.cli import HELP, app


def commands():
    """Words of every command, and its help."""

    def walk(group, words):
        for command in group.registered_commands:
            yield [*words, command.name or command.callback.__name__], inspect.cleandoc(command.callback.__doc__)
        for inner in group.registered_groups:
            yield from walk(inner.typer_instance, [*words, inner.name])

    return list(walk(app, []))


COMMANDS = commands()


def examples(text):
    """Lines after the heading, each a command to type."""
    lines = text.partition("[bold]Examples[/bold]")[2].splitlines()
    return [line.strip() for line in lines if line.strip()]


def test_every_command_is_here():
    assert {" ".join(words) for words, _ in COMMANDS} == {
        *("demo", "inspect", "task", "audit", "train", "evaluate", "predict", "mlflow", "doctor"),
        *("models list", "models register", "hm generate", "hm import", "up", "status", "down"),
        *(f"jobs {name}" for name in ("list", "show", "logs", "submit", "cancel", "retry")),
    }


@pytest.mark.parametrize(("words", "text"), COMMANDS, ids=[" ".join(w) for w, _ in COMMANDS])
def test_help_teaches_with_examples(words, text, foreknow, narrow):
    done = foreknow(*words, "--help")
    assert done.status == 0
    assert done.err == ""
    shown = [line.strip() for line in done.out.splitlines()]
    assert len(examples(text)) >= 2
    for example in examples(text):
        assert example in shown, "an example stands on a line of its own, whole"
        assert example.startswith(f"foreknow {' '.join(words)}")
    for line in text.partition("[bold]Examples")[0].splitlines():
        assert line.strip() in shown, "prose is not wrapped anew"
    assert all(len(line) <= 80 for line in done.out.splitlines())
    assert "<bool>" not in re.sub(r"--help.*<bool>", "", done.out)


@pytest.mark.parametrize(("words", "text"), COMMANDS, ids=[" ".join(w) for w, _ in COMMANDS])
def test_examples_can_be_parsed(words, text):
    """Options in examples exist, required ones are given."""
    command = typer.main.get_command(app)
    for example in examples(text):
        arguments = shlex.split(example)[1:]
        found = command
        while hasattr(found, "commands"):
            found = found.commands[arguments.pop(0)]
        found.make_context(example, arguments, resilient_parsing=False)


def test_first_steps(foreknow, narrow):
    done = foreknow("--help")
    for line in re.sub(r"\[/?\w+\]", "", HELP).splitlines():
        assert line.strip() in [shown.strip() for shown in done.out.splitlines()]
    assert foreknow("-h").out == done.out


def test_parameters_are_listed_with_defaults_and_meanings(foreknow, narrow):
    done = foreknow("train", "--parameters")
    assert done.status == 0
    text = " ".join(done.out.split())
    assert "epochs 10 passes over the training rows" in text
    assert "num_neighbors [128, 64] children drawn per row and link" in text
    assert all(len(line.rstrip()) <= 80 for line in done.out.splitlines())
