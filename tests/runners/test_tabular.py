"""Classes of a table's rows."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deployments.errors import ExpertError, InputError
from deployments.media import Table
from deployments.result import Input
from deployments.runners.tabular import RowClassifier
from tests.support.neural import ask, model_card
from tests.support.tiny import Builder, tabular, tiny

TASK = "tabular-classification"


def loaded(folder: Path) -> RowClassifier:
    runner = RowClassifier()
    runner.load(model_card(TASK, folder, TASK), "cpu")
    return runner


@pytest.fixture(scope="module")
def forest() -> RowClassifier:
    return loaded(tiny(tabular.forest))


def test_every_row_has_its_class_and_score(forest: RowClassifier) -> None:
    table = Table(("kind", "Height", "width", "note"), (("wild", "3", "9.5", "x"), ("tame", "", "1", "y")))
    found = ask(forest, TASK, table=table)
    assert [row["label"] for row in found.data] == ["daisy", "tulip"]
    assert [row["row"] for row in found.data] == [1, 2]
    assert all(0.5 < row["score"] <= 1 for row in found.data)
    assert found.text is not None
    assert found.text.splitlines()[0].startswith("row 1: daisy (")


def test_columns_may_be_named_by_the_hubs_file_alone() -> None:
    runner = loaded(tiny(tabular.boosted))
    table = Table(("height", "width"), (("3", "9.5"), ("9.5", "1")))
    assert [row["label"] for row in ask(runner, TASK, table=table).data] == ["daisy", "tulip"]


def test_a_model_without_names_and_scores_reads_columns_in_order() -> None:
    runner = loaded(tiny(tabular.machine))
    found = ask(runner, TASK, table=Table(("a", "b"), (("9.5", "3"), ("0.5", "3"))))
    assert found.data == [{"row": 1, "label": "daisy"}, {"row": 2, "label": "tulip"}]
    with pytest.raises(InputError, match="reads tables of 2 columns; this one has 1"):
        ask(runner, TASK, table=Table(("a",), (("9.5",),)))


def test_many_rows_are_told_in_few_words(forest: RowClassifier) -> None:
    found = ask(forest, TASK, table=Table(tabular.COLUMNS, (("1", "2", "wild"),) * 30))
    assert len(found.data) == 30
    assert found.text is not None
    assert found.text.splitlines()[-1] == "and 10 more rows"


def test_a_bad_table_is_refused_alone(forest: RowClassifier) -> None:
    good = Input(TASK, {"table": Table(tabular.COLUMNS, (("1", "2", "wild"),))})
    lacking = Input(TASK, {"table": Table(("width",), (("1",),))})
    wordy = Input(TASK, {"table": Table(tabular.COLUMNS, (("wide", "2", "wild"),))})
    first, second, third, fourth = forest.run([good, lacking, wordy, Input(TASK, {})])
    assert not isinstance(first, Exception)
    assert "lacks the columns height, kind" in str(second)
    assert "cannot use this table" in str(third)
    assert "needs a table" in str(fourth)
    assert all(isinstance(answer, InputError) for answer in (second, third, fourth))


@pytest.mark.parametrize(
    ("builder", "reason"),
    [
        (tabular.pickled, "a pickle is never loaded"),
        (tabular.regression, "LinearRegression, which does not classify"),
        (tabular.neighbours, "not known to be harmless: sklearn.*KDTree"),
    ],
)
def test_models_that_are_not_safe_or_do_not_classify_are_refused(builder: Builder, reason: str) -> None:
    with pytest.raises(ExpertError, match=reason):
        loaded(tiny(builder))


def test_which_of_two_models_is_meant_is_not_guessed(tmp_path: Path) -> None:
    for name in ("one", "other"):
        (tmp_path / f"{name}.skops").write_bytes(b"")
    with pytest.raises(ExpertError, match="one model stored with skops, and has 2"):
        loaded(tmp_path)


def test_a_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.skops").write_bytes(b"PK\x03\x04 nothing")
    with pytest.raises(ExpertError, match="cannot be loaded"):
        loaded(tmp_path)


def _misled(array: str, value: int) -> Any:
    """A decision tree whose first node leads elsewhere."""
    from sklearn.tree import DecisionTreeClassifier

    rows, classes = tabular.flowers()
    model = DecisionTreeClassifier(random_state=0).fit(rows[["width", "height"]], classes)
    state = model.tree_.__getstate__()
    state["nodes"] = state["nodes"].copy()
    state["nodes"][array][0] = value
    model.tree_.__setstate__(state)
    return model


@pytest.mark.parametrize(("array", "value"), [("left_child", 10_000), ("right_child", 0), ("feature", 7)])
def test_a_tree_that_leads_outside_its_arrays_is_refused(tmp_path: Path, array: str, value: int) -> None:
    tabular.store(tmp_path, _misled(array, value))
    with pytest.raises(ExpertError, match="broken decision tree"):
        loaded(tmp_path)


def test_trees_that_read_more_columns_than_their_forest_are_refused(tmp_path: Path) -> None:
    from sklearn.ensemble import RandomForestClassifier

    rows, classes = tabular.flowers()
    numbers = rows[["width", "height"]].to_numpy()
    model = RandomForestClassifier(2, random_state=0).fit(np.hstack([numbers, numbers]), classes)
    model.n_features_in_ = 2
    tabular.store(tmp_path, model)
    with pytest.raises(ExpertError, match="broken decision tree"):
        loaded(tmp_path)
