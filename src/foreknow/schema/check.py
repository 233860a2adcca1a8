"""Does a schema fit together, and with the tables it describes? All findings at once."""

from __future__ import annotations

from foreknow.errors import Finding, SchemaError, did_you_mean, raise_findings
from foreknow.schema.table import Schema, Table
from foreknow.types import Stype

__all__ = ["check_schema"]


def check_schema(schema: Schema) -> list[Finding]:
    """Check names, keys, links, time columns and connectedness.

    Returns:
        Warnings and infos.

    Raises:
        SchemaError: With all errors at once.
    """
    findings: list[Finding] = []
    for t in schema:
        findings += _check_table(t, schema)
    raise_findings(findings, SchemaError, "the schema doesn't fit together")
    groups = schema.components()
    if len(groups) > 1:
        for group in groups[1:]:
            names = ", ".join(sorted(group))
            findings.append(
                Finding(
                    name="disconnected-tables",
                    severity="warning",
                    table=sorted(group)[0],
                    count=len(group),
                    message=f"no link connects {names} with the other tables; a model can't see across",
                    hint="add the missing link, or leave the tables out",
                )
            )
    return findings


def _check_table(t: Table, schema: Schema) -> list[Finding]:
    findings: list[Finding] = []

    def error(name: str, message: str, column: str | None = None, hint: str | None = None) -> None:
        findings.append(Finding(name=name, table=t.name, column=column, message=message, hint=hint))

    for key in t.keys:
        for c in key:
            if c not in t:
                error(
                    "unknown-column", f"key column '{c}' is not there", hint=did_you_mean(c, t.column_names, "columns")
                )
    for i, fk in enumerate(t.foreign_keys):
        for c in fk.columns:
            if c not in t:
                error(
                    "unknown-column", f"link column '{c}' is not there", hint=did_you_mean(c, t.column_names, "columns")
                )
        if fk.table not in schema:
            error(
                "unknown-table",
                f"it links to '{fk.table}', which is no table of the schema",
                fk.name,
                did_you_mean(fk.table, schema.tables, "tables"),
            )
            continue
        target = schema[fk.table]
        to = fk.to or target.primary_key
        if not to:
            error("no-key", f"it links to '{fk.table}', which has no key", fk.name, f"give '{fk.table}' a key:")
        elif len(to) != len(fk.columns):
            error(
                "key-length",
                f"{len(fk.columns)} column(s) link to the {len(to)}-column key ({', '.join(to)}) of '{fk.table}'",
                fk.name,
                "write links: [{columns: [...], table: ...}] with as many columns as the key",
            )
        elif to not in target.keys:
            shown = "; ".join("(" + ", ".join(k) + ")" for k in target.keys) or "none"
            error(
                "not-a-key",
                f"it links to {fk.table}({', '.join(to)}), which is no key of it",
                fk.name,
                f"keys of '{fk.table}': {shown}; further ones go under keys:",
            )
        if t.edge_type(fk) in [t.edge_type(other) for other in t.foreign_keys[:i]]:
            error("duplicate-link", f"it links to '{fk.table}' twice", fk.name, "keep one of the two links")
        if target.kind == "edge":
            error("link-to-edge", f"it links to '{fk.table}', whose rows are edges", fk.name, "make it kind: node")
    if t.time_column is not None and t.time_column not in t:
        error(
            "unknown-column",
            f"time column '{t.time_column}' is not there",
            hint=did_you_mean(t.time_column, t.column_names, "columns"),
        )
    elif t.time_column is not None and t[t.time_column].stype is not Stype.TIMESTAMP:
        error("time-type", f"the time column is {t[t.time_column].stype}, not timestamp", t.time_column)
    if t.kind == "edge" and len(t.foreign_keys) != 2:
        error(
            "edge-table",
            f"rows that are edges link exactly two tables, this one has {len(t.foreign_keys)} links",
            hint="make it kind: node",
        )
    if len({c.name for c in t.columns}) != len(t.columns):
        error("duplicate-column", "two columns have the same name")
    return findings
