"""Answers from tables."""

import pytest
import transformers

from deployments.errors import ExpertError, InputError
from deployments.media import Table
from deployments.result import Input
from deployments.runners.tables import TableAnswerer, _counted, _flat
from tests.support.neural import alike, ask, ask_all, opened, shared
from tests.support.tiny import Builder, text

TASK = "table-question-answering"
PEOPLE = Table(("name", "age"), (("alice", "12"), ("bob", "30"), ("cat", "1,200")))


def answerer(builder: Builder) -> TableAnswerer:
    runner = shared(TASK, builder, TASK)
    assert isinstance(runner, TableAnswerer)
    return runner


def test_chosen_cells_are_those_of_the_pipeline() -> None:
    import pandas

    runner = answerer(text.tapas)
    pipe = transformers.pipeline(TASK, model=runner.model, tokenizer=runner.tokenizer, device="cpu")
    frame = pandas.DataFrame(list(PEOPLE.rows), columns=list(PEOPLE.columns), dtype=object)
    expected = pipe(table=frame, query="how many")
    found = ask(runner, TASK, text="how many", table=PEOPLE)
    assert found.data["cells"] == expected["cells"]
    assert found.data["cells"]
    assert [tuple(place) for place in found.data["coordinates"]] == sorted(expected["coordinates"])
    assert found.data["aggregator"] == expected["aggregator"] == "COUNT"
    assert found.data["answer"] == str(len(expected["cells"]))
    assert found.text is not None
    assert found.text.startswith(f"{found.data['answer']} (the number of")


def test_eight_tables_at_once_are_as_eight_alone() -> None:
    for builder in (text.tapas, text.tapex):
        several = [
            {"text": f"who is {n}", "table": Table(PEOPLE.columns, PEOPLE.rows[: 1 + n % 3])}
            for n in range(8)
        ]
        batch = ask_all(answerer(builder), TASK, several)
        alone = [ask(answerer(builder), TASK, **args) for args in several]
        assert alike([result.data for result in batch], [result.data for result in alone])


def test_chosen_numbers_are_counted_added_and_averaged() -> None:
    ages = [(row, 1) for row in range(3)]
    assert _counted(PEOPLE, ages, "SUM").text == "1242 (the sum of 12, 30, 1,200)"
    assert _counted(PEOPLE, ages, "AVERAGE").data["answer"] == "414"
    assert _counted(PEOPLE, ages, "COUNT").data["answer"] == "3"
    assert _counted(PEOPLE, [(1, 0)], "NONE").text == "bob"
    names = _counted(PEOPLE, [(0, 0), (1, 0)], "SUM")  # names cannot be added
    assert (names.text, names.data["aggregator"]) == ("alice, bob", "NONE")
    nothing = _counted(PEOPLE, [], "SUM")
    assert nothing.text == "The table holds no answer to this question."
    assert nothing.data["cells"] == []


def test_a_table_is_one_line_for_a_model_that_writes() -> None:
    assert _flat(PEOPLE, str) == ("col : name | age row 1 : alice | 12 row 2 : bob | 30 row 3 : cat | 1,200")
    runner = answerer(text.tapex)
    _, _, line = runner.ready(Input(TASK, {"text": "Who is Bob?", "table": PEOPLE}))
    assert line.startswith("who is bob? col : name | age row 1 : ")
    written = ask(runner, TASK, text="who is bob", table=PEOPLE)
    assert written.data["answer"] == written.text


@pytest.mark.parametrize("builder", [text.tapas, text.tapex])
def test_a_table_that_does_not_fit_is_refused_with_numbers(builder: Builder) -> None:
    large = Table(PEOPLE.columns, PEOPLE.rows * 30)
    with pytest.raises(InputError, match=r"of its 90 rows about \d+ fit"):
        ask(answerer(builder), TASK, text="who is bob", table=large)


def test_a_question_without_a_table_is_refused() -> None:
    for table in (None, Table(("name",), ())):
        with pytest.raises(InputError, match="needs a table with rows"):
            ask(answerer(text.tapas), TASK, text="who is bob", table=table)
    with pytest.raises(InputError, match="'text'"):
        ask(answerer(text.tapas), TASK, text=" ", table=PEOPLE)


def test_a_model_of_texts_is_refused() -> None:
    with pytest.raises(ExpertError, match="LlamaForCausalLM cannot do table-question-answering"):
        opened(TASK, text.llama, TASK)
