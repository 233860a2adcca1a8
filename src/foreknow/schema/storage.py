"""How values are stored: DuckDB types, sorted by what can be done with them."""

from __future__ import annotations

from typing import Literal

__all__ = ["Kind", "comparable", "storage_kind"]

Kind = Literal["integer", "float", "text", "time", "boolean", "list", "other"]


def storage_kind(dtype: str) -> Kind:
    """Sort a DuckDB type by what can be done with it.

    Example:
        >>> storage_kind("DECIMAL(10,0)"), storage_kind("FLOAT[64]"), storage_kind("STRUCT(a INTEGER)")
        ('integer', 'list', 'other')
    """
    base = dtype.partition("(")[0].upper()
    if dtype.endswith("]"):
        return "list" if storage_kind(dtype.rpartition("[")[0]) in ("integer", "float", "text") else "other"
    if base == "DECIMAL":
        return "integer" if dtype.endswith(",0)") else "float"
    if base.removeprefix("U") in ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT"):
        return "integer"
    if base in ("FLOAT", "DOUBLE"):
        return "float"
    if base in ("VARCHAR", "UUID", "ENUM"):
        return "text"
    if base.startswith("TIMESTAMP") or base == "DATE":
        return "time"
    return "boolean" if base == "BOOLEAN" else "other"


def comparable(dtype: str, key_dtype: str) -> bool:
    """Whether types compare without guessing: numbers do, texts do, a text and a number don't.

    Example:
        >>> comparable("DOUBLE", "BIGINT"), comparable("VARCHAR", "BIGINT"), comparable("VARCHAR", "UUID")
        (True, False, False)
    """
    kinds = {storage_kind(dtype), storage_kind(key_dtype)}
    if kinds == {"text"}:
        return (dtype == "UUID") == (key_dtype == "UUID")
    return dtype == key_dtype or kinds <= {"integer", "float"}
