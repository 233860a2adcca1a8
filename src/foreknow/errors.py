"""What can go wrong, as one tree.

    ForeknowError
    ├── ConfigError         (ValueError)   foreknow.yaml, options, parameters
    ├── SchemaError         (ValueError)   tables, columns, keys, links, time columns
    ├── SourceError         (OSError)      a database, folder or file can't be read
    ├── TaskError           (ValueError)   task tables: entities, seed times, labels, splits
    ├── QueryError          (ValueError)   a predictive query is not understood, or doesn't fit the schema
    ├── StoreError          (OSError)      snapshot, graph store or bundle on disk is damaged or of another format
    ├── SamplingError       (ValueError)   a seed is not a row of the entity table
    ├── TrainingError       (RuntimeError) the loss is not finite, nothing to resume, ...
    ├── TrackingError       (RuntimeError) MLflow can't be reached, or doesn't take something
    │   └── UnknownModelError (LookupError) it knows no such run, model, version or alias
    ├── PredictionError     (ValueError)   the model doesn't fit the data it is asked to score
    ├── SinkError           (ValueError)   a prediction table exists already or can't be written
    ├── EngineError         (RuntimeError) the job engine can't start, go on or be reached
    │   ├── JobError        (RuntimeError) a job failed or was canceled, or can't be asked for that now
    │   │   └── JobTimeoutError (TimeoutError) a job didn't end while somebody waited for it
    │   └── UnknownJobError (LookupError)  there is no such job
    ├── ResourceError       (MemoryError)  there is not enough memory for what was asked
    ├── AccessError         (PermissionError) a token is missing or wrong, or a path is out of bounds
    └── MissingExtraError   (ImportError)  an optional package is not installed

A message says what is wrong, where, with which values and how many, and what to do next. Checks collect
their `Finding`s and raise once, so that a person mending a schema sees the whole list.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Self

__all__ = [
    "AccessError",
    "ConfigError",
    "EngineError",
    "Finding",
    "ForeknowError",
    "JobError",
    "JobTimeoutError",
    "Mark",
    "MissingExtraError",
    "PredictionError",
    "QueryError",
    "ResourceError",
    "SamplingError",
    "SchemaError",
    "SinkError",
    "SourceError",
    "StoreError",
    "TaskError",
    "TrackingError",
    "TrainingError",
    "UnknownJobError",
    "UnknownModelError",
    "error_from_dict",
    "near_match",
    "raise_findings",
]

Severity = Literal["error", "warning", "info"]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing a check has to say.

    ``name`` is a stable slug (``dangling-links``), ``count`` how many rows or values it concerns, ``evidence`` the
    figures it rests on.
    """

    name: str
    message: str
    severity: Severity = "error"
    table: str | None = None
    column: str | None = None
    count: int | None = None
    hint: str | None = None
    evidence: Mapping[str, float] = field(default_factory=dict, hash=False)

    def __str__(self) -> str:
        where = ""
        if self.table is not None:
            where = f"table '{self.table}'"
            if self.column is not None:
                where += f", column '{self.column}'"
            where += ": "
        text = where + self.message
        return f"{text}\n  Hint: {self.hint}" if self.hint else text

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; ``evidence`` only if there is some."""
        value = asdict(self)
        if not self.evidence:
            del value["evidence"]
        return value


@dataclass(frozen=True, kw_only=True)
class Mark:
    """A finding about a place in a text: characters ``start`` to ``end``, counted from 0."""

    code: str
    message: str
    hint: str
    start: int = 0
    end: int = 1

    def position(self, text: str) -> tuple[int, int]:
        """Line and column of the first character, both from 1."""
        before = text[: self.start]
        return before.count("\n") + 1, self.start - (before.rfind("\n") + 1) + 1

    def show(self, text: str, kind: str) -> str:
        """The finding, the line it is about with carets below, and the hint."""
        line, column = self.position(text)
        shown = text.split("\n")[line - 1]
        below = "".join("\t" if c == "\t" else " " for c in shown[: column - 1])
        carets = "^" * max(1, min(self.end - self.start, len(shown) - column + 1))
        return (
            f"{kind} {self.code} at line {line}, column {column}: {self.message}.\n"
            f"  {shown}\n  {below}{carets}\nHint: {self.hint.rstrip('.')}."
        )


class ForeknowError(Exception):
    """Base of everything Foreknow raises on purpose. ``findings`` holds the parts of a collected report.

    An error about a text, such as a query, has ``marks``; ``code``, ``line`` and ``column`` are the first one's.
    """

    code: str | None = None
    line: int | None = None
    column: int | None = None
    marks: tuple[Mark, ...] = ()

    def __init__(self, message: str, *, hint: str | None = None, findings: Sequence[Finding] = ()) -> None:
        super().__init__(f"{message}\nHint: {hint}" if hint else message)
        self.hint = hint
        self.findings = tuple(findings)

    @classmethod
    def at(cls, text: str, marks: Sequence[Mark]) -> Self:
        """An error that shows every mark in `text`, in the order of the text."""
        ordered = sorted(set(marks), key=lambda m: (m.start, m.end, m.code))
        first = ordered[0]
        error = cls(
            "\n\n".join(m.show(text, cls.__name__) for m in ordered),
            findings=[Finding(name=m.code, message=m.message, hint=m.hint) for m in ordered],
        )
        error.hint = first.hint
        error.code, error.marks = first.code, tuple(ordered)
        error.line, error.column = first.position(text)
        return error

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; `error_from_dict` makes the error again. ``code`` and place only if there are any."""
        found = [f.to_dict() for f in self.findings]
        value = {"type": type(self).__name__, "message": str(self), "hint": self.hint, "findings": found}
        place = {"code": self.code, "line": self.line, "column": self.column}
        return value | {k: v for k, v in place.items() if v is not None}


class ConfigError(ForeknowError, ValueError):
    """A project file, option or parameter is not understood."""


class SchemaError(ForeknowError, ValueError):
    """Tables, columns, keys, links or time columns don't fit together."""


class SourceError(ForeknowError, OSError):
    """A database, folder or file can't be read."""

    def __str__(self) -> str:  # OSError would print its argument tuple
        return str(self.args[0])


class QueryError(ForeknowError, ValueError):
    """A predictive query is not understood, or doesn't fit the schema. Raised before data is read.

    ``marks`` holds all that was found, in the order of the text; ``code``, ``line``, ``column`` and ``hint`` are the
    first one's.
    """


class TaskError(ForeknowError, ValueError):
    """A task or its tables can't be used. Those of a predictive query have a ``code`` and a place in its text."""


class StoreError(ForeknowError, OSError):
    """Something Foreknow saved is missing, damaged or of another format version."""

    def __str__(self) -> str:
        return str(self.args[0])


class SamplingError(ForeknowError, ValueError):
    """Seeds can't be sampled."""


class TrainingError(ForeknowError, RuntimeError):
    """Training can't start, go on or resume."""


class TrackingError(ForeknowError, RuntimeError):
    """MLflow can't be reached or doesn't take something."""


class UnknownModelError(TrackingError, LookupError):
    """There is no such run, registered model, version or alias, or the run has no model."""


class PredictionError(ForeknowError, ValueError):
    """A model and the data it is to score don't fit."""


class SinkError(ForeknowError, ValueError):
    """A result can't be written where it was asked to go."""


class MissingExtraError(ForeknowError, ImportError):
    """An optional package is missing."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"'{package}' is not installed", hint=f"pip install 'foreknow[{extra}]'")


class EngineError(ForeknowError, RuntimeError):
    """The job engine can't start, go on, or be reached."""


class JobError(EngineError):
    """A job failed or was canceled, or what was asked of it is not possible in the state it is in."""


class JobTimeoutError(JobError, TimeoutError):
    """A job didn't end while somebody waited for it. It goes on."""

    def __str__(self) -> str:
        return str(self.args[0])


class UnknownJobError(EngineError, LookupError):
    """There is no such job."""


class ResourceError(ForeknowError, MemoryError):
    """There is not enough memory for what was asked."""


class AccessError(ForeknowError, PermissionError):
    """A token is missing or wrong, or a path lies where requests may not reach."""

    def __str__(self) -> str:
        return str(self.args[0])


def error_from_dict(value: Mapping[str, Any]) -> ForeknowError:
    """The error `ForeknowError.to_dict` described, of the same class and with the same text.

    A class that isn't known here (an error of Python's own, say) becomes an `EngineError`.

    Example:
        >>> error_from_dict(ConfigError("no task 'Chrun'", hint="did you mean 'Churn'?").to_dict())
        ConfigError("no task 'Chrun'\\nHint: did you mean 'Churn'?")
    """
    found = globals().get(str(value.get("type")))
    text, known = str(value.get("message", "")), Finding.__dataclass_fields__
    findings = [Finding(**{k: v for k, v in f.items() if k in known}) for f in value.get("findings") or ()]
    error: ForeknowError
    if found is MissingExtraError:  # made of a package and an extra, not of a text
        error = MissingExtraError.__new__(MissingExtraError)
        ForeknowError.__init__(error, text, findings=findings)
    elif isinstance(found, type) and issubclass(found, ForeknowError):
        error = found(text, findings=findings)
    else:
        error = EngineError(f"{value.get('type')}: {text}", findings=findings)
    error.hint = value.get("hint")
    error.code, error.line, error.column = value.get("code"), value.get("line"), value.get("column")
    return error


def near_match(name: str, names: Iterable[str]) -> str | None:
    """Return the known name most like `name`, or None if nothing is close.

    Example:
        >>> near_match("prise", ["price", "t_dat"])
        'price'
    """
    known = list(names)
    lowered = {n.lower(): n for n in reversed(known)}
    if name.lower() in lowered:
        return lowered[name.lower()]
    close = difflib.get_close_matches(name.lower(), list(lowered), n=1, cutoff=0.6)
    if not close and len(name) > 2:  # an abbreviation
        close = [n for n in lowered if n.startswith(name.lower())]
    return lowered[close[0]] if close else None


def did_you_mean(name: str, names: Iterable[str], what: str = "known names") -> str:
    """Word a hint for a misspelt name: the near match if there is one, and what exists.

    Example:
        >>> did_you_mean("prise", ["t_dat", "price"], "columns")
        "did you mean 'price'? Columns: price, t_dat."
    """
    known = sorted(names)
    match = near_match(name, known)
    shown = ", ".join(known[:12]) + (f", ... ({len(known)} in all)" if len(known) > 12 else "")
    listed = f"{what[:1].upper()}{what[1:]}: {shown or 'none'}."
    return f"did you mean '{match}'? {listed}" if match else listed


def raise_findings(findings: Sequence[Finding], error: type[ForeknowError], intro: str) -> None:
    """Raise `error` with all findings of severity ``error``; do nothing if there are none."""
    errors = [f for f in findings if f.severity == "error"]
    if not errors:
        return
    if len(errors) == 1:
        raise error(f"{intro}: {errors[0]}", findings=findings)
    listed = "\n".join(f"- {f}" for f in errors)
    raise error(f"{intro}: {len(errors)} problems.\n{listed}", findings=findings)
