"""The table of tasks in the documentation is the code's own."""

import re
from pathlib import Path

import pytest

from model_catalog.tasks import TASKS
from scripts.make_tasks import DOCUMENT, ELSEWHERE, document
from tests.experts.models import FURTHER, MODELS
from tests.support.tiny import Builder

RUNNERS = Path(__file__).resolve().parent.parent / "runners"


def test_the_table_is_up_to_date() -> None:
    made, written = document(), DOCUMENT.read_text(encoding="utf-8")
    assert made == written, "make it anew: python -m scripts.make_tasks"


def test_every_task_has_a_row_that_works_or_says_why_not() -> None:
    rows = [
        [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        for line in DOCUMENT.read_text(encoding="utf-8").splitlines()
        if line.startswith("| ")
    ][1:]
    assert [row[0] for row in rows] == list(TASKS)
    for task, _, outputs, runner, classes, where, models in rows:
        assert outputs
        assert runner.startswith("`")
        assert classes, task
        assert where.startswith(("yes", "no: ")), task
        assert int(models) >= 1, task
    assert set(MODELS) | set(ELSEWHERE) == set(TASKS)


@pytest.mark.parametrize(
    "builder",
    sorted(
        {one for several in FURTHER.values() for one in several},
        key=lambda one: (one.__module__, one.__name__),
    ),
    ids=lambda one: f"{one.__module__.rpartition('.')[2]}.{one.__name__}",
)
def test_further_models_are_run_by_the_runners_tests(builder: Builder) -> None:
    used = "\n".join(path.read_text(encoding="utf-8") for path in RUNNERS.glob("test_*.py"))
    area = builder.__module__.rpartition(".")[2]
    assert re.search(rf"\b{area}\.{builder.__name__}\b|\b{builder.__name__}\b", used)
