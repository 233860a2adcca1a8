"""From measured phases to a table a person can read."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

PARTS = ("load", "forward", "backward", "optimizer")
RULE = "-" * 100
STEADY = 1.25  # rounds that differ by more than this were disturbed


def step_summary(rounds: Sequence[Mapping[str, Any]], clock: str, batch_size: int) -> dict[str, Any]:
    """Medians over the steps of all rounds. Parts that were not measured (a load fed by us) are None."""
    steps = [step for r in rounds for step in r["parts"]]
    parts = {p: statistics.median(s[p][clock] for s in steps) if p in steps[0] else None for p in PARTS}
    total = statistics.median(sum(part[clock] for part in s.values()) for s in steps)
    spread = [statistics.median(sum(p[clock] for p in s.values()) for s in r["parts"]) for r in rounds]
    return {
        "clock": clock,
        "ms": 1e3 * total,
        "seeds_per_s": batch_size / total,
        "parts_ms": {p: None if v is None else 1e3 * v for p, v in parts.items()},
        "rounds_ms": [1e3 * s for s in spread],
        "steps": len(steps),
    }


def ready_summary(rounds: Sequence[Mapping[str, Any]], rows: int) -> dict[str, Any]:
    """Medians over the rounds, the highest peak of all, and every round's seconds. Laps are the last round's."""
    clocks = ("wall", "cpu")
    return {
        **rounds[-1],
        "rows": rows,
        "total": {c: statistics.median(r["total"][c] for r in rounds) for c in clocks},
        "start_up": {k: statistics.median(r["start_up"][k] for r in rounds) for k in ("cpu", "gib")},
        "process_peak_gib": max(r["process_peak_gib"] for r in rounds),
        "rounds_cpu_s": [r["total"]["cpu"] for r in rounds],
    }


def render(result: Mapping[str, Any]) -> str:
    """The whole report."""
    lines = [*_head(result)]
    for part, show in (("ready", _ready), ("sampler", _sampler), ("steps", _steps), ("accuracy", _accuracy)):
        if result.get(part):
            lines += ["", *show(result[part])]
    before, after = result["machine"]["load"], result["load_after"]
    lines += ["", f"load (1, 5, 15 min): {_list(before)} before, {_list(after)} after"]
    return "\n".join(lines)


def _head(result: Mapping[str, Any]) -> Iterable[str]:
    m, s, rows = result["machine"], result["settings"], result["rows"]
    against = "alone" if s["no_peer"] else "against PyG + pytorch-frame + HeteroGraphSAGE"
    yield f"Foreknow {against}, one run, {result['started']}"
    yield f"{m['processor']}, {m['cores']} cores, {m['memory_gib']} GiB; {m['system']}"
    yield ", ".join(f"{k} {v or 'missing'}" for k, v in result["versions"].items())
    tables = ", ".join(f"{rows[t]:,} {t}" for t in ("customers", "articles", "transactions"))
    yield f"data: {s['size']}, {tables}; {rows['train']:,} training rows"
    yield (
        f"step: fan-out {s['fan_out']}, {s['strategy']}, batch {s['batch_size']}, {s['channels']} channels, float32, "
        f"{s['rounds']} rounds"
    )
    if result.get("fed_by") == "foreknow":
        yield "the peer has no temporal sampler here: fed from ours, and spared the time of sampling and gathering"
    elif result.get("fed_by"):
        yield f"the peer draws its batches with {result['fed_by']}"


def _ready(ready: Mapping[str, Any]) -> Iterable[str]:
    yield from _title("From files to ready to train (2 threads)", "wall s", "CPU s", "rows/s", "peak GiB", "B/fact")
    for name in ("csv", "parquet", "peer"):
        if name in ready:
            r = ready[name]
            label = "peer, Parquet" if name == "peer" else f"Foreknow, {'CSV' if name == 'csv' else 'Parquet'}"
            yield _row(
                label,
                f"{r['total']['wall']:.2f}",
                f"{r['total']['cpu']:.2f}",
                f"{r['rows'] / r['total']['wall']:,.0f}",
                f"{r['process_peak_gib']:.2f}",
                f"{r['bytes_per_fact']['total']:.0f}",
            )
    if "peer" in ready and "parquet" in ready:
        a, b = ready["parquet"], ready["peer"]
        yield _row(
            "ratio, from Parquet",
            *(_ratio(b["total"][c], a["total"][c]) for c in ("wall", "cpu")),
            "",
            _ratio(b["process_peak_gib"], a["process_peak_gib"]),
            _ratio(b["bytes_per_fact"]["total"], a["bytes_per_fact"]["total"]),
        )
        pairs = zip(b["rounds_cpu_s"], a["rounds_cpu_s"], strict=True)
        yield "    CPU ratio by round: " + ", ".join(_ratio(peer, ours) for peer, ours in pairs)
        whole = [r["total"]["cpu"] + r["start_up"]["cpu"] for r in (b, a)]
        yield f"    CPU ratio with start-up counted on both sides: {_ratio(*whole)}"
    if "parquet" in ready:
        begun = {
            ("peer" if n == "peer" else "Foreknow"): ready[n]["start_up"] for n in ("parquet", "peer") if n in ready
        }
        spent = ", ".join(f"{n} {b['cpu']:.1f} CPU s and {b['gib']:.2f} GiB" for n, b in begun.items())
        yield f"    start-up before that (imports, compiled kernels), in the peaks but not in the seconds: {spent}"
    for name in ("csv", "parquet", "peer"):
        if name in ready:
            r = ready[name]
            laps = sorted(r["laps"].items(), key=lambda lap: -lap[1]["cpu"])[:6]
            yield (
                f"    {name}: rounds {_list(r['rounds_cpu_s'])}; "
                + ", ".join(f"{k} {v['cpu']:.2f}" for k, v in laps)
                + " (CPU s)"
            )


def _sampler(sampler: Mapping[str, Any]) -> Iterable[str]:
    yield from _title(f"The sampler alone (1 thread, batch {sampler['batch_size']})", "seeds/CPU s", "rows/batch")
    for f in sampler["figures"]:
        name = f"fan-out {f['fan_out']}, {f['strategy']}"
        yield _row(name, f"{f['seeds_per_cpu_s']:,.0f}", f"{f['rows_per_batch']:,.0f}")


def _steps(steps: Sequence[Mapping[str, Any]]) -> Iterable[str]:
    for s in steps:
        clock = "CPU" if s["clock"] == "cpu" else "wall"
        yield from _title(f"Training step, {s['threads']} thread(s), {clock} ms", "step", *PARTS, "seeds/s")
        for side in ("ours", "peer"):
            if side in s:
                name, v = "Foreknow" if side == "ours" else "peer", s[side]
                parts = ("left out" if x is None else f"{x:.1f}" for x in v["parts_ms"].values())
                yield _row(name, f"{v['ms']:.1f}", *parts, f"{v['seeds_per_s']:,.0f}")
        if "peer" in s:
            rounds = list(zip(s["peer"]["rounds_ms"], s["ours"]["rounds_ms"], strict=True))
            each = ", ".join(_ratio(peer, ours) for peer, ours in rounds)
            yield _row("ratio", _ratio(s["peer"]["ms"], s["ours"]["ms"])) + f"    by round: {each}"
        for side in ("ours", "peer"):
            if side in s:
                rows = ", ".join(f"{n:,.0f} {t}" for t, n in s[f"{side}_rows"].items())
                rounds = _list(s[side]["rounds_ms"], 1)
                yield f"    {side}: {s[side]['steps']} steps, rounds {rounds} ms; a batch holds {rows}"
        if any(
            max(s[side]["rounds_ms"]) > STEADY * min(s[side]["rounds_ms"]) for side in ("ours", "peer") if side in s
        ):
            yield "    the rounds differ: the machine was busy with something else. Repeat when it is quiet"


def _accuracy(accuracy: Mapping[str, Any]) -> Iterable[str]:
    yield from _title("Validation ROC-AUC over CPU seconds of training", "step", "CPU s", "ROC-AUC")
    for side in ("ours", "peer"):
        for p in accuracy.get(side, {}).get("curve", []):
            name = "Foreknow" if side == "ours" else "peer"
            yield _row(name, f"{p['step']:.0f}", f"{p['cpu_s']:.1f}", f"{p['val_auc']:.4f}")


def _title(text: str, *columns: str) -> Iterable[str]:
    yield _row(text, *columns)
    yield RULE


def _row(name: str, *cells: str) -> str:
    return f"{name:<40}" + "".join(f"{c:>12}" for c in cells)


def _ratio(peer: float, ours: float) -> str:
    return f"{peer / ours:.1f}x"


def _list(values: Iterable[float], digits: int = 2) -> str:
    return ", ".join(f"{v:.{digits}f}" for v in values)
