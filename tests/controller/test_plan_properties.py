"""Plans: what holds for any JSON."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from controller import reference
from controller.errors import TooManyTasksError
from controller.plan import Plan
from model_catalog.tasks import TASKS

Raw = dict[str, Any]


def _task(task: str, task_id: Any, dep: Any = None, **args: Any) -> Raw:
    return {"task": task, "id": task_id, "dep": [-1] if dep is None else dep, "args": args}


def _caption(task_id: int, image: str = "/a.png") -> Raw:
    return _task("image-to-text", task_id, image=image)


def _speak(task_id: int, text: Any, dep: Any = None) -> Raw:
    return _task("text-to-speech", task_id, dep, text=text)


_WORDS = st.sampled_from(
    [
        "<GENERATED>-0",
        "<node-1>",
        "<GENERATED-2>, <GENERATED>-0",
        "a <resource>-1 b",
        "[<node-0>, <node-1>]",
        "hi",
        "/a.png",
        "",
    ]
)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | _WORDS | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
_RAWS = st.lists(
    _JSON
    | st.fixed_dictionaries(
        {},
        optional={
            "task": st.sampled_from(sorted(TASKS)) | _JSON,
            "id": st.integers(-1, 4) | _JSON,
            "dep": st.lists(st.integers(-1, 4), max_size=3) | _JSON,
            "args": st.dictionaries(
                st.sampled_from(
                    ["text", "image", "audio", "video", "question", "text1", "text2", "table", "x"]
                ),
                _WORDS | _JSON,
                max_size=4,
            )
            | _JSON,
            "want": st.sampled_from(["ocr", "caption", "x"]) | _JSON,
            "model": _JSON,
        },
    ),
    max_size=7,
)


@settings(max_examples=250, deadline=None)
@given(_RAWS)
def test_no_json_breaks_the_parser_and_every_plan_is_sound(raws: list[Any]) -> None:
    try:
        plan = Plan.parse(raws)
    except TooManyTasksError:
        return
    ids = [task.id for task in plan.tasks]
    assert len(set(ids)) == len(ids)
    known = set(ids)
    for task in plan.tasks:
        referred = {n for value in task.args.values() for n in reference.find(value)}
        assert referred <= set(task.dep) <= known
        assert all(isinstance(value, str) and value for value in task.args.values())
    done: set[int] = set()
    while ready := [task.id for task in plan.tasks if task.id not in done and set(task.dep) <= done]:
        done.update(ready)
    assert done == known


@settings(max_examples=250, deadline=None)
@given(_RAWS)
def test_the_wire_form_of_a_plan_parses_to_itself(raws: list[Any]) -> None:
    try:
        wire = Plan.parse(raws).wire()
    except TooManyTasksError:
        return
    again = Plan.parse(wire)
    assert again.wire() == wire
    assert again.faults == []
    assert again.notes == []
