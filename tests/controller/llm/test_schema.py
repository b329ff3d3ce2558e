"""The schema of plans: what strict modes take; and tasks as LLMs write them, in the wire form of plans."""

from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest

from controller.llm.schema import ARGUMENTS, option_names, plan_form, raw_task, wire_name
from controller.plan import Plan
from model_catalog.tasks import TASKS
from tests.controller.llm.planning import caption, speak, strict_form, task
from tests.support import strict


@pytest.mark.parametrize("models", [(), ("a/b", "c/d"), tuple(f"owner/model-{n}" for n in range(200))])
def test_openai_takes_the_schema(models: tuple[str, ...]) -> None:
    form = plan_form(models)
    assert strict.fault({"name": form.name, "schema": form.schema, "strict": True}) is None
    jsonschema.Draft202012Validator.check_schema(form.schema)


def _fits(plan: Any, models: tuple[str, ...] = ()) -> bool:
    return bool(jsonschema.Draft202012Validator(plan_form(models).schema).is_valid(plan))


def test_tasks_come_before_the_reply() -> None:
    assert list(plan_form(()).schema["properties"]) == ["tasks", "reply"]


def test_a_plan_fits_and_what_is_none_does_not() -> None:
    good = strict_form(caption(0)) | {"want": "ocr", "options": [{"name": "seed", "value": "7"}]}
    assert _fits({"tasks": [good], "reply": None})
    assert _fits({"tasks": [], "reply": "Hello"})
    for bad in (
        {"task": "sing"}, {"id": "0"}, {"dep": [None]}, {"want": "song"}, {"args": {"text": "x"}},
        {"options": [{"name": "strange", "value": "7"}]}, {"options": [{"name": "seed", "value": 7}]},
        {"more": 1},
    ):  # fmt: skip
        assert not _fits({"tasks": [good | bad], "reply": None}), bad
    assert not _fits({"tasks": [good]})
    assert not _fits([good])


def test_only_models_that_are_offered_can_be_named() -> None:
    chosen = strict_form(caption(0)) | {"model": "a/b", "reason": "it reads better"}
    assert _fits({"tasks": [chosen], "reply": None}, ("a/b", "c/d"))
    assert not _fits({"tasks": [chosen | {"model": "x/y"}], "reply": None}, ("a/b", "c/d"))


def test_every_task_and_every_argument_can_be_written() -> None:
    schema = plan_form(()).schema["properties"]["tasks"]["items"]["properties"]
    assert schema["task"]["enum"] == list(TASKS)
    options = schema["options"]["anyOf"][0]["items"]["properties"]["name"]["enum"]
    for row in TASKS.values():
        for argument in (*row.arguments, *row.knobs):
            name = wire_name(argument)
            assert name in ARGUMENTS or name in options
            assert row.argument(name) == argument
        assert set(option_names(row)) <= set(options)


@pytest.mark.parametrize("row", TASKS.values(), ids=lambda row: row.name)
def test_every_task_with_all_its_arguments_is_a_plan(row: Any) -> None:
    named = {wire_name(argument): f"/files/{argument.name}" for argument in row.arguments}
    options = [{"name": name, "value": "7"} for name in option_names(row)]
    args = {name: value for name, value in named.items() if name in ARGUMENTS}
    plan = Plan.parse([raw_task(strict_form(task(row.name, 0, **args)) | {"options": options})])
    assert (plan.notes, plan.faults) == ([], [])
    assert set(plan.tasks[0].args) == {argument.name for argument in (*row.arguments, *row.knobs)}


def test_null_is_left_out() -> None:
    assert raw_task(strict_form(speak(3, "hi", [1]))) == {
        "task": "text-to-speech", "id": 3, "dep": [1], "args": {"text": "hi"},
    }  # fmt: skip


@pytest.mark.parametrize(
    "written",
    [
        {"args": {"text": "hi"}},
        {"arguments": {"text": "hi"}},
        {"parameters": {"text": "hi", "image": None}},
        {"text": "hi"},
        {"args": None, "text": "hi"},
        {"args": [{"name": "text", "value": "hi"}]},
        {"args": {"text": None}, "options": {"text": "hi"}},
    ],
)
def test_arguments_are_found_where_llms_put_them(written: dict[str, Any]) -> None:
    assert raw_task({"task": "text-to-speech", "id": 0, **written})["args"] == {"text": "hi"}


@pytest.mark.parametrize(("dep", "read"), [(None, []), (1, [1]), ([0, 1], [0, 1]), ("0", ["0"])])
def test_dependencies_are_a_list(dep: Any, read: list[Any]) -> None:
    assert raw_task({"task": "x", "dep": dep})["dep"] == read


def test_wishes_that_say_nothing_are_none() -> None:
    wishes = {"want": "none", "model": "", "reason": "NULL"}
    assert raw_task({"task": "x", "id": 0, "args": {}, **wishes}).keys() == {"task", "id", "dep", "args"}


def test_arguments_that_are_none_stay_a_fault() -> None:
    (fault,) = Plan.parse([raw_task({"task": "text-to-speech", "id": 0, "args": "hi"})]).faults
    assert fault.reason == "args must be an object of argument names and values"
