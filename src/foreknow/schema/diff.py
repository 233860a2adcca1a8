"""What changed between the schema a model was trained under and the tables it is now asked to score."""

from __future__ import annotations

from collections.abc import Mapping

from foreknow.errors import Finding, near_match
from foreknow.schema.table import Schema

__all__ = ["diff_schema"]


def diff_schema(trained: Schema, columns: Mapping[str, Mapping[str, str]]) -> list[Finding]:
    """Compare table by table.

    Args:
        trained: The model's schema.
        columns: DuckDB types by table and column, as they are now (derived columns are computed, not looked for).

    Returns:
        Errors for what the model needs and can't have (missing tables and columns, changed kinds), infos for what
        is new and not used.
    """
    findings: list[Finding] = []
    for table in trained:
        if table.name not in columns:
            match = near_match(table.name, columns)
            findings.append(
                Finding(
                    name="missing-table",
                    table=table.name,
                    message="- the table is gone",
                    hint=f"was it renamed to '{match}'?" if match else None,
                )
            )
            continue
        now = columns[table.name]
        used = {c.name for c in table.columns if c.sql is None and c.stype != "ignore"}
        new = [c for c in now if c not in table.column_names]
        for c in table.columns:
            if c.name not in used:
                continue
            if c.name not in now:
                match = near_match(c.name, new)
                findings.append(
                    Finding(
                        name="missing-column",
                        table=table.name,
                        column=c.name,
                        message=f"- {c.name} {c.dtype} is gone",
                        hint=f"was it renamed to '{match}'?" if match else None,
                    )
                )
            elif _kind(c.dtype) != _kind(now[c.name]):
                findings.append(
                    Finding(
                        name="changed-type",
                        table=table.name,
                        column=c.name,
                        message=f"~ {c.name} was {c.dtype}, now is {now[c.name]}",
                    )
                )
        findings += [
            Finding(
                name="new-column",
                severity="info",
                table=table.name,
                column=c,
                message=f"+ {c} {now[c]} is new; the model doesn't use it",
            )
            for c in new
        ]
    findings += [
        Finding(name="new-table", severity="info", table=t, message="+ the table is new; the model doesn't use it")
        for t in columns
        if t not in trained
    ]
    return findings


def _kind(dtype: str) -> str:
    """Types of one kind are interchangeable: widths of integers, floats and times."""
    if dtype.endswith("]"):
        return f"list of {_kind(dtype[: dtype.rindex('[')])}"
    if dtype.endswith("INT") or dtype == "INTEGER" or dtype in ("FLOAT", "DOUBLE") or dtype.startswith("DECIMAL"):
        return "number"
    return "time" if dtype == "DATE" or dtype.startswith("TIMESTAMP") else dtype
