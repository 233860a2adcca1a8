"""Draw a schema: as Graphviz DOT, as an image, and as text for a terminal.

DOT itself needs no Graphviz: a notebook or a browser may render it. `to_svg` and `to_png` use pygraphviz, whose
wheels carry Graphviz. Names are shown as they are, whatever characters they hold, and cut if very long.
"""

from __future__ import annotations

import logging
import subprocess
import sys
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from html import escape

from foreknow.errors import SchemaError
from foreknow.schema.table import ForeignKey, Schema, Table
from foreknow.types import Stype

__all__ = ["Dangling", "to_dot", "to_png", "to_svg", "to_text"]

Dangling = Mapping[tuple[str, str], float]
"""Share of a link's values without a match, 0 to 1, by table and name of the foreign key."""

MAX_FEATURES = 14  # feature columns shown per table; the others are counted
MANY_TABLES, FEW_FEATURES = 10, 5  # with more tables than that, so many feature columns are drawn
COLUMN_ROWS = 45  # rows of boxes above one another, where tables that link to the same table may be spread
ISOLATED_PER_ROW = 4  # tables without links drawn side by side
MAX_NAME = 36  # characters of a name
TEXT_WIDTH = 100  # characters of a terminal's line
MIN_TEXT_WIDTH = 60
MAX_SOURCES = 6  # links into a table listed in text

INK, FAINT, LINE, WARNING = "#1f2937", "#6b7280", "#94a3b8", "#b45309"
HEAD, KEY_FILL, TIME_FILL = "#1e3a5f", "#eef4fb", "#fdf6e3"
EDGE_HEAD, EDGE_KEY_FILL = "#5b4a8a", "#f4f1fb"
MARK_INK = {"PK": "#1d4ed8", "CK": "#1d4ed8", "FK": "#0f766e", "TIME": "#a16207"}

_log = logging.getLogger(__name__)


def to_dot(
    schema: Schema,
    *,
    row_counts: Mapping[str, int] | None = None,
    dangling: Dangling | None = None,
    show_types: bool = True,
) -> str:
    """Describe a schema as a Graphviz graph: a node per table, a line with a crow's foot per link.

    Args:
        schema: The schema.
        row_counts: Rows per table, shown in its head.
        dangling: Written on a link where it is above 0.
        show_types: Whether to write beside each column what it means.

    Returns:
        DOT text, the same for the same arguments.
    """
    font = 'fontname="Helvetica,Arial,sans-serif"'
    lines = [
        "digraph schema {",
        f'  graph [rankdir=LR, bgcolor="white", pad=0.25, nodesep=0.35, ranksep=1.1, {font}];',
        f'  node [shape=plain, fontsize=11, fontcolor="{INK}", {font}];',
        f'  edge [dir=both, arrowtail=crow, arrowhead=tee, arrowsize=0.9, color="{LINE}", penwidth=1.2, '
        f'fontsize=9, fontcolor="{WARNING}", {font}];',
    ]
    most = MAX_FEATURES if len(schema) <= MANY_TABLES else FEW_FEATURES
    for t in schema:
        label = _table_label(t, (row_counts or {}).get(t.name), most, show_types=show_types)
        lines.append(f"  {_dot_string(t.name)} [label=<{label}>];")
    places = _places(schema, most)
    for t in schema:
        for key in t.foreign_keys:
            if key.table in schema:
                missing = (dangling or {}).get((t.name, key.name), 0.0)
                lines.append("  " + _link(schema, t, key, missing, places.get(t.name, -1)))
    linked = {name for t in schema for k in t.foreign_keys for name in (t.name, k.table)}
    isolated = [_dot_string(t.name) for t in schema if t.name not in linked]
    for i in range(0, len(isolated), ISOLATED_PER_ROW):
        if len(row := isolated[i : i + ISOLATED_PER_ROW]) > 1:
            lines.append(f"  {' -> '.join(row)} [style=invis];")
    return "\n".join([*lines, "}", ""])


def to_svg(dot: str) -> bytes:
    """Render DOT text as an SVG image.

    Raises:
        SchemaError: pygraphviz is not installed, or Graphviz can't draw it.
    """
    return _render(dot, "svg")


def to_png(dot: str) -> bytes:
    """Render DOT text as a PNG image, at twice the resolution of a plain screen.

    Raises:
        SchemaError: pygraphviz is not installed, or Graphviz can't draw it.
    """
    return _render(dot, "png", "-Gdpi=144")


def to_text(
    schema: Schema,
    *,
    row_counts: Mapping[str, int] | None = None,
    dangling: Dangling | None = None,
    width: int = TEXT_WIDTH,
) -> str:
    """Draw a schema for a terminal: a box per table, without colours.

    Args:
        schema: The schema.
        row_counts: Rows per table, written in the box's upper edge.
        dangling: If given, each link says how many of its values match.
        width: The terminal's columns. Boxes are no wider, but need `MIN_TEXT_WIDTH`.

    Returns:
        Lines without a final newline.
    """
    width = max(width, MIN_TEXT_WIDTH)
    contents = {t.name: _text_lines(schema, t, dangling, width) for t in schema}
    titles = {
        t.name: (
            _shown(t.name) + (" (edge)" if t.kind == "edge" else ""),
            _rows((row_counts or {}).get(t.name)),
        )
        for t in schema
    }
    widest = max([_width(line) for lines in contents.values() for line in lines], default=0)
    titled = max([_width(name) + _width(rows) + 4 for name, rows in titles.values()], default=0)
    inner = min(max(widest, titled, 40), width - 4)
    boxes = []
    for name, lines in contents.items():
        left, right = titles[name]
        left = _cut(left, inner - 2 - (_width(right) + 2 if right else 0))
        rule = "─" * max(inner - 1 - _width(left) - (_width(right) + 2 if right else 0), 1)
        boxes.append(f"╭─ {left} {rule}{f' {right} ' if right else ''}╮")
        boxes += [f"│ {_padded(_cut(line, inner), inner)} │" for line in lines]
        boxes.append(f"╰{'─' * (inner + 2)}╯")
    return "\n".join(boxes)


# Graphviz


def _table_label(t: Table, row_count: int | None, most: int, *, show_types: bool) -> str:
    """The HTML-like table of one node; cells ``c3l`` and ``c3r`` are the two ends of column 3's row."""
    is_edge = t.kind == "edge"
    head, key_fill = (EDGE_HEAD, EDGE_KEY_FILL) if is_edge else (HEAD, KEY_FILL)
    name = f'<FONT COLOR="white" POINT-SIZE="13"><B>{_html(t.name)}</B></FONT>'
    facts = ", ".join(f for f in ("edge" if is_edge else "", _rows(row_count)) if f)
    if facts:
        name += f'<FONT COLOR="#cbd5e1" POINT-SIZE="9">   {facts}</FONT>'
    rows = [f'<TR><TD COLSPAN="3" BGCOLOR="{head}" ALIGN="LEFT" CELLPADDING="6">{name}</TD></TR>']

    def row(port: str, mark: str, shown: str, meaning: str, fill: str, ink: str = INK) -> None:
        sign = f'<FONT COLOR="{MARK_INK.get(mark.split(" ")[0], FAINT)}" POINT-SIZE="8"><B>{mark or " "}</B></FONT>'
        rows.append(
            f'<TR><TD PORT="{port}l" BGCOLOR="{fill}" ALIGN="LEFT">{sign}</TD>'
            f'<TD BGCOLOR="{fill}" ALIGN="LEFT"><FONT COLOR="{ink}">{shown}</FONT></TD>'
            f'<TD PORT="{port}r" BGCOLOR="{fill}" ALIGN="RIGHT">'
            f'<FONT COLOR="{FAINT}" POINT-SIZE="9">{meaning if show_types else " "}</FONT></TD></TR>'
        )

    position = {c: i for i, c in enumerate(t.column_names)}
    for column, mark in _key_marks(t).items():
        row(f"c{position[column]}", mark, _html(column), "key", key_fill)
    for i, key in enumerate(t.foreign_keys):
        if len(key.columns) > 1:
            row(f"k{i}", "FK", f"({', '.join(map(_html, key.columns))})", "link", key_fill)
    if t.time_column is not None:
        row(f"c{position.get(t.time_column, 0)}", "TIME", _html(t.time_column), "time", TIME_FILL)
    features = t.features
    for f in features[:most]:
        row(f"c{position[f.name]}", "", _html(f.name), str(f.stype), "white")
    rest = [f"{len(features) - most} more"] if len(features) > most else []
    ignored = sum(c.stype is Stype.IGNORE for c in t.columns)
    rest += [f"{ignored} ignored"] if ignored else []
    if rest:
        row("more", "", f"... {', '.join(rest)}", " ", "white", FAINT)
    style = ' STYLE="DASHED"' if is_edge else ""
    return (
        f'<TABLE BORDER="1" CELLBORDER="0" CELLSPACING="0" CELLPADDING="3" COLOR="{head}" BGCOLOR="white"{style}>'
        f"{''.join(rows)}</TABLE>"
    )


def _places(schema: Schema, most: int) -> dict[str, int]:
    """Where to draw tables that only link to one and the same table, if they are too many for one column.

    Returns:
        Columns from the table they link to: -1, -2 to its left, 1, 2 to its right. -1, if absent.
    """
    targets = {t.name: {k.table for k in t.foreign_keys} for t in schema}
    linked = {name for names in targets.values() for name in names}
    places: dict[str, int] = {}
    for hub in schema:
        spokes = [t for t in schema if targets[t.name] == {hub.name} and t.name not in linked]
        column, rows = 0, 0
        for t in spokes:
            if rows > COLUMN_ROWS:
                column, rows = column + 1, 0
            rows += 3 + len(_key_marks(t)) + min(len(t.features), most)
            places[t.name] = (-1, 1, -2, 2)[column] if column < 4 else column - 1
    return places


def _link(schema: Schema, t: Table, key: ForeignKey, missing: float, place: int) -> str:
    """One edge, from the outer cell of the foreign key's row to that of the key it names."""
    target, to = schema[key.table], schema.key_of(key)
    tail = f"k{t.foreign_keys.index(key)}" if len(key.columns) > 1 else f"c{t.column_names.index(key.columns[0])}"
    head = f"c{target.column_names.index(to[0])}" if to else None
    options = [f"label=<{escape(_percent(missing))} unmatched>"] if missing > 0 else []
    if t.kind == "edge":
        options.append("style=dashed")
    if abs(place) > 1:
        options.append(f"minlen={abs(place)}")

    def end(table: str, port: str | None, side: str) -> str:
        return _dot_string(table) + (f":{port}{side}" if port else "")

    if key.table == t.name:  # a loop on the right
        ends = f"{end(t.name, tail, 'r:e')} -> {end(t.name, head, 'r:e')}"
    elif place < 0:
        ends = f"{end(t.name, tail, 'r:e')} -> {end(key.table, head, 'l:w')}"
    else:  # Graphviz puts the end of an edge to the right of its start
        ends = f"{end(key.table, head, 'r:e')} -> {end(t.name, tail, 'l:w')}"
        options.append("arrowtail=tee, arrowhead=crow")
    return f"{ends} [{', '.join(options)}];" if options else f"{ends};"


def _key_marks(t: Table) -> dict[str, str]:
    """Columns of keys with their marks, the primary key first: ``PK FK`` for a column that is both."""
    roles = [("PK", t.primary_key), *(("CK", k) for k in t.candidate_keys)]
    roles += [("FK", k.columns) for k in t.foreign_keys]
    marks: dict[str, list[str]] = {}
    for mark, columns in roles:
        for c in columns:
            if mark not in marks.setdefault(c, []):
                marks[c].append(mark)
    return {c: " ".join(m) for c, m in marks.items()}


_DRAW = """
import sys
import pygraphviz
graph = pygraphviz.AGraph(string=sys.stdin.buffer.read().decode())
sys.stdout.buffer.write(graph.draw(format=sys.argv[1], prog="dot", args=sys.argv[2]))
"""


def _render(dot: str, form: str, options: str = "") -> bytes:
    try:
        import pygraphviz  # noqa: F401
    except ImportError as e:
        hint = "it belongs to foreknow: install foreknow again. to_dot and to_text draw without it"
        raise SchemaError("can't draw the schema: package 'pygraphviz' is not installed", hint=hint) from e
    # In a process of its own: the font library inside the wheel is older than many systems' font settings and
    # complains of them on the very stderr of the process, and Graphviz isn't made for threads.
    command = [sys.executable, "-P", "-W", "ignore", "-c", _DRAW, form, options]
    done = subprocess.run(command, input=dot.encode(), capture_output=True, check=False)
    for line in done.stderr.decode(errors="replace").splitlines():
        _log.debug("graphviz: %s", line)
    if done.returncode:
        last = (done.stderr.decode(errors="replace").strip().splitlines() or ["no reason given"])[-1]
        raise SchemaError(f"Graphviz can't draw the schema: {last}", hint="to_text draws it without Graphviz")
    return done.stdout


def _dot_string(name: str) -> str:
    """Quote a name for DOT, where only quotes and backslashes are special."""
    return '"' + _clean(name).replace("\\", "\\\\").replace('"', '\\"') + '"'


def _html(name: str) -> str:
    return escape(_cut(_clean(name), MAX_NAME)) or " "


# Text


def _text_lines(schema: Schema, t: Table, dangling: Dangling | None, width: int) -> list[str]:
    lines = []
    if t.primary_key or t.kind == "node":
        lines.append(f"key    {_joined(t.primary_key) or 'none'}")
    lines += [f"{'or':<7}{_joined(k)}" for k in t.candidate_keys]
    derived = t[t.time_column].sql if t.time_column is not None and t.time_column in t else None
    made = f" = {_clean(derived)}" if derived is not None else ""
    lines.append(f"time   {_shown(t.time_column) + made if t.time_column is not None else 'none, always visible'}")
    shown = [_joined(k.columns) for k in t.foreign_keys]
    indent = max(map(_width, shown), default=0)
    for i, (key, columns) in enumerate(zip(t.foreign_keys, shown, strict=True)):
        line = f"{'' if i else 'links':<7}{_padded(columns, min(indent, 40))} ──▶ {_shown(key.table)}"
        if key.to:
            line += f".{_joined(key.to)}"
        if dangling is not None and (t.name, key.name) in dangling:
            line += f" ({_percent(1 - dangling[t.name, key.name])} match)"
        lines.append(line)
    sources = [f"{_shown(s.name)}.{_joined(k.columns)}" for s in schema for k in s.foreign_keys if k.table == t.name]
    if sources:
        lines.append(f"from   {_listed(sources, MAX_SOURCES, width - 11)}")
    by_stype: dict[Stype, list[str]] = {}
    for c in t.columns:
        if c.stype is not Stype.KEY and c.name != t.time_column:
            by_stype.setdefault(c.stype, []).append(_shown(c.name))
    for stype in sorted(by_stype, key=list(Stype).index):
        names = by_stype[stype]
        title = f"{'ignored' if stype is Stype.IGNORE else stype} ({len(names)})"
        lines.append(f"       {title:<21}{_listed(names, MAX_FEATURES, width - 32)}")
    return lines


def _listed(names: Sequence[str], most: int, width: int) -> str:
    """Join names with commas, as many as fit in `width` and no more than `most`, and count the others."""
    for shown in range(min(len(names), most), 0, -1):
        rest = len(names) - shown
        text = ", ".join(names[:shown]) + (f", ... {rest} more" if rest else "")
        if _width(text) <= width:
            return text
    return f"{len(names)} columns"


def _joined(columns: Iterable[str]) -> str:
    return " + ".join(map(_shown, columns))


def _shown(name: str) -> str:
    return _cut(_clean(name), MAX_NAME) or "''"


def _clean(name: str) -> str:
    """Replace what would break a line, a terminal or an XML document."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in name)


def _width(text: str) -> int:
    """Cells a text takes in a terminal: two for wide characters, none for combining ones."""
    return sum(0 if unicodedata.combining(c) else 1 + (unicodedata.east_asian_width(c) in "WF") for c in text)


def _padded(text: str, width: int) -> str:
    return text + " " * (width - _width(text))


def _cut(text: str, width: int) -> str:
    if _width(text) <= width:
        return text
    while _width(text) > width - 1:
        text = text[:-1]
    return text + "…"


def _rows(count: int | None) -> str:
    if count is None:
        return ""
    return f"{count:,} row{'' if count == 1 else 's'}"


def _percent(share: float) -> str:
    """A share in percent that says 0 or 100 only if it is.

    Example:
        >>> _percent(0.0536), _percent(0.0001), _percent(0.99999), _percent(1.0)
        ('5.4%', '<0.1%', '>99.9%', '100%')
    """
    if share in (0.0, 1.0):
        return f"{share:.0%}"
    if share < 0.001:
        return "<0.1%"
    return ">99.9%" if share > 0.999 else f"{share:.1%}"
