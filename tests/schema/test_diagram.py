from __future__ import annotations

import builtins
import re
import xml.etree.ElementTree as ElementTree
from typing import Any

import pytest

from foreknow.errors import SchemaError
from foreknow.schema.diagram import MAX_FEATURES, TEXT_WIDTH, to_dot, to_png, to_svg, to_text
from foreknow.schema.table import Column, ForeignKey, Schema, Table
from foreknow.types import Stype

ODD = '<b>"x&y\\'
EVIL = "bad\x1b[31m\nname"


def table(name: str, columns: dict[str, Stype], **more: Any) -> Table:
    return Table(name=name, columns=tuple(Column(name=c, stype=s) for c, s in columns.items()), **more)


def link(column: str, to: str) -> ForeignKey:
    return ForeignKey(columns=(column,), table=to)


def schema(*tables: Table) -> Schema:
    return Schema({t.name: t for t in tables})


SHOP = schema(
    table(
        "customers",
        {"customer_id": Stype.KEY, "age": Stype.NUMERICAL, "referred_by": Stype.KEY},
        primary_key=("customer_id",),
        foreign_keys=(link("referred_by", "customers"),),
    ),
    table(
        "articles",
        {"article_id": Stype.KEY, "ean": Stype.KEY, "colour": Stype.CATEGORICAL, "junk": Stype.IGNORE},
        primary_key=("article_id",),
        candidate_keys=(("ean",),),
    ),
    table(
        "transactions",
        {"t_dat": Stype.TIMESTAMP, "customer_id": Stype.KEY, "article_id": Stype.KEY, "price": Stype.NUMERICAL},
        foreign_keys=(link("customer_id", "customers"), link("article_id", "articles")),
        time_column="t_dat",
    ),
    table(
        "likes",
        {"customer_id": Stype.KEY, "article_id": Stype.KEY},
        foreign_keys=(link("customer_id", "customers"), link("article_id", "articles")),
        kind="edge",
    ),
)
COMPOSITE = schema(
    table("Teams", {"year": Stype.KEY, "team": Stype.KEY}, primary_key=("year", "team")),
    table(
        "Batting",
        {"year": Stype.KEY, "team": Stype.KEY, "hits": Stype.NUMERICAL},
        foreign_keys=(ForeignKey(columns=("year", "team"), table="Teams"),),
    ),
)


def svg_texts(dot: str) -> list[str]:
    root = ElementTree.fromstring(to_svg(dot))
    return [" ".join("".join(e.itertext()).split()) for e in root.iter() if e.tag.endswith("}text")]


def test_links_run_from_the_right_of_a_key_to_the_left_of_its_target() -> None:
    dot = to_dot(SHOP)
    assert '"transactions":c1r:e -> "customers":c0l:w;' in dot
    assert '"transactions":c2r:e -> "articles":c0l:w;' in dot
    assert '"customers":c2r:e -> "customers":c0r:e;' in dot  # itself: a loop on the right
    assert "rankdir=LR" in dot
    assert "arrowtail=crow" in dot


def test_every_port_that_a_link_names_is_drawn() -> None:
    for s in (SHOP, COMPOSITE):
        ports, ends = set[tuple[str, str]](), set[tuple[str, str]]()
        for line in to_dot(s).splitlines():
            if "->" in line:
                ends.update(re.findall(r'"(\w+)":(\w+):', line))
            elif node := re.match(r'  "(\w+)" \[label=', line):
                ports.update((node[1], port) for port in re.findall(r'PORT="(\w+)"', line))
        assert ends
        assert ends <= ports


def test_keys_and_times_are_marked() -> None:
    marks = dict(re.findall(r"<B>([A-Z]+)</B></FONT></TD><TD[^>]*><FONT[^>]*>([\w]+)<", to_dot(SHOP)))
    assert marks == {"PK": "article_id", "FK": "article_id", "CK": "ean", "TIME": "t_dat"}  # the last of each


def test_row_counts_and_dangling_shares_are_shown_where_given() -> None:
    dot = to_dot(
        SHOP,
        row_counts={"customers": 1_371_980, "articles": 1},
        dangling={
            ("transactions", "customer_id"): 0.0536,
            ("transactions", "article_id"): 0.0,
            ("likes", "article_id"): 1e-5,
        },
    )
    assert "1,371,980 rows<" in dot
    assert "1 row<" in dot
    assert '"customers":c0l:w [label=<5.4% unmatched>];' in dot
    assert '"transactions":c2r:e -> "articles":c0l:w;' in dot
    assert "<0.1% unmatched" in svg_texts(dot)


def test_types_can_be_left_out() -> None:
    assert "categorical" in to_dot(SHOP)
    assert "categorical" not in to_dot(SHOP, show_types=False)


def test_edge_tables_look_different() -> None:
    dot = to_dot(SHOP)
    assert dot.count('STYLE="DASHED"') == 1
    assert dot.count("style=dashed") == 2


def test_composite_links_have_a_row_of_their_own() -> None:
    dot = to_dot(COMPOSITE)
    assert "(year, team)" in dot
    assert '"Batting":k0r:e -> "Teams":c0l:w;' in dot


def test_long_tables_are_abbreviated() -> None:
    wide = schema(table("wide", {f"c{i}": Stype.NUMERICAL for i in range(MAX_FEATURES + 9)} | {"x": Stype.IGNORE}))
    dot = to_dot(wide)
    assert dot.count(">numerical<") == MAX_FEATURES
    assert "... 9 more, 1 ignored" in dot


def test_the_many_tables_around_one_are_spread_on_both_sides() -> None:
    hub = table("hub", {"id": Stype.KEY}, primary_key=("id",))
    spokes = [table(f"s{i}", {"hub_id": Stype.KEY}, foreign_keys=(link("hub_id", "hub"),)) for i in range(40)]
    dot = to_dot(schema(hub, *spokes))
    assert '"s0":c0r:e -> "hub":c0l:w;' in dot
    assert '"hub":c0r:e -> "s39":c0l:w [minlen=2, arrowtail=tee, arrowhead=crow];' in dot
    assert dot.count("->") == 40


def test_names_survive_whatever_they_hold() -> None:
    odd = schema(
        table(
            ODD, {ODD: Stype.KEY, "数据": Stype.TEXT, EVIL: Stype.NUMERICAL, "": Stype.NUMERICAL}, primary_key=(ODD,)
        ),
        table("x", {ODD: Stype.KEY}, foreign_keys=(link(ODD, ODD),), time_column=ODD),
    )
    dot = to_dot(odd, dangling={("x", ODD): 0.5})
    texts = svg_texts(dot)
    assert texts.count(ODD) == 4  # the head of the table, its key, the foreign key and the time column
    assert "数据" in texts
    assert "50.0% unmatched" in texts
    for text in (dot, to_text(odd)):
        assert "\x1b" not in text
        assert "bad\N{REPLACEMENT CHARACTER}[31m\N{REPLACEMENT CHARACTER}name" in text


def test_images_are_what_they_say() -> None:
    dot = to_dot(SHOP)
    assert to_png(dot).startswith(b"\x89PNG")
    assert b"<svg" in to_svg(dot)
    assert to_png(to_dot(Schema({}))).startswith(b"\x89PNG")


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "pygraphviz":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(SchemaError, match="'pygraphviz' is not installed") as caught:
        to_svg(to_dot(SHOP))
    assert "[diagram]" not in str(caught.value), "there is no such extra"


def test_text_reads_well() -> None:
    text = to_text(
        SHOP,
        row_counts={"transactions": 31_788_324},
        dangling={("transactions", "customer_id"): 0.0, ("transactions", "article_id"): 0.0536},
    )
    assert (
        text
        == """\
╭─ customers ───────────────────────────────────────────────────────────────╮
│ key    customer_id                                                        │
│ time   none, always visible                                               │
│ links  referred_by ──▶ customers                                          │
│ from   customers.referred_by, transactions.customer_id, likes.customer_id │
│        numerical (1)        age                                           │
╰───────────────────────────────────────────────────────────────────────────╯
╭─ articles ────────────────────────────────────────────────────────────────╮
│ key    article_id                                                         │
│ or     ean                                                                │
│ time   none, always visible                                               │
│ from   transactions.article_id, likes.article_id                          │
│        categorical (1)      colour                                        │
│        ignored (1)          junk                                          │
╰───────────────────────────────────────────────────────────────────────────╯
╭─ transactions ─────────────────────────────────────────── 31,788,324 rows ╮
│ key    none                                                               │
│ time   t_dat                                                              │
│ links  customer_id ──▶ customers (100% match)                             │
│        article_id  ──▶ articles (94.6% match)                             │
│        numerical (1)        price                                         │
╰───────────────────────────────────────────────────────────────────────────╯
╭─ likes (edge) ────────────────────────────────────────────────────────────╮
│ time   none, always visible                                               │
│ links  customer_id ──▶ customers                                          │
│        article_id  ──▶ articles                                           │
╰───────────────────────────────────────────────────────────────────────────╯"""
    )


def test_boxes_are_straight_and_fit_a_terminal() -> None:
    wide = schema(
        table("数据" * 30, {"長い名前" * 20: Stype.KEY, **{f"数{i}" * 4: Stype.TEXT for i in range(50)}}),
        table(
            "t" * 200,
            {f"{'k' * 60}{i}": Stype.KEY for i in range(5)},
            foreign_keys=(ForeignKey(columns=tuple(f"{'k' * 60}{i}" for i in range(5)), table="数据" * 30),),
        ),
    )
    for line in to_text(wide, row_counts={"t" * 200: 10**12}).splitlines():
        cells = sum(2 if ord(ch) > 0x3000 else 1 for ch in line)
        assert cells <= TEXT_WIDTH
        assert line[-1] in "╮│╯"
    assert len({sum(2 if ord(c) > 0x3000 else 1 for c in x) for x in to_text(wide).splitlines()}) == 1


def test_composite_keys_and_no_schema_as_text() -> None:
    assert "links  year + team ──▶ Teams\n" in re.sub(r" +│", "", to_text(COMPOSITE))
    assert "key    year + team" in to_text(COMPOSITE)
    assert to_text(Schema({})) == ""
