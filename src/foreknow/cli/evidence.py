"""Questions and evidence of schema inference, as a person reads them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich import box
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from foreknow.cli.console import out
from foreknow.errors import ConfigError, did_you_mean
from foreknow.schema.evidence import Proposal, Ranking
from foreknow.schema.question import Question, answer_lines

if TYPE_CHECKING:
    from foreknow.database import Inspection

__all__ = ["open_questions", "resolve", "show_evidence", "show_questions"]

MAX_TABLES = 4  # named in a question; the others are counted
WHAT = {"key": "key", "link": "link", "time": "time column", "type": "type"}


def resolve(found: Inspection, name: str) -> tuple[str, str | None]:
    """A table, and perhaps a column, from ``TABLE`` or ``TABLE.COLUMN``; both may hold dots.

    Raises:
        ConfigError: There is neither, or nothing was inferred.
    """
    if found.inference is None:
        raise ConfigError(
            "there is no evidence to show: a project file says what the tables mean",
            hint="inspect its source instead: foreknow inspect SOURCE --why TABLE",
        )
    if name in found.schema:
        return name, None
    for i in [i for i, c in enumerate(name) if c == "."]:
        table, column = name[:i], name[i + 1 :]
        if table in found.schema and column in found.schema[table]:
            return table, column
        if table in found.schema:
            hint = did_you_mean(column, found.schema[table].column_names, "columns")
            raise ConfigError(f"--why {name}: table '{table}' has no column '{column}'", hint=hint)
    hint = did_you_mean(name.partition(".")[0], found.schema.tables, "tables")
    raise ConfigError(f"--why {name}: there is no such table", hint=hint)


def show_questions(questions: Sequence[Question]) -> None:
    """What inference can't settle, with the answers as they are written in ``foreknow.yaml``."""
    if not questions:
        return
    number = f"{len(questions)} question{'' if len(questions) == 1 else 's'}"
    out.print(
        Text.assemble(
            "\n", (number, "bold"), " for you: answer in foreknow.yaml, or let --yes take what is likelier than not."
        )
    )
    for i, q in enumerate(questions, start=1):
        out.print(Text.assemble("\n", (f"{i}. {_listed(q.tables)}: ", "bold"), q.text))
        grid = Table.grid(padding=(0, 2))
        grid.add_column(justify="right", no_wrap=True)
        grid.add_column(overflow="fold")
        for answer in q.answers:
            said = Text("\n".join(answer.lines))
            said.append(f"\n{answer.why}", style="dim")
            grid.add_row(f"{answer.confidence:.2f}", said)
        if q.taken is None:
            grid.add_row("", Text("or leave it out, as --yes does: it is no likelier than not", style="dim"))
        out.print(Padding(grid, (0, 0, 0, 3)))
    out.print()


def open_questions(count: int, target: Path) -> str:
    """What to say of questions left open in a file."""
    if not count:
        return ""
    what = "1 question is" if count == 1 else f"{count} questions are"
    return (
        f" {what} left open in it, as comments: uncomment an answer each"
        f" (a table without time is visible to every prediction). To take the best of each: --yes --overwrite."
    )


def show_evidence(found: Inspection, asked: Sequence[tuple[str, str | None]]) -> None:
    """The proposals for tables or columns, with every reason and its weight."""
    assert found.inference is not None
    for table, column in asked:
        rankings = found.inference.of(table, column)
        shown = [r for r in rankings if r.subject != "type" or column is not None]
        for ranking in shown:
            _show_ranking(ranking)
        if column is None:
            _show_types(found, table, [r for r in rankings if r.subject == "type"])


def _show_ranking(ranking: Ranking) -> None:
    of = f" of {', '.join(ranking.columns)}" if ranking.columns else ""
    title = Text.assemble((f"{ranking.table}: {WHAT[ranking.subject]}{of}", "bold"))
    if not ranking.proposals:
        out.print(title.append("  nothing proposed", style="dim"))
        out.print()
        return
    table = Table(title=title, title_justify="left", header_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("sure", justify="right", no_wrap=True)
    table.add_column("proposal", overflow="fold", ratio=2)
    table.add_column("weight", justify="right", no_wrap=True)
    table.add_column("evidence", overflow="fold", ratio=3)
    for i, p in enumerate(ranking.proposals):
        _add_proposal(table, ranking, p, taken=i == 0 and ranking.best is not None)
    out.print(table)


def _add_proposal(table: Table, ranking: Ranking, p: Proposal, *, taken: bool) -> None:
    reasons = sorted(p.reasons, key=lambda r: (r.kind != "declared", -abs(r.weight)))
    said = Text("\n".join(answer_lines(ranking, p)))
    if taken:
        said.append("\ntaken" + (", but asked about" if ranking.is_open else ""), style="green")
    elif ranking.is_open and p is ranking.proposals[0]:
        said.append("\nasked about, not taken", style="yellow")
    for i, r in enumerate(reasons):
        weight = "" if r.kind == "declared" else f"{r.weight:+.1f}"
        first = (f"{p.confidence:.2f}", said) if i == 0 else ("", "")
        table.add_row(*first, weight, Text(r.text), end_section=i == len(reasons) - 1)


def _show_types(found: Inspection, name: str, rankings: Sequence[Ranking]) -> None:
    table = Table(
        title=Text(f"{name}: types", style="bold"),
        title_justify="left",
        header_style="bold",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    table.add_column("column", overflow="fold")
    table.add_column("means", no_wrap=True)
    table.add_column("sure", justify="right", no_wrap=True)
    table.add_column("evidence", overflow="fold")
    table.add_column("or else", overflow="fold")
    for r in rankings:
        column = found.schema[name][r.columns[0]]
        by_value = column.stype is r.proposals[0].value
        others = ", ".join(f"{p.value} {p.confidence:.2f}" for p in r.proposals[1:]) if by_value else ""
        sure = f"{r.proposals[0].confidence:.2f}" if by_value else ""
        why = found.reasons.get((name, column.name), "") if not by_value else r.proposals[0].why
        table.add_row(Text(column.name), str(column.stype), sure, Text(why), others)
    out.print(table)


def _listed(names: Sequence[str]) -> str:
    if len(names) <= MAX_TABLES:
        return ", ".join(names)
    return ", ".join(names[:MAX_TABLES]) + f" and {len(names) - MAX_TABLES} more tables"
