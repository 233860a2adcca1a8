"""What names of tables and columns say, in the vocabulary databases are named with (English).

Names are weak evidence: they rank what the values allow, and never overrule them.
"""

from __future__ import annotations

import re
from typing import NamedTuple

__all__ = [
    "CALENDAR",
    "CODE",
    "IDENTIFIER",
    "IDENTITY",
    "LABEL",
    "ORDINAL",
    "QUANTITY",
    "RECURSION",
    "ROLE",
    "YEAR",
    "Entity",
    "begins",
    "ends",
    "entity_of",
    "is_later",
    "sql_name",
    "stem",
    "time_score",
    "words",
]


def _bag(text: str) -> frozenset[str]:
    return frozenset(text.split())


IDENTITY = _bag("id uuid guid pk key sk")
CODE = IDENTITY | _bag("code no nr number num ref")
LABEL = CODE | _bag("type channel category class group kind status zip postcode flag name")
IDENTIFIER = CODE | _bag("hash token url uri email mail phone ip isbn ean sku iban serial")
ORDINAL = _bag(
    "stint round half seq sequence line lineno inseason num number no nr index idx position pos revision version "
    "step attempt game leg inning period turn slot instance part"
)
"""Words of columns that tell the rows of one parent apart."""
QUANTITY = _bag(
    "age num number count cnt n qty quantity amount total sum avg mean max min price cost fee salary wage income "
    "balance payment sale sales size length width height weight distance duration seconds minutes minute hours "
    "hour days rank rating score points votes percent pct ratio speed temp"
)
YEAR = _bag("year yr season")
CALENDAR = YEAR | _bag("quarter month week day hour minute second date time")
ROLE = _bag("origin dest destination from to src source target departure arrival home away host")
RECURSION = _bag(
    "parent referred referrer reports manager supervisor boss mother father predecessor previous successor "
    "original reply replies replaced replaces invited inviter mentor"
)
_TABLE_PREFIX = _bag("dim fact tbl stg raw vw")
_IRREGULAR = {"people": "person", "children": "child", "men": "man", "women": "woman", "indices": "index"}
# Words of timestamps that say something else than when a row became known: beginnings, and whole words.
_LATER = ("birth", "death", "expir", "updat", "modif", "delet", "planned", "schedul", "expect", "estimat")
_LATER_WORDS = _bag(
    "born dob died dod end ends ended enddate until thru to due deadline changed next last final latest"
)
_BEGUN = _bag("created creation inserted registered registration joined occurred recorded")
_KNOWN = _BEGUN | _bag("t_dat timestamp ts event_time event_date event_timestamp datetime date time")
_TIMELY = _bag("at date time datetime timestamp ts dat on dt")
_WORD = re.compile(r"ID(?=[a-z])|[A-Z]+(?![^\W\d_A-Z])|[A-Z]?[^\W\d_A-Z]+|\d+")


class Entity(NamedTuple):
    """What one row of a table is called: ``orderitem`` and, by its last word alone, ``item``."""

    whole: str
    last: str

    def fit(self, column_stem: str) -> int:
        """How well a column's stem names it: 3 wholly, 2 by the last word, 1 by its beginning, 0 not."""
        if column_stem in (self.whole, self.last):
            return 3 if column_stem == self.whole else 2
        return int(len(column_stem) >= 4 and self.last.startswith(column_stem))

    def ends(self, column_words: tuple[str, ...]) -> bool:
        """Whether the last words of a name are the entity, as in ``billing_address``."""
        return any("".join(column_words[i:]) == self.whole for i in range(len(column_words)))


def entity_of(table: str) -> Entity:
    """What one row of a table is called.

    Example:
        >>> entity_of("dim_order_items"), entity_of("People")
        (Entity(whole='orderitem', last='item'), Entity(whole='person', last='person'))
    """
    parts = list(words(table.rpartition(".")[2]))
    while len(parts) > 1 and parts[0] in _TABLE_PREFIX:
        del parts[0]
    last = _singular(parts[-1]) if parts else "?"  # a table without a letter is nobody's entity
    return Entity("".join(parts[:-1]) + last, last)


def _singular(word: str) -> str:
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if word.endswith("ies") and len(word) > 4 and word != "series":
        return word[:-3] + "y"
    if word.endswith(("sses", "xes", "ches", "shes")):
        return word[:-2]
    return word[:-1] if word.endswith("s") and not word.endswith(("ss", "us", "is", "series")) else word


def words(name: str) -> tuple[str, ...]:
    """Split a name.

    Example:
        >>> words("teamIDwinner"), words("park.key")
        (('team', 'id', 'winner'), ('park', 'key'))
    """
    return tuple(w.lower() for w in _WORD.findall(name))


def stem(column: str) -> str:
    """What a column named like a code identifies: ``customer`` for ``customer_id`` and ``customerid``, else empty."""
    parts = words(column)
    if len(parts) > 1 and parts[-1] in CODE:
        return "".join(parts[:-1])
    return parts[0][:-2] if len(parts) == 1 and parts[0].endswith("id") else ""


def ends(parts: tuple[str, ...], tail: tuple[str, ...]) -> bool:
    """Whether the words of a name end with others."""
    return bool(tail) and parts[-len(tail) :] == tail


def begins(parts: tuple[str, ...], head: tuple[str, ...]) -> bool:
    """Whether the words of a name begin with others, two at least."""
    return len(head) > 1 and parts[: len(head)] == head


def is_later(name: str) -> bool:
    """Whether a timestamp's name says something else than when its row became known."""
    return any(w.startswith(_LATER) or w in _LATER_WORDS for w in words(name))


def time_score(name: str) -> int:
    """How much a timestamp is named like the time at which rows become known: 0 not, 1 somewhat, 2 clearly."""
    parts = words(name)
    if name.lower() in _KNOWN or _BEGUN & set(parts):
        return 2
    return int(parts[-1:] != () and (parts[-1] in _TIMELY or parts[-1].endswith(("date", "time", "timestamp"))))


def sql_name(column: str) -> str:
    """A column as a person would write it in SQL."""
    return column if re.fullmatch(r"[A-Za-z_]\w*", column) else '"' + column.replace('"', '""') + '"'
