"""What an audit can find, by name, and which findings a person allows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from foreknow.errors import ConfigError, Finding, did_you_mean, raise_findings

__all__ = ["FINDINGS", "apply_allowed", "check_allowed"]

FINDINGS: dict[str, str] = {
    "label-in-schema": "a task table is part of the schema, with its label as a feature",
    "label-copy": "a column is the label, a one-to-one recoding or a monotone function of it",
    "lone-predictor": "a column determines the label almost alone",
    "later-aggregate": "a column counts or sums up rows later than the seed time",
    "late-rows": "rows without a time belong to timed rows later than the seed time, and link to the entity directly",
    "changed-after-seed": "a column or untimed rows know what comes after the seed time better than what came before",
    "instant-after-seed": "instants later than the seed time predict the label by lying there",
    "future-dates": "instants lie in the future, or far beyond all others",
    "seeds-before-data": "seed times lie before the first row of any table",
    "seeds-after-data": "rows are labelled although their seed time is not before the last row of any table",
    "entity-after-seed": "entities' own rows are later than the seed time",
    "no-seed-time": "the task has no time, though tables have",
    "shared-rows": "the same entity at the same seed time stands in two splits",
    "split-order": "training seed times lie after the first validation or test seed time",
    "duplicate-rows": "a split repeats an entity at one seed time",
    "conflicting-labels": "one entity at one seed time has different labels",
    "always-visible": "a table has no time column",
}
"""Names of findings and what they mean, the gravest first. Names are stable: project files refer to them."""


def check_allowed(allow: Iterable[str]) -> tuple[str, ...]:
    """Check what is to be allowed: ``NAME``, ``NAME:table`` or ``NAME:table.column``.

    Raises:
        ConfigError: A name is none of `FINDINGS`; all of them at once, with near matches.
    """
    given = tuple(allow)
    problems = [
        Finding(
            name="unknown-finding",
            message=f"there is no finding '{name}'",
            hint=did_you_mean(name, FINDINGS, "findings"),
        )
        for name in (entry.partition(":")[0] for entry in given)
        if name not in FINDINGS
    ]
    raise_findings(problems, ConfigError, "allow")
    return given


def apply_allowed(findings: Sequence[Finding], allow: Sequence[str]) -> tuple[list[Finding], list[Finding]]:
    """Set findings apart that a person allows.

    Returns:
        The findings, allowed ones as ``info``, and the allowed ones as they were.
    """
    out, allowed = [], []
    for f in findings:
        places = {f.name, f"{f.name}:{f.table}", f"{f.name}:{f.table}.{f.column}"}
        if f.severity != "info" and places & set(allow):
            allowed.append(f)
            out.append(replace(f, severity="info", hint=f"allowed, though it is {_article(f.severity)}"))
        else:
            out.append(f)
    return out, allowed


def _article(severity: str) -> str:
    return f"an {severity}" if severity[0] in "aeiou" else f"a {severity}"
