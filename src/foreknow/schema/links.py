"""Find which columns name rows of which table: by declaration, by name and values, and several columns at once."""

from __future__ import annotations

from foreknow.schema.evidence import Proposal, Ranking, Reason, ranked
from foreknow.schema.keys import is_row_number
from foreknow.schema.name import CALENDAR, CODE, LABEL, QUANTITY, RECURSION, ROLE, begins, ends, stem, words
from foreknow.schema.profile import ColumnProfile, Containment, TableProfile
from foreknow.schema.storage import comparable
from foreknow.schema.survey import Survey, such_as
from foreknow.schema.table import ForeignKey

__all__ = ["find_composite_links", "find_links"]

NAMED_SHARE = 0.5  # containment that confirms a link suggested by names
UNNAMED_SHARE = 0.99  # containment that suggests a link by itself
UNNAMED_DISTINCT = 20  # so many different values are not all in a key by chance
MISMATCH_HINT = "give both one type in the source, or link through a derived column"
_NAMED = {
    5: (3.5, "the names match, and name the table"),
    4: (3.0, "the names match"),
    3: (2.0, "the names are alike"),
    2: (1.0, "the names are a little alike"),
}


def find_links(s: Survey) -> None:
    """Rank the links of single columns, declared ones (of any number of columns) first."""
    for t in s.profiles.values():
        linked = {k.columns[0] for k in t.declared.foreign_keys if len(k.columns) == 1}
        for key in t.declared.foreign_keys:
            _declared_link(s, t, key)
        for c in t.columns:
            is_empty = c.num_null == t.num_rows > 0
            if c.name not in linked and not is_empty and not is_row_number(t, c):
                _find_link(s, t, c)


def _declared_link(s: Survey, t: TableProfile, key: ForeignKey) -> None:
    target = s.profiles.get(key.table)
    to = key.to or s.primary.get(key.table, ())
    if target is None or len(to) != len(key.columns) or not (t.has(key.columns) and target.has(to)):
        why = f"there is no table '{key.table}'" if target is None else "not all of its columns are here"
        s.warn("unusable-link", t, f"the declared link to '{key.table}' is left out: {why}", key.name)
        return
    if not all(comparable(t[a].dtype, target[b].dtype) for a, b in zip(key.columns, to, strict=True)):
        message = f"declared as a link to '{key.table}', whose key has another type; left out"
        s.warn("link-type-mismatch", t, message, key.name, hint=MISMATCH_HINT)
        return
    if to != s.primary[key.table] and to not in s.candidates[key.table]:
        s.candidates[key.table].append(to)
    found = s.measures.containment(t.name, key.columns, key.table, to)
    declared = Reason(kind="declared", text="declared as a foreign key", weight=0.0)
    _settle(s, t, key.columns, [(found, (declared, *_containment(found)))])


def _find_link(s: Survey, t: TableProfile, c: ColumnProfile) -> None:
    """Rank the tables a column's name or values point to, if any."""
    found: list[tuple[Containment, tuple[Reason, ...]]] = []
    for target in s.profiles.values():
        to = s.primary[target.name]
        if len(to) != 1 or (target is t and to[0] == c.name):
            continue
        k = target[to[0]]
        grade = _grade(s, t, c, target, k)
        named = f"'{c.name}' is named like the key of '{target.name}', but"
        if not c.fits(k):
            if grade >= 4:
                message = f"{named} holds {c.dtype} where '{k.name}' holds {k.dtype}"
                s.warn("link-type-mismatch", t, message, c.name, hint=MISMATCH_HINT)
            continue
        if not grade:
            continue
        measured = s.measures.containment(t.name, (c.name,), target.name, to)
        if measured.share >= (NAMED_SHARE if grade >= 3 else UNNAMED_SHARE) or (grade >= 4 and not t.num_rows):
            found.append((measured, _reasons(t, c, target, k, grade, measured)))
        elif grade >= 4:
            message = f"{named} {1 - measured.share:.1%} of its values aren't there{such_as(measured.examples)}"
            s.warn("weak-link", t, f"{message}; not linked", c.name, count=measured.num_missing)
    if found:
        _settle(s, t, (c.name,), found)


def _grade(s: Survey, t: TableProfile, c: ColumnProfile, target: TableProfile, k: ColumnProfile) -> int:
    """How much a column points to a table: 0 not, 1 by its values, 2 weakly and 3-5 clearly by its name."""
    parts, key_words, entity = words(c.name), words(k.name), s.entities[target.name]
    named, is_text = stem(c.name), c.kind == "text"
    fit, own_fit = entity.fit(named), s.entities[t.name].fit(named)
    is_specific = not LABEL.issuperset(key_words)
    counts = bool((QUANTITY - CODE | CALENDAR) & set(parts)) or parts[:1] in (("num",), ("number",))
    if target is t:  # a parent, a referrer: never just another name of the row itself
        coded = is_text or parts[-1:] in ((), *((w,) for w in CODE | {"by", "to", "of"})) or len(parts) == 1
        if coded and not counts and RECURSION & set(parts):
            return 3
        return 3 if 1 < len(key_words) < len(parts) and ends(parts, key_words) and not counts else 0
    if (c.name,) == s.primary[t.name]:  # rows that extend rows of the table that owns the name
        extends = parts == key_words and is_specific and fit == own_fit and target.num_rows > t.num_rows
        return 4 if (fit >= 2 and fit > own_fit) or extends else 0
    if is_specific and parts == key_words:
        return 5 if fit else 4
    if fit == 3:
        return 4
    if not counts:
        if is_specific and len("".join(key_words)) >= 4 and (ends(parts, key_words) or begins(parts, key_words)):
            return 3
        if fit:
            return 3
        if entity.ends(parts[:-1] if named else parts):
            return 3 if named or is_text else 2
    if not is_text or k.kind != "text" or c.mean_words > 1.5:
        return 0
    return int(_values_alike(c, k) and (c.num_distinct >= UNNAMED_DISTINCT or bool(ROLE & set(parts))))


def _values_alike(a: ColumnProfile, key: ColumnProfile) -> bool:
    """Whether texts could be values of a key, by length and range and number; cheaper than measuring."""
    length = a.mean_length / max(key.mean_length, 1.0)
    inside = (key.minimum or "") <= (a.minimum or "") and (a.maximum or "") <= (key.maximum or "")
    return inside and 0.5 <= length <= 2 and 1 < a.num_distinct <= 1.15 * key.num_distinct  # an estimate


def _reasons(
    t: TableProfile, c: ColumnProfile, target: TableProfile, k: ColumnProfile, grade: int, found: Containment
) -> tuple[Reason, ...]:
    reasons = [Reason(kind="prior", text="few columns are links", weight=-3.0)]
    if grade in _NAMED:
        weight, text = _NAMED[grade]
        reasons.append(Reason(kind="name", text=text, weight=weight))
    else:
        reasons.append(Reason(kind="name", text="the names differ", weight=-0.3))
    if ROLE & set(words(c.name)):
        reasons.append(Reason(kind="name", text="named like a role", weight=0.8))
    reasons += _containment(found)
    if c.kind == "text" and c.mean_length == k.mean_length:
        reasons.append(Reason(kind="shape", text=f"both {c.mean_length:g} characters long", weight=0.5))
    if not t.identifies(c) and target.nearly_identifies(k):
        text = f"direction: values repeat in '{t.name}', not in '{target.name}'"
        reasons.append(Reason(kind="direction", text=text, weight=0.5))
    elif t.num_rows and t.num_rows < target.num_rows:
        text = f"direction: '{t.name}' has fewer rows than '{target.name}'"
        reasons.append(Reason(kind="direction", text=text, weight=0.3))
    if c.num_distinct < 3 and grade < 4:
        weight = -0.5 if ROLE & set(words(c.name)) else -1.5
        reasons.append(Reason(kind="values", text="so few values may match by chance", weight=weight))
    return tuple(reasons)


def _containment(found: Containment) -> tuple[Reason, ...]:
    goal = f"{found.to_table}.{'+'.join(found.to)}"
    if not found.num_values:
        return (Reason(kind="containment", text=f"no values to look up in {goal}", weight=0.0),)
    text = f"{found.share:.2%} of {found.num_values:,} values are in {goal}"
    for share, weight in ((0.999, 3.0), (0.99, 2.5), (0.9, 2.0), (NAMED_SHARE, 0.5)):
        if found.share >= share:
            return (Reason(kind="containment", text=text, weight=weight),)
    return (Reason(kind="containment", text=text, weight=-2.5),)


def _settle(
    s: Survey,
    t: TableProfile,
    columns: tuple[str, ...],
    found: list[tuple[Containment, tuple[Reason, ...]]],
    *,
    tell_flaws: bool = True,
) -> None:
    """Rank what was found for some columns, and take the best."""
    measured: dict[ForeignKey, Containment] = {}
    proposals = []
    for containment, reasons in found:
        to = () if containment.to == s.primary[containment.to_table] else containment.to
        key = ForeignKey(columns=columns, table=containment.to_table, to=to)
        measured[key] = containment
        proposals.append(Proposal(value=key, reasons=reasons))
    # Of equals, the target with more of its rows in use: names of tables decide as little as their order.
    proposals.sort(key=lambda p: s.profiles[p.value.table].num_rows if isinstance(p.value, ForeignKey) else 0)
    ranking = Ranking(subject="link", table=t.name, columns=columns, proposals=ranked(proposals))
    s.link_rankings.append(ranking)
    best = ranking.best
    if best is None or not isinstance(best.value, ForeignKey):
        return
    key, containment = best.value, measured[best.value]
    s.links[t.name].append(key)
    s.containments[t.name, key] = containment
    s.because(t, key.name, f"link to {key.table}: {best.why}")
    if len(ranking.proposals) > 1:
        others = [p.value for p in ranking.proposals[1:] if isinstance(p.value, ForeignKey)]
        shown = ", ".join(f"{o.table}.{'+'.join(measured[o].to)} ({measured[o].share:.0%})" for o in others)
        s.note("other-links", t, f"linked to '{key.table}'; also possible: {shown}", key.name)
    if containment.num_missing and tell_flaws:
        message = (
            f"{containment.num_missing:,} of {containment.num_values:,} values ({1 - containment.share:.2%}) have no "
            f"row in '{key.table}'{such_as(containment.examples)}"
        )
        hint = "these links are treated as absent; load the missing rows if they exist"
        s.warn("dangling-links", t, message, key.name, count=containment.num_missing, hint=hint)


# Several columns


def find_composite_links(s: Survey) -> None:
    """Rank links of several columns to tables with a composite key: columns of the same names, or in a role."""
    declared = {(t.name, frozenset(k.columns)) for t in s.profiles.values() for k in t.declared.foreign_keys}
    targets = [p for p in s.profiles.values() if len(s.primary[p.name]) > 1]
    for t in s.profiles.values():
        found: dict[tuple[str, ...], list[tuple[Containment, tuple[Reason, ...]]]] = {}
        for target in targets:
            key = s.primary[target.name]
            for columns, role in _matching(t, target, key) if target is not t else ():
                if (t.name, frozenset(columns)) in declared or not _fit(t, columns, target, key):
                    continue
                measured = s.measures.containment(t.name, columns, target.name, key)
                if measured.share >= NAMED_SHARE:
                    reasons = _composite_reasons(s, t, target, measured, role)
                    found.setdefault(columns, []).append((measured, reasons))
        for columns, each in found.items():
            _settle(s, t, columns, each)


def _matching(t: TableProfile, target: TableProfile, key: tuple[str, ...]) -> list[tuple[tuple[str, ...], str]]:
    """Columns of a table named like a key's columns; in each role if there are several (``teamIDwinner``)."""
    own = {words(c.name): c.name for c in reversed(t.columns)}
    stems = {stem(c.name): c.name for c in reversed(t.columns) if stem(c.name)}

    def plain(column: str) -> str | None:
        by_stem = stems.get(stem(column)) if stem(column) else None
        return own.get(words(column)) or by_stem

    straight = [plain(k) for k in key]
    found: list[tuple[tuple[str, ...], str]] = []
    if all(straight):
        found.append((tuple(c for c in straight if c), ""))
    roles: dict[str, None] = {}
    for k in key:
        for parts in own:
            if len(parts) == len(words(k)) + 1:
                if ends(parts, words(k)):
                    roles.setdefault(parts[0], None)
                elif parts[:-1] == words(k):
                    roles.setdefault(parts[-1], None)
    for role in roles:
        in_role = [own.get((role, *words(k))) or own.get((*words(k), role)) for k in key]
        if not any(in_role):
            continue
        mixed = [a or b for a, b in zip(in_role, straight, strict=True)]
        columns = tuple(c for c in mixed if c)
        if len(columns) == len(key) and len(set(columns)) == len(key) and columns not in [c for c, _ in found]:
            found.append((columns, role))
    return found


def _fit(t: TableProfile, columns: tuple[str, ...], target: TableProfile, key: tuple[str, ...]) -> bool:
    return len(set(columns)) == len(columns) and all(t[a].fits(target[b]) for a, b in zip(columns, key, strict=True))


def _composite_reasons(
    s: Survey, t: TableProfile, target: TableProfile, found: Containment, role: str
) -> tuple[Reason, ...]:
    reasons = [
        Reason(kind="prior", text="few columns are links", weight=-3.0),
        Reason(kind="name", text=f"the names match, in the role of {role}" if role else "the names match", weight=2.5),
        *_containment(found),
    ]
    fit = max(s.entities[target.name].fit(stem(c)) for c in found.to)
    if fit > 1:
        reasons.append(Reason(kind="name", text="the key names the table's rows", weight=1.0))
    parents = {k.table for k in s.links[target.name] if len(k.columns) == 1 and set(k.columns) <= set(found.to)}
    shared = sorted(parents & {k.table for k in s.links[t.name]})
    if shared and fit < 2:
        text = f"both are rows about {', '.join(shared)}; that they are about each other can't be known"
        reasons.append(Reason(kind="direction", text=text, weight=-2.9))
    own = s.primary[t.name]
    if shared and fit < 2:
        return tuple(reasons)
    if set(own) == set(found.columns) and t.num_rows > target.num_rows:
        text = f"direction: '{target.name}' has fewer rows, and rows here are as unique"
        reasons.append(Reason(kind="direction", text=text, weight=-2.0))
    elif not set(own) <= set(found.columns):
        text = f"direction: values may repeat in '{t.name}', not in '{target.name}'"
        reasons.append(Reason(kind="direction", text=text, weight=0.5))
    return tuple(reasons)
