"""Ready-made projects: a database, a project file and a task, put into a folder."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from foreknow.demo import hm
from foreknow.errors import SourceError

__all__ = ["DemoProject", "flights_folder", "make", "make_churn", "make_flights"]

Progress = Callable[[str, float], None]

HM_PROJECT = """\
# An H&M-shaped shop. Everything here was inferred from the tables; edit what you like.
dataset: HM_Dataset
source: hm.duckdb

tables:
  customers:
    key: customer_id
    columns:
      FN: categorical
      Active: categorical
      club_member_status: categorical
      fashion_news_frequency: categorical
      age: numerical
      postal_code: categorical
  articles:
    key: article_id
    columns:
      product_code: categorical
      prod_name: text
      product_type_no: categorical
      product_type_name: ignore            # the same as product_type_no, in words; likewise below
      product_group_name: categorical
      graphical_appearance_no: categorical
      graphical_appearance_name: ignore
      colour_group_code: categorical
      colour_group_name: ignore
      perceived_colour_value_id: categorical
      perceived_colour_value_name: ignore
      perceived_colour_master_id: categorical
      perceived_colour_master_name: ignore
      department_no: categorical
      department_name: ignore
      index_code: categorical
      index_name: ignore
      index_group_no: categorical
      index_group_name: ignore
      section_no: categorical
      section_name: ignore
      garment_group_no: categorical
      garment_group_name: ignore
      detail_desc: text
  transactions:
    time: t_dat
    links: {{customer_id: customers, article_id: articles}}
    columns:
      price: numerical
      sales_channel_id: categorical

tasks:
  Churn:                                   # of those who bought last week, who buys nothing next week?
    type: binary_classification
    entity: {{customer_id: customers.customer_id}}
    time: timestamp
    label: churn
    metric: average_precision
    tables:                                # 52 weekly seed times to train on, one each to validate and to test
{splits}
train:
  epochs: 6
  batch_size: 512
  eval_batch_size: 1024
  num_neighbors: [64, 32]
"""


@dataclass(frozen=True, kw_only=True)
class DemoProject:
    """A project made for trying out."""

    project_file: Path
    task: str
    question: str
    table: str
    at: str
    data: Path

    def next_commands(self, run_id: str) -> list[tuple[str, str]]:
        """Three commands worth trying next, each with what it does."""
        p = f"--project {shlex.quote(str(self.project_file))}"
        return [
            (f"foreknow inspect {shlex.quote(str(self.data))} --columns", "what every column means, and why"),
            (
                f"foreknow predict --run {run_id} --at {self.at} --into {self.table}_NEXT {p}",
                "score every entity at the end of the data",
            ),
            (
                f"foreknow train {self.task} --epochs 15 --register {self.task.lower()} --alias champion {p}",
                "train longer and register the model",
            ),
        ]


def make(which: str, folder: Path, *, size: str = "small", progress: Progress | None = None) -> DemoProject:
    """Make a demo project, or find the one made earlier."""
    if which == "churn":
        return make_churn(folder, size=size, progress=progress)
    return make_flights(folder)


def make_churn(folder: Path, *, size: str = "small", progress: Progress | None = None) -> DemoProject:
    """The H&M-shaped shop and its churn task."""
    database, project = folder / "hm.duckdb", folder / "foreknow.yaml"
    marker = folder / ".size"
    if not database.exists() or not marker.exists() or marker.read_text() != size:
        hm.generate(database, size=size, progress=progress, overwrite=True)
        marker.write_text(size)
    if not project.exists():
        project.write_text(hm_project())
    return DemoProject(
        project_file=project,
        task="Churn",
        question="of the customers who bought something in the past 7 days, who buys nothing in the next 7?",
        table="PREDICTIONS_CHURN",
        at="2020-09-22",
        data=database,
    )


def hm_project() -> str:
    """Text of the project file for the H&M-shaped data."""
    splits = []
    for split in ("train", "validation", "test"):
        lines = hm.churn_sql(split).strip().splitlines()
        splits.append(f"      {split}: >-\n" + "\n".join(f"        {line.strip()}" for line in lines))
    return HM_PROJECT.format(splits="\n".join(splits) + "\n")


def make_flights(folder: Path) -> DemoProject:
    """Every flight out of Seattle and Portland in 2014, and whether it was late."""
    source = flights_folder()
    for file in sorted(source.iterdir()):
        if file.is_file() and not (folder / file.name).exists():
            shutil.copyfile(file, folder / file.name)
    return DemoProject(
        project_file=folder / "foreknow.yaml",
        task="flight_late",
        question="at midnight before the flight: will it arrive more than 15 minutes late?",
        table="PREDICTIONS_FLIGHT_LATE",
        at="2014-12-31",
        data=folder,
    )


def flights_folder() -> Path:
    """Where the flights data is: inside the installed package, or in ``examples/`` of a checkout.

    Raises:
        SourceError: It is in neither place.
    """
    packaged = Path(str(files("foreknow.demo"))) / "data" / "flights"
    checkout = Path(__file__).resolve().parents[3] / "examples" / "flights"
    for folder in (packaged, checkout):
        if (folder / "flights.csv.gz").exists():
            return folder
    raise SourceError("the flights data is not installed", hint="reinstall foreknow, or use the checkout's examples/")
