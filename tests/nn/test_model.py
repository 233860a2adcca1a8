"""The network against message passing written as loops over rows, and the laws it keeps."""

import math
import re
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import torch

from foreknow.graph.encode import fit_encoding
from foreknow.nn.conv import role_of
from foreknow.nn.model import num_parameters, set_output_bias
from foreknow.sample.loader import Seeds
from foreknow.testing.market import (
    END,
    START,
    build_market,
    market_loader,
    market_network,
    market_schema,
    market_tables,
)
from foreknow.types import DAY_S

pytestmark = pytest.mark.filterwarnings("error")

NOW = START + 300 * DAY_S


def seeds_at(rows, times):
    rows = np.asarray(rows, np.int32)
    return Seeds(row=rows, time=np.broadcast_to(np.asarray(times, np.int64), rows.shape).copy())


def batch_of(loader, rows, times, **options):
    seeds = seeds_at(rows, times)
    return loader.batch(seeds, np.arange(len(seeds)), **options)


def embedded(network, batch):
    network.eval()
    with torch.no_grad():
        return network.embed(batch)


# --- against loops over rows --------------------------------------------------------------------------------------


def encode(network, batch):
    """Every row of every set, with what time adds to it."""
    vectors = []
    for s, rows in zip(network.plan.sets, batch.sets, strict=True):
        extra = []
        if rows.days is not None and network.config.use_temporal_encoder:
            extra += [network.age(rows.days), network.clock(rows.clock)]
        if s.kind == "seeds":
            for block in batch.history.split(batch.history.shape[1] // network.num_links, 1):
                counts, last = block[:, :-1], block[:, -1:]
                extra.append((1 + counts).log())
                if network.config.use_temporal_encoder:
                    extra += [(1 + last.clamp_min(0)).log() / 4, (last == -1).float()]
            if network.config.use_temporal_encoder:
                extra.append(network.clock(batch.seed_clock))
        x = network.columns[network.names[role_of(s)]](rows, torch.cat(extra, 1) if extra else None)
        if s.kind == "seeds" and network.id_awareness is not None:
            x = x + network.id_awareness
        vectors.append(x)
    return vectors


def combine(vectors, how, size):
    if not vectors:
        return torch.zeros(size)
    stacked = torch.stack(vectors)
    return {"sum": stacked.sum(0), "mean": stacked.mean(0), "max": stacked.amax(0)}[how]


def message(conv, plan, h, sets, link, receiver, i):
    """What one row hears along one link."""
    sender, rows = h[link.index], sets[link.index]
    names = f"{conv.names[role_of(link)]}_{conv.names[role_of(receiver)]}"
    weight = conv.message[f"{link.kind}{link.edge}_{names}"].weight
    if link.kind == "parents":
        at = int(rows.link[i])
        return torch.zeros(len(weight)) if at < 0 else weight @ sender[at]
    children = [j for j, owner in enumerate(rows.owner.tolist()) if owner == i]
    heard = weight @ combine([sender[j] for j in children], conv.aggregation, sender.shape[1])
    if link.kind == "edges":
        for end in plan.hanging_from(link.index):
            other = conv.message[f"parents{end.edge}_{conv.names[role_of(end)]}_{conv.names[role_of(receiver)]}"].weight
            at = sets[end.index].link.tolist()
            ends = [torch.zeros(len(other)) if at[j] < 0 else other @ h[end.index][at[j]] for j in children]
            heard = heard + combine(ends, conv.aggregation, len(other))
    return heard + torch.log1p(rows.degree[i]) * conv.degree[f"{link.kind}{link.edge}_{names}"]


def pass_messages(conv, plan, h, sets):
    """One layer on every row of every set it has weights for, at once."""
    out = list(h)
    for s in plan.sets:
        name, links = conv.names[role_of(s)], plan.hanging_from(s.index)
        back = s.back and f"back{s.edge}_{conv.names[role_of(plan.sets[s.source])]}_{name}"
        if s.kind == "edges":
            continue
        if name not in conv.own or (back and back not in conv.message) or h[s.index] is None:
            out[s.index] = None
            continue
        try:
            rows = []
            for i, x in enumerate(h[s.index]):
                heard = [message(conv, plan, h, sets, link, s, i) for link in links]
                if back:
                    heard.append(conv.message[back].weight @ h[s.source][int(sets[s.index].owner[i])])
                own = conv.own[name].weight @ x + conv.own[name].bias
                rows.append(own + combine(heard, conv.hetero_aggregation, len(own)))
        except (KeyError, TypeError):  # no weights for, or no vectors in, what hangs from here: nothing seeds depend on
            out[s.index] = None
            continue
        size = conv.own[name].out_features
        out[s.index] = conv.norm[name](torch.stack(rows) if rows else torch.empty(0, size)).relu()
    return out


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"conv_aggregation": "sum", "hetero_conv_aggregation": "mean", "gnn_norm": "none"},
        {"conv_aggregation": "max", "hetero_conv_aggregation": "max", "gnn_norm": "instance"},
        {"conv_aggregation": "max", "hetero_conv_aggregation": "sum", "gnn_norm": "batch"},
        {"num_layers": 1, "id_awareness": True},
        {"num_layers": 3, "use_temporal_encoder": False},
    ],
    ids=lambda o: "-".join(map(str, o.values())) or "defaults",
)
def test_only_what_seeds_need_is_computed_and_it_is_what_all_rows_together_would_give(market, encoding, options):
    loader = market_loader(market, encoding, num_neighbors=(3, 2))
    network = market_network(loader, encoding, **options)
    with torch.no_grad():
        for p in network.parameters():  # no zeros, no ones: every term shows
            p.add_(torch.randn_like(p) * 0.2)
    batch = batch_of(loader, [0, 3, 5, 8], [NOW, NOW, END, END])
    filled = {(p.table, p.kind, p.depth) for s, p in zip(batch.sets, network.plan.sets, strict=True) if len(s)}
    assert filled == {(p.table, p.kind, p.depth) for p in network.plan.sets if p.table != "complaints"}
    with torch.no_grad():
        h = encode(network.eval(), batch)
        for conv in network.convs:
            h = pass_messages(conv, network.plan, h, batch.sets)
    found = embedded(network, batch)
    assert found.shape == (4, 8)
    assert torch.allclose(found, h[0], atol=1e-4, rtol=1e-4)
    assert found.abs().sum() > 0


def test_there_are_as_many_layers_as_hops_unless_told_otherwise(market, encoding):
    loader = market_loader(market, encoding, num_neighbors=(3, 2, 1))
    assert [len(market_network(loader, encoding, num_layers=n).convs) for n in (None, 1, 4)] == [3, 1, 4]


def test_history_is_told_as_logarithms_and_a_flag_where_there_is_none(market, encoding):
    """Two windows; one seed with a child this very moment, one without any. The other six links have none."""
    loader = market_loader(market, encoding)
    none, raw = [0.0, 0, -1], torch.tensor([[1.0, 3, 0], [0, 0, -1]])
    history = torch.cat([raw, torch.tensor(none * 6).expand(2, -1)], 1)
    told = market_network(loader, encoding)._history(history).view(2, 7, 4)
    assert told[0, 0].tolist() == pytest.approx([math.log(2), math.log(4), 0, 0])
    assert told[1, 0].tolist() == told[0, 1].tolist() == [0, 0, 0, 1]
    counts = market_network(loader, encoding, use_temporal_encoder=False)._history(history).view(2, 7, 2)
    assert torch.equal(counts, told[:, :, :2])


def test_outputs_are_the_head_of_the_seeds_vectors(market, encoding):
    loader = market_loader(market, encoding)
    network = market_network(loader, encoding, num_outputs=3, head_layers=2).eval()
    batch = batch_of(loader, range(5), NOW)
    out = network(batch)
    assert out.shape == (5, 3)
    assert torch.equal(out, network.head(network.embed(batch)))


# --- laws ---------------------------------------------------------------------------------------------------------


def test_a_batch_split_in_two_gives_the_same_outputs(market, encoding):
    loader = market_loader(market, encoding, strategy="last")
    network = market_network(loader, encoding)
    rows, times = np.arange(24), np.repeat([NOW, END], 12)
    whole = embedded(network, batch_of(loader, rows, times))
    parts = [embedded(network, batch_of(loader, rows[p], times[p])) for p in (slice(0, 7), slice(7, 24))]
    assert torch.allclose(whole, torch.cat(parts), atol=1e-5)


def test_the_same_batch_twice_gives_the_same_bits(market, encoding):
    loader = market_loader(market, encoding)
    network = market_network(loader, encoding)
    one, two = (embedded(network, batch_of(loader, range(24), NOW, epoch=3)) for _ in range(2))
    assert torch.equal(one, two)


def test_seeds_in_another_order_give_outputs_in_that_order(market, encoding):
    loader = market_loader(market, encoding)
    network = market_network(loader, encoding)
    rows, times = np.arange(24), np.tile([NOW, END], 12)
    order = np.random.default_rng(0).permutation(24)
    straight = embedded(network, batch_of(loader, rows, times))
    assert torch.allclose(embedded(network, batch_of(loader, rows[order], times[order])), straight[order], atol=1e-5)


@pytest.mark.parametrize("options", [{}, {"use_temporal_encoder": False, "head_layers": 2, "id_awareness": True}])
def test_every_parameter_learns(market, encoding, options):
    """But for those of a table without rows. And a table without columns is one vector: its last bias is enough."""
    loader = market_loader(market, encoding, num_neighbors=(4, 4))
    network = market_network(loader, encoding, head_norm="layer", conv_aggregation="sum", **options)
    out = network(batch_of(loader, np.arange(24).repeat(2), np.tile([NOW, END], 24)))
    (out * torch.randn_like(out)).sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in network.parameters())
    idle = {n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()}
    complaints, regions = (network.names[f"table:{t}"] for t in ("complaints", "regions"))
    assert {n for n in idle if complaints not in re.split("[._]", n)} == {
        f"columns.{regions}.{part}" for part in ("bias", "norm.weight", "norm.bias", "out.weight")
    }


def test_id_awareness_marks_the_seeds(market, encoding):
    loader = market_loader(market, encoding)
    batch = batch_of(loader, range(6), NOW)
    plain = market_network(loader, encoding)
    marked = market_network(loader, encoding, id_awareness=True)
    assert marked.state_dict().keys() - plain.state_dict().keys() == {"id_awareness"}
    marked.load_state_dict(plain.state_dict(), strict=False)
    assert torch.equal(embedded(marked, batch), embedded(plain, batch))
    with torch.no_grad():
        marked.id_awareness += torch.randn(8)
    assert not torch.allclose(embedded(marked, batch), embedded(plain, batch))


# --- time ---------------------------------------------------------------------------------------------------------


def test_without_the_temporal_encoder_no_age_and_no_clock_is_read(market, encoding):
    loader = market_loader(market, encoding)
    batch = batch_of(loader, range(12), NOW)

    def spoilt(x):
        return None if x is None else torch.full_like(x, torch.nan)

    history = batch.history.clone().view(12, -1, 3)
    history[:, :, -1] = torch.nan  # days since the last child
    other = replace(
        batch,
        sets=tuple(replace(s, days=spoilt(s.days), clock=spoilt(s.clock)) for s in batch.sets),
        seed_clock=spoilt(batch.seed_clock),
        history=history.view(12, -1),
    )
    network = market_network(loader, encoding, use_temporal_encoder=False)
    assert torch.equal(embedded(network, batch), embedded(network, other))
    network = market_network(loader, encoding)
    assert embedded(network, other).isnan().all()


def shifted_market(folder, seconds):
    """The market at another time, seen with encodings fitted then."""
    tables = market_tables()
    delta = pa.scalar(seconds, pa.duration("s")).cast(pa.duration("us"))
    for name, table in tables.items():
        for i, field in enumerate(table.schema):
            if pa.types.is_timestamp(field.type):
                table = table.set_column(i, field.name, pc.add(table[field.name], delta))
        tables[name] = table
    store = build_market(folder, tables)
    return store, fit_encoding(store, NOW + seconds)


@pytest.fixture(scope="module")
def tomorrow(tmp_path_factory):
    return shifted_market(tmp_path_factory.mktemp("tomorrow"), DAY_S + 3600)


@pytest.fixture(scope="module")
def in_400_years(tmp_path_factory):
    """A whole number of days, weeks and years."""
    return shifted_market(tmp_path_factory.mktemp("later"), 146_097 * DAY_S)


def vectors(store, encoding, shift, **options):
    loader = market_loader(store, encoding, num_neighbors=(-1, -1))
    network = market_network(loader, encoding, **options)
    return embedded(network, batch_of(loader, range(24), [t + shift for t in [NOW, END] * 12]))


def test_without_the_temporal_encoder_only_time_differences_count(market, encoding, tomorrow):
    shift = DAY_S + 3600
    here, there = vectors(market, encoding, 0), vectors(*tomorrow, shift)
    assert not torch.allclose(here, there, atol=1e-3)  # another hour, another day of the week
    options = {"use_temporal_encoder": False}
    assert torch.equal(vectors(market, encoding, 0, **options), vectors(*tomorrow, shift, **options))


def test_with_it_the_clock_turns_and_comes_back(market, encoding, in_400_years):
    assert torch.allclose(vectors(market, encoding, 0), vectors(*in_400_years, 146_097 * DAY_S), atol=1e-4)


# --- odd databases ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("norm", ["layer", "batch"])
@pytest.mark.parametrize("rows", [[0], [0, 1, 2]], ids=["one seed", "three seeds"])
def test_seeds_without_any_past_have_outputs(market, encoding, rows, norm):
    loader = market_loader(market, encoding)
    network = market_network(loader, encoding, gnn_norm=norm, head_norm=norm)
    batch = batch_of(loader, rows, START - 600 * DAY_S)
    assert [len(s) for s in batch.sets] == [len(rows)] + [0] * (len(batch.sets) - 1)
    out = network.train()(batch)
    assert out.shape == (len(rows), 1)
    assert out.isfinite().all()
    out.sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in network.parameters())


def test_no_seeds_have_no_outputs(market, encoding):
    loader = market_loader(market, encoding)
    network = market_network(loader, encoding).eval()
    assert network(batch_of(loader, [], NOW)).shape == (0, 1)


@pytest.mark.parametrize("table", [t.name for t in market_schema() if t.name != "complaints"])
@pytest.mark.parametrize("windows_days", [(), (30,)], ids=["no window", "one window"])
def test_every_table_can_be_predicted_for(market, encoding, table, windows_days):
    """With features of every kind or none, with time or without, with children or without, edges too."""
    task = {"entity_table": table, "entity_columns": (), "entity_key": ()}
    loader = market_loader(market, encoding, num_neighbors=(2, 2), windows_days=windows_days, **task)
    for temporal in (True, False):
        network = market_network(loader, encoding, use_temporal_encoder=temporal)
        out = network(batch_of(loader, range(3), END))
        assert out.shape == (3, 1)
        assert out.isfinite().all()


def twins(tmp_path, key_features):
    """Two customers of one look and no past, as embedded."""
    tables = market_tables()
    customers = tables["customers"]
    rows = pa.table(
        {
            name: pa.array(
                [100, 101] if name == "customer_id" else [customers[name][3].as_py()] * 2, customers[name].type
            )
            for name in customers.column_names
        }
    )
    store = build_market(
        tmp_path, {**tables, "customers": pa.concat_tables([customers, rows])}, key_features=key_features
    )
    encoding = fit_encoding(store, END)
    loader = market_loader(store, encoding)
    network = market_network(loader, encoding)
    one, two = store["customers"].to_row(np.array([24, 25]))
    return embedded(network, batch_of(loader, [one, two], END)), encoding


def test_shallow_embeddings_tell_twins_apart(tmp_path):
    vectors, _ = twins(tmp_path / "plain", ())
    assert torch.equal(vectors[0], vectors[1])
    vectors, encoding = twins(tmp_path / "shallow", ("customers",))
    assert not torch.allclose(vectors[0], vectors[1])
    assert set(encoding.tables["customers"].categories["customer_id"]) >= {"0", "100", "101"}


# --- weights ------------------------------------------------------------------------------------------------------


def test_the_same_random_state_makes_the_same_network(market, encoding):
    loader = market_loader(market, encoding)
    one, two = (market_network(loader, encoding).state_dict() for _ in range(2))
    assert list(one) == list(two)
    assert all(torch.equal(one[k], two[k]) for k in one)


def test_weights_carry_over_by_their_names(market, encoding):
    loader = market_loader(market, encoding)
    one = market_network(loader, encoding, gnn_norm="batch")
    one.train()(batch_of(loader, range(12), NOW))  # running statistics are state, too
    torch.manual_seed(9)
    two = market_network(loader, encoding, gnn_norm="batch")
    two.load_state_dict(one.state_dict())
    batch = batch_of(loader, range(12), END)
    assert torch.equal(embedded(one, batch), embedded(two, batch))


def test_parameters_are_counted(market, encoding):
    network = market_network(market_loader(market, encoding), encoding)
    assert num_parameters(network) == sum(p.numel() for p in network.parameters())
    network.head.requires_grad_(False)
    assert num_parameters(network) == sum(p.numel() for p in network.parameters()) - 2 * 8 - 8 - 1


def test_the_output_bias_is_where_training_starts(market, encoding):
    loader = market_loader(market, encoding)
    network = market_network(loader, encoding, num_outputs=2)
    set_output_bias(network, [1.5, -2])
    assert network.head.out.bias.tolist() == [1.5, -2]
    with torch.no_grad():
        network.head.out.weight.zero_()
    assert network(batch_of(loader, range(3), NOW)).tolist() == [[1.5, -2]] * 3
