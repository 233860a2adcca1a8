"""What a notebook and a terminal show of schemas, previews, scoreboards and runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

__all__ = ["Rows", "RunView", "SchemaView", "TaskPreview", "html_table", "text_table"]

_CELL = "padding:.2em .9em .2em 0;text-align:left;white-space:nowrap"


@dataclass(frozen=True, kw_only=True)
class Rows(Sequence[dict[str, Any]]):
    """A list of plain values that shows itself as a table: ``columns`` of them."""

    values: list[dict[str, Any]]
    columns: tuple[str, ...]
    title: str = ""

    def __getitem__(self, index: Any) -> Any:
        return self.values[index]

    def __len__(self) -> int:
        return len(self.values)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.values)

    def __repr__(self) -> str:
        return text_table(self._cells(), self.columns, self.title)

    def _repr_html_(self) -> str:
        return html_table(self._cells(), self.columns, self.title)

    def _cells(self) -> list[list[Any]]:
        return [[row.get(c) for c in self.columns] for row in self.values]


@dataclass(frozen=True, kw_only=True)
class SchemaView:
    """A schema with what was found about it. ``values`` is all of it, as plain values."""

    values: Mapping[str, Any]

    @property
    def yaml(self) -> str:
        """A project file for it."""
        return str(self.values["yaml"])

    @property
    def notes(self) -> list[dict[str, Any]]:
        """What a person should look at."""
        return list(self.values["notes"])

    def __repr__(self) -> str:
        return str(self.values["text"])

    def _repr_svg_(self) -> str:
        return str(self.values["svg"])


@dataclass(frozen=True, kw_only=True)
class TaskPreview:
    """A task's splits and what was found about them. ``values`` is all of it, as plain values."""

    values: Mapping[str, Any]

    @property
    def splits(self) -> Rows:
        """A row per split."""
        found = list(self.values["splits"])
        columns = tuple(dict.fromkeys(name for row in found for name in row))
        task = self.values["task"]
        return Rows(values=found, columns=columns, title=f"{self.values['experiment']}, metric {task['metric']}")

    @property
    def findings(self) -> list[dict[str, Any]]:
        """What a check found."""
        return list(self.values["findings"])

    def __repr__(self) -> str:
        told = [f"{f['severity']}: {f['message']}" for f in self.findings if f["severity"] != "info"]
        return "\n".join([*self.values.get("explanation", ()), repr(self.splits), *told])

    def _repr_html_(self) -> str:
        told = "".join(
            f"<li><b>{escape(f['severity'])}</b> {escape(f['message'])}"
            + (f" <i>{escape(f['hint'])}</i>" if f.get("hint") else "")
            for f in self.findings
            if f["severity"] != "info"
        )
        explained = "".join(f"<div>{escape(line)}</div>" for line in self.values.get("explanation", ()))
        return explained + self.splits._repr_html_() + (f"<ul>{told}</ul>" if told else "")


@dataclass(frozen=True, kw_only=True)
class RunView:
    """A training. ``values`` is all of it, as plain values."""

    values: Mapping[str, Any]

    @property
    def run_id(self) -> str:
        """MLflow's name of it."""
        return str(self.values["run_id"])

    @property
    def url(self) -> str | None:
        """Its page."""
        return self.values.get("url")

    @property
    def metrics(self) -> Mapping[str, Mapping[str, float | None]]:
        """By split and metric; empty until it is finished."""
        return dict(self.values.get("metrics") or {})

    @property
    def scoreboard(self) -> Rows:
        """The model beside its baselines; a row each, best split first."""
        found = list(self.values.get("scoreboard") or [])
        names = [n for n in (found[-1]["val"] if found else {}) if any(r["val"].get(n) is not None for r in found)]
        names.sort(key=lambda n: n != self.values["metric"])  # what the task goes by, and its intervals, first
        splits = [s for s in ("val", "test") if any(v is not None for r in found for v in r[s].values())]
        columns: list[str] = ["model"]
        rows: list[dict[str, Any]] = [{"model": r["model"], "seconds": r["seconds"]} for r in found]
        for split in splits:
            cells = {f"{split} {n}": [r[split].get(n) for r in found] for n in names}
            spans = [r.get(f"{split}_interval") for r in found]
            if any(spans):
                first, *others = cells.items()
                cells = dict([first, (f"{split} 95%", [_span(s) for s in spans]), *others])
            columns.extend(cells)
            for i, row in enumerate(rows):
                row.update({name: column[i] for name, column in cells.items()})
        return Rows(values=rows, columns=(*columns, "seconds"), title=self._title())

    @property
    def verdict(self) -> str:
        """What the scoreboard comes to, in a sentence; empty if there is nothing to compare."""
        return str(self.values.get("verdict") or "")

    def _title(self) -> str:
        return f"{self.values['experiment']}, run {self.values.get('run_name', self.run_id)}: {self.values['status']}"

    def __repr__(self) -> str:
        if not self.values.get("scoreboard"):
            return self._title()
        return repr(self.scoreboard) + (f"\n{self.verdict}" if self.verdict else "")

    def _repr_html_(self) -> str:
        link = f'<p><a href="{escape(self.url)}">{escape(self.url)}</a></p>' if self.url else ""
        if not self.values.get("scoreboard"):
            return f"<p>{escape(self._title())}</p>{link}"
        verdict = f"<p><b>{escape(self.verdict)}</b></p>" if self.verdict else ""
        return self.scoreboard._repr_html_() + verdict + link


def _span(interval: Sequence[float] | None) -> str:
    return "" if interval is None else f"{_cell(interval[0])} to {_cell(interval[1])}"


def html_table(rows: Sequence[Sequence[Any]], columns: Sequence[str], title: str = "") -> str:
    """A table of HTML; everything in it is text, whatever it looks like."""
    head = "".join(f"<th style='{_CELL}'>{escape(c)}</th>" for c in columns)
    body = "".join(
        "<tr>" + "".join(f"<td style='{_CELL}'>{escape(_cell(v))}</td>" for v in row) + "</tr>" for row in rows
    )
    caption = f"<caption style='text-align:left;font-weight:bold'>{escape(title)}</caption>" if title else ""
    return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def text_table(rows: Sequence[Sequence[Any]], columns: Sequence[str], title: str = "") -> str:
    """A table of plain text."""
    cells = [[str(c) for c in columns], *([_cell(v) for v in row] for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(columns))]
    lines = ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in cells]
    return "\n".join([*([title] if title else []), *lines])


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, float):
        return f"{value:,.4g}"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, Mapping):
        return ", ".join(f"{k} {_cell(v)}" for k, v in value.items()) or "-"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
