"""Plans: what is valid, what is mended, what is left out."""

from typing import Any

import pytest

from controller.errors import TooManyTasksError
from controller.plan import MAX_ID, MAX_TASKS, Plan
from model_catalog.tasks import Modality

Raw = dict[str, Any]


def _task(task: str, task_id: Any, dep: Any = None, **args: Any) -> Raw:
    return {"task": task, "id": task_id, "dep": [-1] if dep is None else dep, "args": args}


def _caption(task_id: int, image: str = "/a.png") -> Raw:
    return _task("image-to-text", task_id, image=image)


def _speak(task_id: int, text: Any, dep: Any = None) -> Raw:
    return _task("text-to-speech", task_id, dep, text=text)


def test_the_wire_form_of_hugginggpts_readme_comes_back_unchanged() -> None:
    wire = [
        _task("openpose-control", 0, image="/examples/d.jpg"),
        _task("image-to-text", 1, image="/examples/e.jpg"),
        {
            "task": "openpose-text-to-image",
            "id": 2,
            "dep": [1, 0],
            "args": {"text": "<GENERATED>-1", "image": "<GENERATED>-0"},
        },
    ]
    plan = Plan.parse(wire)
    assert plan.wire() == wire
    assert plan.notes == []
    assert plan.faults == []


@pytest.mark.parametrize(
    "written", ["<GENERATED>-0", "<GENERATED-0>", "<resource>-0", "<resource-0>", "<node-0>", " <node-0> "]
)
def test_every_form_of_reference_is_read(written: str) -> None:
    plan = Plan.parse([_caption(0), _speak(1, written)])
    assert plan.task(1).args == {"text": "<GENERATED>-0"}
    assert plan.task(1).dep == (0,)


def test_references_inside_a_longer_text_are_kept_in_place() -> None:
    plan = Plan.parse([_caption(0), _task("text-to-image", 1, text="a well-known photo of <node-0>, in oil")])
    assert plan.task(1).args == {"text": "a well-known photo of <GENERATED>-0, in oil"}
    assert plan.task(1).dep == (0,)


def test_explicit_and_inferred_dependencies_are_united() -> None:
    plan = Plan.parse([_caption(0), _caption(1), _caption(2), _speak(3, "<GENERATED>-2", dep=[0, 2])])
    assert plan.task(3).dep == (2, 0)


def test_an_explicit_dependency_without_a_reference_is_kept() -> None:
    """JARVIS's fix_dep erased it (P5)."""
    plan = Plan.parse([_caption(0), _speak(1, "hello", dep=[0])])
    assert plan.task(1).dep == (0,)
    assert [task.id for task in plan.final] == [0, 1]


@pytest.mark.parametrize("dep", [[-1], [], None, -1, "x", ["0"], [True], {"0": 1}])
def test_odd_dependencies_mean_none(dep: Any) -> None:
    plan = Plan.parse([_caption(0), {"task": "text-to-speech", "id": 5, "dep": dep, "args": {"text": "hi"}}])
    assert plan.task(5).dep == ()
    assert plan.faults == []


def test_a_single_number_is_a_dependency() -> None:
    assert Plan.parse([_caption(0), _speak(1, "hi", dep=0)]).task(1).dep == (0,)


def test_a_dependency_on_nothing_known_is_ignored_with_a_note() -> None:
    plan = Plan.parse([_speak(0, "hi", dep=[7])])
    assert plan.task(0).dep == ()
    assert plan.notes == [
        "task 0 (text-to-speech): it named 7 in dep, where no such task is before it; ignored"
    ]


def test_tasks_may_come_in_any_order_and_keep_theirs() -> None:
    plan = Plan.parse(
        [_speak(2, "<GENERATED>-1"), _task("translation", 1, text="<GENERATED>-0"), _caption(0)]
    )
    assert [task.id for task in plan.tasks] == [2, 1, 0]
    assert plan.faults == []


def test_unknown_references_are_faults_and_the_rest_stays() -> None:
    plan = Plan.parse([_caption(0), _speak(1, "<GENERATED>-9")])
    assert [task.id for task in plan.tasks] == [0]
    (fault,) = plan.faults
    assert (fault.id, fault.task) == (1, "text-to-speech")
    assert "refers to task 9" in fault.reason
    assert fault.raw == _speak(1, "<GENERATED>-9")


def test_dependents_of_a_fault_are_faults() -> None:
    plan = Plan.parse([_task("no-such-task", 0, text="a"), _speak(1, "<GENERATED>-0"), _speak(2, "hi")])
    assert [task.id for task in plan.tasks] == [2]
    assert [fault.id for fault in plan.faults] == [0, 1]


@pytest.mark.parametrize("name", ["no-such-task", "", None, 3, ["image-to-text"], {}])
def test_unknown_task_types_are_faults(name: Any) -> None:
    plan = Plan.parse([{"task": name, "id": 0, "args": {"text": "a"}}])
    assert plan.tasks == []
    assert len(plan.faults) == 1


@pytest.mark.parametrize("name", ["Image to Text", "image_to_text", " IMAGE-TO-TEXT ", "image-to-text"])
def test_task_types_are_read_leniently(name: str) -> None:
    assert Plan.parse([{"task": name, "id": 0, "args": {"image": "/a.png"}}]).tasks[0].task == "image-to-text"


def test_a_cycle_is_left_out_and_what_stands_beside_it_stays() -> None:
    plan = Plan.parse([_speak(0, "<GENERATED>-1"), _speak(1, "<GENERATED>-0"), _caption(2)])
    assert [task.id for task in plan.tasks] == [2]
    assert {fault.id for fault in plan.faults} == {0, 1}
    assert all("waits for itself" in fault.reason for fault in plan.faults)


def test_what_hangs_on_a_cycle_is_told_so() -> None:
    plan = Plan.parse(
        [
            _task("translation", 0, text="<node-1>"),
            _task("translation", 1, text="<node-0>"),
            _speak(2, "<node-1>"),
        ]
    )
    reasons = {fault.id: fault.reason for fault in plan.faults}
    assert "waits for itself" in reasons[0]
    assert "refers to task 1" in reasons[2]


def test_a_reference_to_itself_is_a_fault() -> None:
    (fault,) = Plan.parse([_speak(0, "<GENERATED>-0")]).faults
    assert "waits for itself" in fault.reason


def test_its_own_id_in_dep_is_ignored_with_a_note() -> None:
    plan = Plan.parse([_speak(0, "hi", dep=[0])])
    assert plan.task(0).dep == ()
    assert "named 0 in dep" in plan.notes[0]


def test_duplicate_ids_keep_the_first() -> None:
    plan = Plan.parse([_caption(0, "/a.png"), _caption(0, "/b.png")])
    assert [dict(task.args) for task in plan.tasks] == [{"image": "/a.png"}]
    assert plan.faults[0].reason == "the id 0 is used twice"


@pytest.mark.parametrize("written", [None, "x", True, -3, 1.5, "9" * 5000, MAX_ID + 1, 10**30])
def test_a_missing_or_odd_id_is_replaced_by_a_fresh_one(written: Any) -> None:
    plan = Plan.parse([_caption(4), {"task": "text-to-speech", "id": written, "args": {"text": "hi"}}])
    assert [task.id for task in plan.tasks] == [4, 5]


def test_an_id_written_as_text_is_read() -> None:
    plan = Plan.parse(
        [{"task": "image-to-text", "id": "3", "args": {"image": "/a.png"}}, _speak(4, "<node-3>")]
    )
    assert plan.task(4).dep == (3,)


@pytest.mark.parametrize("raw", [None, 3, "text", [], ["a"], True])
def test_a_task_must_be_an_object(raw: Any) -> None:
    (fault,) = Plan.parse([raw]).faults
    assert "must be an object" in fault.reason
    assert fault.task == "?"


def test_null_arguments_are_left_out_of_the_wire_form() -> None:
    plan = Plan.parse([_task("question-answering", 0, question="Who?", context=None)])
    assert plan.wire()[0]["args"] == {"question": "Who?"}


def test_a_wrong_modality_is_a_fault() -> None:
    plan = Plan.parse([_speak(0, "hi"), _task("object-detection", 1, image="<GENERATED>-0")])
    assert plan.faults[0].reason == "image needs image, but task 0 gives audio"


def test_mends_are_noted_with_the_task() -> None:
    plan = Plan.parse([_caption(0), _task("text-to-speech", 1, image="<GENERATED>-0")])
    assert plan.task(1).args == {"text": "<GENERATED>-0"}
    assert plan.notes == ["task 1 (text-to-speech): took 'image' for 'text'"]


def test_a_missing_argument_is_taken_from_dep() -> None:
    plan = Plan.parse([_caption(0), {"task": "text-to-speech", "id": 1, "dep": [0], "args": {}}])
    assert plan.task(1).args == {"text": "<GENERATED>-0"}


def test_want_and_model_are_read_and_stay_off_the_wire() -> None:
    plan = Plan.parse([_caption(0) | {"want": "ocr", "model": "a/b"}])
    assert (plan.tasks[0].want, plan.tasks[0].model) == ("ocr", "a/b")
    assert set(plan.wire()[0]) == {"task", "id", "dep", "args"}


@pytest.mark.parametrize("want", ["sing", 3, ["ocr"]])
def test_a_want_that_means_nothing_is_ignored_with_a_note(want: Any) -> None:
    plan = Plan.parse([_caption(0) | {"want": want, "model": 3}])
    assert plan.tasks[0].want is None
    assert plan.tasks[0].model is None
    assert "means nothing here" in plan.notes[0]


def test_literal_media_arguments_are_its_files() -> None:
    plan = Plan.parse([_caption(0), _task("openpose-text-to-image", 1, text="<node-0>", image="/d.jpg")])
    assert plan.task(0).files() == (("/a.png", Modality.IMAGE),)
    assert plan.task(1).files() == (("/d.jpg", Modality.IMAGE),)


# Unfolding


def test_a_list_of_references_becomes_one_task_each_with_ids_of_their_own() -> None:
    """JARVIS gave every copy one id, and the last result overwrote the others (P4)."""
    plan = Plan.parse([_caption(0), _caption(1, "/b.png"), _speak(2, "<GENERATED>-0, <GENERATED>-1")])
    copies = plan.tasks[2:]
    assert [task.id for task in copies] == [2, 3]
    assert [dict(task.args) for task in copies] == [{"text": "<GENERATED>-0"}, {"text": "<GENERATED>-1"}]
    assert [task.dep for task in copies] == [(0,), (1,)]


def test_two_unfoldable_tasks_in_a_row_are_both_unfolded() -> None:
    """JARVIS skipped the second one and failed (P3)."""
    plan = Plan.parse(
        [
            _caption(0),
            _caption(1),
            _speak(2, ["<node-0>", "<node-1>"]),
            _task("translation", 3, text="<node-0>,<node-1>"),
        ]
    )
    assert [task.task for task in plan.tasks[2:]] == ["text-to-speech"] * 2 + ["translation"] * 2
    assert len({task.id for task in plan.tasks}) == 6


def test_two_lists_in_one_task_go_side_by_side() -> None:
    """JARVIS failed on two foldable arguments (P3)."""
    plan = Plan.parse(
        [
            _caption(0),
            _caption(1, "/b.png"),
            _task("depth-estimation", 2, image="/c.png"),
            _task("depth-estimation", 3, image="/d.png"),
            _task("depth-text-to-image", 4, text="<node-0>,<node-1>", image="<node-2>,<node-3>"),
        ]
    )
    assert [dict(task.args) for task in plan.tasks[4:]] == [
        {"text": "<GENERATED>-0", "image": "<GENERATED>-2"},
        {"text": "<GENERATED>-1", "image": "<GENERATED>-3"},
    ]


def test_dependents_of_an_unfolded_task_are_unfolded() -> None:
    """JARVIS ran the dependent once (P4)."""
    plan = Plan.parse(
        [
            _caption(0),
            _caption(1, "/b.png"),
            _task("translation", 2, text="<node-0>, <node-1>"),
            _speak(3, "<GENERATED>-2"),
        ]
    )
    spoken = [task for task in plan.tasks if task.task == "text-to-speech"]
    translated = [task.id for task in plan.tasks if task.task == "translation"]
    assert [task.dep for task in spoken] == [(task_id,) for task_id in translated]
    assert len({task.id for task in plan.tasks}) == len(plan.tasks)


def test_a_text_that_holds_an_unfolded_reference_takes_every_copy() -> None:
    plan = Plan.parse(
        [
            _caption(0),
            _caption(1, "/b.png"),
            _task("translation", 2, text="<node-0>, <node-1>"),
            _task("summarization", 9, text="All of it: <node-2>"),
        ]
    )
    first, second = (task.id for task in plan.tasks if task.task == "translation")
    assert plan.task(9).args == {"text": f"All of it: <GENERATED>-{first}\n<GENERATED>-{second}"}
    assert plan.task(9).dep == (first, second)


def test_an_explicit_dependency_on_an_unfolded_task_means_every_copy() -> None:
    plan = Plan.parse([_caption(0), _caption(1), _speak(2, "<node-0>,<node-1>"), _speak(9, "hi", dep=[2])])
    assert plan.task(9).dep == (2, 10)


def test_copies_take_no_id_that_the_plan_uses() -> None:
    plan = Plan.parse([_caption(0), _caption(1), _speak(2, "<node-0>,<node-1>"), _speak(3, "hi")])
    assert sorted(task.id for task in plan.tasks) == [0, 1, 2, 3, 4]


def test_lists_of_different_lengths_cannot_fill_the_memory() -> None:
    raws = [
        _caption(0),
        _task("depth-estimation", 1, image="/c.png"),
        _task("depth-text-to-image", 2, text=["<node-0>"] * 30_000, image=["<node-1>"] * 20_000),
    ]
    with pytest.raises(TooManyTasksError):
        Plan.parse(raws)


# JARVIS's parsing of tags (P2)


@pytest.mark.parametrize(
    "text", ["<GENERATED>", "<GENERATED>-0, oil painting", "a photo of <GENERATED>-0", 5, None]
)
def test_tags_that_broke_jarvis_do_not_break_a_plan(text: Any) -> None:
    plan = Plan.parse([_caption(0), _task("text-to-image", 1, dep=[0], text=text)])
    assert [task.id for task in plan.tasks] == [0, 1]
    assert plan.task(1).dep == (0,)


# Limits


def test_a_plan_holds_as_many_tasks_as_it_may() -> None:
    assert len(Plan.parse([_caption(n) for n in range(MAX_TASKS)]).tasks) == MAX_TASKS


def test_more_tasks_are_refused() -> None:
    with pytest.raises(TooManyTasksError, match=f"more than {MAX_TASKS} tasks"):
        Plan.parse([_caption(n) for n in range(MAX_TASKS + 1)])
    with pytest.raises(TooManyTasksError, match="more than 2 tasks"):
        Plan.parse([_caption(n) for n in range(3)], max_tasks=2)


def test_a_streamed_plan_is_limited_as_well() -> None:
    plan = Plan(max_tasks=1)
    plan.add(_caption(0))
    with pytest.raises(TooManyTasksError):
        plan.add(_caption(1))


def test_copies_count() -> None:
    with pytest.raises(TooManyTasksError):
        Plan.parse([_caption(0), _caption(1), _speak(2, "<node-0>,<node-1>")], max_tasks=3)


def test_deeply_nested_arguments_are_a_fault() -> None:
    nested: Any = "text"
    for _ in range(5000):
        nested = [nested]
    (fault,) = Plan.parse([_task("summarization", 0, text=nested)]).faults
    assert fault.reason == "its arguments are nested too deeply"


# Streaming


def test_tasks_are_added_one_by_one() -> None:
    plan = Plan()
    assert [task.id for task in plan.add(_caption(0))] == [0]
    assert [task.dep for task in plan.add(_speak(1, "<node-0>"))] == [(0,)]
    assert plan.add(_speak(2, "<node-7>")) == []
    assert [fault.id for fault in plan.faults] == [2]
    assert [task.id for task in plan.final] == [1]
