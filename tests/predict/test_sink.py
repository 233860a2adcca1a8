"""What holds for every sink, and what only for one kind."""

import datetime as dt
import subprocess
import sys
import threading

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from foreknow.errors import SinkError
from foreknow.predict import sink as sinks
from foreknow.predict.sink import DuckDBSink, ParquetSink, open_sink

LINEAGE = {
    "model_version": ["m", "m"],
    "run_id": ["r", "r"],
    "predicted_at": [dt.datetime(2026, 1, 1, tzinfo=dt.UTC)] * 2,
}
FIRST = pa.table({"id": [1, 2], "probs": [0.25, 0.75], **LINEAGE})
SECOND = pa.table({"id": [3, 4], "probs": [0.5, 0.5], **LINEAGE})
DATA = pa.table({"id": [1, 2], "name": ["a", "b"]})


class Files:
    """A folder of Parquet files."""

    def __init__(self, folder):
        self.place = folder / "out"
        self.sink = ParquetSink(self.place)

    def put(self, name, table):
        self.place.mkdir(exist_ok=True)
        pq.write_table(table, self.place / f"{name}.parquet")

    def get(self, name):
        return pq.read_table(self.place / f"{name}.parquet")

    def names(self):
        return {p.stem for p in self.place.iterdir()} if self.place.exists() else set()


class Database:
    """A DuckDB file."""

    def __init__(self, folder):
        self.place = folder / "out.duckdb"
        self.sink = DuckDBSink(self.place)

    def put(self, name, table):
        with duckdb.connect(str(self.place)) as connection:
            connection.register("new_rows", table)
            connection.execute(f'CREATE TABLE "{name}" AS SELECT * FROM new_rows')

    def get(self, name):
        with duckdb.connect(str(self.place), read_only=True) as connection:
            return connection.sql(f'SELECT * FROM "{name}" ORDER BY id').to_arrow_table()

    def names(self):
        if not self.place.exists():
            return set()
        with duckdb.connect(str(self.place), read_only=True) as connection:
            return {r[0] for r in connection.sql("SELECT table_name FROM duckdb_tables()").fetchall()}


@pytest.fixture(params=[Files, Database])
def kind(request, tmp_path):
    return request.param(tmp_path)


# Every sink


def test_tables_arrive_whole_and_where_is_said(kind):
    kind.sink.check(["A", "B"], overwrite=False)
    assert kind.names() == set(), "checking leaves nothing behind"
    where = kind.sink.write({"A": FIRST, "B": SECOND}, overwrite=False)
    assert kind.names() == {"A", "B"}
    assert kind.get("A").select(["id", "probs"]).to_pydict() == {"id": [1, 2], "probs": [0.25, 0.75]}
    assert kind.get("A")["predicted_at"].to_pylist() == LINEAGE["predicted_at"]
    assert all(str(kind.place) in text and "(2 rows)" in text for text in where.values())


def test_a_table_that_exists_is_left_as_it_is(kind):
    kind.put("A", FIRST)
    for act in (
        lambda: kind.sink.check(["A", "B"], overwrite=False),
        lambda: kind.sink.write({"B": SECOND, "A": SECOND}, overwrite=False),
    ):
        with pytest.raises(SinkError, match=r"A.* exists already in .* and is left as it is\nHint: .*--overwrite"):
            act()
    assert kind.names() == {"A"}, "all tables or none"
    assert kind.get("A")["id"].to_pylist() == [1, 2]


def test_all_tables_in_the_way_are_named_at_once(kind):
    kind.put("A", FIRST)
    kind.put("B", FIRST)
    with pytest.raises(SinkError, match=r"A.*, B.* exists already"):
        kind.sink.check(["A", "B", "C"], overwrite=False)


def test_predictions_are_replaced_if_asked(kind):
    kind.put("A", FIRST)
    kind.sink.check(["A"], overwrite=True)
    kind.sink.write({"A": SECOND}, overwrite=True)
    assert kind.get("A")["id"].to_pylist() == [3, 4]


def test_what_holds_no_predictions_is_never_replaced(kind):
    kind.put("customers", DATA)
    with pytest.raises(SinkError, match=r"customers.* doesn't hold predictions and is left as it is"):
        kind.sink.check(["customers"], overwrite=True)
    with pytest.raises(SinkError, match=r"customers.* doesn't hold predictions"):
        kind.sink.write({"customers": FIRST}, overwrite=True)
    assert kind.get("customers").column_names == ["id", "name"]


@pytest.mark.parametrize("name", ["", " "])
def test_a_table_needs_a_name(kind, name):
    with pytest.raises(SinkError, match="is no name for a"):
        kind.sink.check([name], overwrite=False)


def test_a_place_that_cannot_be_written_to_is_refused_before_any_work(tmp_path):
    (tmp_path / "file").write_text("")
    for sink in (ParquetSink(tmp_path / "file" / "out"), DuckDBSink(tmp_path / "nowhere" / "x.duckdb")):
        with pytest.raises(SinkError, match="is no folder that may be written to"):
            sink.check(["A"], overwrite=False)


# DuckDB


def test_names_are_told_apart_as_duckdb_does(tmp_path):
    database = Database(tmp_path)
    database.put("Predictions", FIRST)
    with pytest.raises(SinkError, match=r"PREDICTIONS \(2 rows\) exists already"):
        database.sink.check(["PREDICTIONS"], overwrite=False)


def test_any_name_is_just_a_name(tmp_path):
    database = Database(tmp_path)
    name = 'x"; DROP TABLE y; --'
    database.put("y", DATA)
    database.sink.write({name: FIRST}, overwrite=False)
    assert database.names() == {name, "y"}


def test_a_view_is_never_replaced(tmp_path):
    database = Database(tmp_path)
    database.put("A", FIRST)
    with duckdb.connect(str(database.place)) as connection:
        connection.execute("CREATE VIEW V AS SELECT * FROM A")
    with pytest.raises(SinkError, match=r"V \(a view\) exists already"):
        database.sink.check(["V"], overwrite=False)
    with pytest.raises(SinkError, match=r"V \(a view\) .* doesn't hold predictions"):
        database.sink.check(["V"], overwrite=True)


HOLD = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print('open', flush=True); input()"


def hold(place):
    """Open a file in a process of its own: DuckDB's lock doesn't hold within one."""
    command = [sys.executable, "-c", HOLD, str(place)]
    holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline() == "open\n"
    return holder


def test_a_file_another_process_lets_go_of_is_waited_for(tmp_path):
    database = Database(tmp_path)
    database.put("A", FIRST)
    holder = hold(database.place)
    timer = threading.Timer(0.5, holder.communicate, ["\n"])
    timer.start()
    database.sink.check(["B"], overwrite=False)
    timer.join()
    assert holder.returncode == 0


def test_a_file_another_process_holds_open(tmp_path, monkeypatch):
    monkeypatch.setattr(sinks, "LOCK_WAIT_S", 0.2)
    database = Database(tmp_path)
    database.put("A", FIRST)
    holder = hold(database.place)
    try:
        with pytest.raises(SinkError, match=r"can't write to .*\nHint: another process holds the file open"):
            database.sink.check(["B"], overwrite=False)
    finally:
        holder.communicate("\n")


def test_what_is_no_duckdb_file_is_refused(tmp_path):
    path = tmp_path / "x.duckdb"
    path.write_text("no database, but long enough to be looked at closely" * 100)
    with pytest.raises(SinkError, match=r"can't write to .*x.duckdb") as caught:
        DuckDBSink(path).check(["A"], overwrite=False)
    assert "is it a DuckDB file?" in str(caught.value)
    assert path.read_text().startswith("no database")


def test_a_failed_write_changes_nothing(tmp_path):
    database = Database(tmp_path)
    database.put("A", FIRST)
    large = pa.table({"x": pa.array([1], pa.decimal256(60, 2))})  # more digits than DuckDB has
    with pytest.raises(SinkError, match="nothing was changed"):
        database.sink.write({"B": FIRST, "C": large}, overwrite=True)
    assert database.names() == {"A"}


# Parquet


@pytest.mark.parametrize("name", ["../x", "a/b", ".hidden"])
def test_a_name_does_not_lead_out_of_the_folder(tmp_path, name):
    with pytest.raises(SinkError, match="is no name for a file"):
        ParquetSink(tmp_path).check([name], overwrite=False)


def test_something_else_of_that_name_is_left_alone(tmp_path):
    (tmp_path / "A.parquet").write_text("no Parquet")
    with pytest.raises(SinkError, match="doesn't hold predictions"):
        ParquetSink(tmp_path).check(["A"], overwrite=True)


def test_nothing_half_written_stays(tmp_path, monkeypatch):
    def full(table, path):
        path.write_bytes(b"half")
        raise OSError("no space left on device")

    monkeypatch.setattr(pq, "write_table", full)
    with pytest.raises(SinkError, match="no space left on device"):
        ParquetSink(tmp_path / "out").write({"A": FIRST}, overwrite=False)
    assert not list((tmp_path / "out").iterdir())


# Which


def test_the_name_of_the_place_says_which_sink(tmp_path):
    assert isinstance(open_sink(tmp_path), ParquetSink)
    assert isinstance(open_sink(tmp_path / "new"), ParquetSink)
    assert isinstance(open_sink(tmp_path / "new.duckdb"), DuckDBSink)
    assert isinstance(open_sink(tmp_path / "new.db"), DuckDBSink)
    (tmp_path / "shop").write_text("")
    assert isinstance(open_sink(tmp_path / "shop"), DuckDBSink), "a file is a database, whatever its name"
    (tmp_path / "v1.2").mkdir()
    assert isinstance(open_sink(tmp_path / "v1.2"), ParquetSink)
    for name in ("out.csv", "out.parquet"):
        with pytest.raises(SinkError, match="is neither a DuckDB file nor a folder"):
            open_sink(tmp_path / name)
