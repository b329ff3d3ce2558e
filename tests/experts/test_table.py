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


def _name(builder: Builder) -> str:
    return f"{builder.__module__.rpartition('.')[2]}.{getattr(builder, '__name__', '')}"


@pytest.mark.parametrize(
    "name", sorted({_name(builder) for several in FURTHER.values() for builder in several})
)
def test_further_models_are_run_by_the_runners_tests(name: str) -> None:
    used = "\n".join(path.read_text(encoding="utf-8") for path in RUNNERS.glob("test_*.py"))
    assert re.search(rf"\b{name.partition('.')[2]}\b", used)
