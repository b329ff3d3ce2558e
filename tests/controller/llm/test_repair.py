"""What is faulty goes back once, by itself; what broke off is gone on with."""

import json
from typing import Any

import pytest

from controller.llm.history import size
from controller.llm.parsing import Written
from controller.llm.queue import Queue
from controller.plan import Plan
from controller.planner import Reply as Said
from controller.request import Message
from deployments.llm.errors import LlmUnavailableError
from tests.controller.llm.planning import Planned, Raw, asked, caption, plan, speak, task, written
from tests.support.endpoint import Reply, broken

NOISE = speak(1, "<GENERATED>-9")


def _texts(done: Planned) -> dict[int, str]:
    return {one.id: one.args.get("text", "") for one in done.plan.tasks}


def _cut(*tasks: Raw, after: int) -> Reply:
    """A plan whose connection is cut a little behind its first tasks."""
    text, whole = written(*tasks), written(*tasks[:after])
    return Reply(text, tokens=len(text), cut_after=whole.rindex("]") + 12)


async def test_only_the_faulty_task_goes_back_with_its_reason() -> None:
    script = [written(caption(0), NOISE, speak(2, "bye")), written(speak(1, "<GENERATED>-0"))]
    done = await plan(script, "Describe it and say so")
    assert _texts(done) == {0: "", 2: "bye", 1: "<GENERATED>-0"}
    assert (done.plan.faults, done.plan.remarks, done.usage.calls) == ([], [], 2)
    first, second = done.requests
    assert second.messages[: len(first.messages)] == first.messages
    answer, order = second.messages[len(first.messages) :]
    assert answer["role"] == "assistant"
    assert [one["id"] for one in json.loads(answer["content"])["tasks"]] == [0, 2]
    assert "id 1: it refers to task 9, which does not exist" in order["content"]
    assert "/images/a.png" not in order["content"]
    assert second.schema == first.schema


async def test_tasks_run_before_the_faulty_one_is_mended() -> None:
    order: list[Any] = []
    script = [written(NOISE, caption(0)), written(speak(1, "<GENERATED>-0"))]
    await plan(script, seen=lambda done, step: order.append((step["id"], len(done.requests))))
    assert order[0] == (0, 1)
    assert order[-1] == (1, 2)


async def test_what_hangs_on_a_faulty_task_waits_and_is_not_written_again() -> None:
    script = [
        written(task("image-to-txt", 0, image="/images/a.png"), speak(1, "<GENERATED>-0", [0])),
        written(caption(0)),
    ]
    done = await plan(script)
    assert _texts(done) == {0: "", 1: "<GENERATED>-0"}
    assert done.plan.faults == []
    assert "id 1" not in done.requests[1].user


async def test_what_cannot_be_mended_is_left_out_with_all_that_hangs_on_it() -> None:
    script = [written(NOISE, speak(2, "<GENERATED>-1"), speak(3, "hi")), written()]
    done = await plan(script)
    assert _texts(done) == {3: "hi"}
    assert [fault.id for fault in done.plan.faults] == [1, 2]
    assert done.plan.remarks == []
    assert len(done.requests) == 2


async def test_a_mended_task_that_is_faulty_again_does_not_go_back_again() -> None:
    done = await plan([written(caption(0), NOISE), written(speak(1, "<GENERATED>-8"))])
    (fault,) = done.plan.faults
    assert "task 8" in fault.reason
    assert len(done.requests) == 2


async def test_faults_alone_stay_faults() -> None:
    done = await plan([written(NOISE), written(NOISE)])
    assert (done.plan.tasks, len(done.plan.faults), done.replies) == ([], 1, [])


async def test_a_second_task_of_one_id_gets_another_one() -> None:
    script = [written(speak(0, "one"), speak(0, "two")), written(speak(1, "two"))]
    done = await plan(script)
    assert _texts(done) == {0: "one", 1: "two"}
    assert "id 1: the id 0 is used twice" in done.requests[1].user


@pytest.mark.parametrize(
    "again", [[speak(0, "two")], [speak(0, "one"), speak(0, "two")], [speak(None, "two")]]
)
async def test_a_mended_task_is_known_by_its_type_where_its_id_is_another(again: list[Raw]) -> None:
    done = await plan([written(speak(0, "one"), speak(0, "two")), written(*again)])
    assert _texts(done) == {0: "one", 1: "two"}
    assert done.plan.faults == []


async def test_a_mend_may_need_one_more_task() -> None:
    bad = task("text-to-image", 1, [0], text="<GENERATED>-0")
    mended = [
        task("automatic-speech-recognition", 2, [0], audio="<GENERATED>-0"),
        task("text-to-image", 1, [2], text="<GENERATED>-2"),
    ]
    done = await plan([written(speak(0, "a cat"), bad), written(*reversed(mended))])
    assert [one.task for one in done.plan.tasks] == [
        "text-to-speech", "automatic-speech-recognition", "text-to-image",
    ]  # fmt: skip
    assert done.plan.faults == []


async def test_a_cycle_goes_back() -> None:
    cycle = [speak(0, "<GENERATED>-1"), task("automatic-speech-recognition", 1, audio="<GENERATED>-0")]
    done = await plan([written(*cycle, caption(2)), written(speak(0, "<GENERATED>-2"), cycle[1])])
    assert sorted(_texts(done)) == [0, 1, 2]
    assert done.plan.faults == []
    assert "waits for itself" in done.requests[1].user


async def test_a_failed_repair_leaves_the_valid_tasks() -> None:
    done = await plan([written(caption(0), NOISE, speak(2, "<GENERATED>-1")), broken()])
    assert list(_texts(done)) == [0]
    assert [fault.id for fault in done.plan.faults] == [1, 2]
    (remark,) = done.plan.remarks
    assert remark.startswith("What is faulty in the plan could not be written anew. The LLM endpoint")


async def test_a_failed_repair_of_nothing_valid_leaves_the_plan_to_another() -> None:
    seen: list[Plan] = []
    with pytest.raises(LlmUnavailableError):
        await plan([written(NOISE), broken()], seen=lambda done, _: seen.append(done.plan))
    assert seen[-1].faults == []


async def test_a_repair_has_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("controller.llm.planner.REPAIR_S", 0.3)
    done = await plan([written(caption(0), NOISE), Reply(written(speak(1)), stall_after=1)])
    assert list(_texts(done)) == [0]
    assert "within 0.3 s" in done.plan.remarks[0]


@pytest.mark.parametrize(
    "second",
    [
        written(*(speak(n, f"text {n}") for n in range(3, 9))),
        written(*(speak(n, f"text {n}") for n in range(3, 500))),
        written(speak(3, "<GENERATED>-0, <GENERATED>-2"), speak(4, "<GENERATED>-3")),
    ],
)
async def test_what_a_repair_adds_beyond_the_limit_is_left_out(second: str) -> None:
    first = written(caption(0), NOISE, caption(2))
    done = await plan([first, Reply(second, tokens=300)], max_tasks=3)
    assert list(_texts(done))[:2] == [0, 2]
    assert len(done.plan.tasks) <= 3
    assert done.plan.remarks == [
        "Tasks that the LLM added were left out. The plan holds no more; ask for less at once."
    ]


async def test_a_mended_task_has_its_place_where_more_is_written_behind_it() -> None:
    script = [written(caption(0), NOISE, caption(2)), written(speak(1), speak(3), speak(4), speak(5))]
    done = await plan(script, max_tasks=3)
    assert sorted(_texts(done)) == [0, 1, 2]
    assert (done.plan.faults, len(done.plan.remarks)) == ([], 1)


async def test_a_refusal_to_mend_is_told() -> None:
    done = await plan([_cut(caption(0), speak(1), after=1), Reply(refusal="I will not.")])
    assert list(_texts(done)) == [0]
    assert done.plan.remarks[0].endswith("refuses: I will not.")


async def test_drafts_among_the_thoughts_of_a_repair_are_taken_back() -> None:
    text = f'Hm: {{"tasks": [{json.dumps(speak(1, "<GENERATED>-2"))}, oops\n</think>\n{written(speak(1))}'
    done = await plan([written(caption(0), NOISE), Reply(text, tokens=len(text))])
    assert _texts(done) == {0: "", 1: "hello"}
    assert done.plan.faults == []


# Plans that break off.


async def test_a_plan_that_broke_off_is_gone_on_with_once() -> None:
    tasks = [caption(0), task("translation", 1, [0], text="<GENERATED>-0"), speak(2, "<GENERATED>-1", [1])]
    done = await plan([_cut(*tasks, after=1), written(*tasks[1:])])
    assert _texts(done) == {0: "", 1: "<GENERATED>-0", 2: "<GENERATED>-1"}
    assert (done.plan.faults, done.plan.remarks) == ([], [])
    assert "with ids from 1 on" in done.requests[1].user


async def test_a_plan_at_the_limit_of_tokens_is_gone_on_with() -> None:
    cut = written(caption(0), speak(1))[:-30]
    done = await plan([Reply(cut, finish="length"), written(speak(1, "<GENERATED>-0"))])
    assert sorted(_texts(done)) == [0, 1]
    assert done.plan.remarks == []


async def test_a_task_that_waited_when_the_plan_broke_off_gets_what_it_waits_for() -> None:
    tasks = [speak(2, "<GENERATED>-1"), caption(0), task("translation", 1, [0], text="<GENERATED>-0")]
    done = await plan([_cut(*tasks, after=2), written(tasks[2])])
    assert sorted(_texts(done)) == [0, 1, 2]
    assert done.plan.faults == []


async def test_what_is_faulty_and_what_is_missing_is_asked_for_in_one_call() -> None:
    tasks = [caption(0), task("sing", 1, text="<GENERATED>-0"), speak(2)]
    done = await plan([_cut(*tasks, after=2), written(speak(1, "<GENERATED>-0"), speak(2, "bye"))])
    assert _texts(done) == {0: "", 1: "<GENERATED>-0", 2: "bye"}
    assert "id 1: there is no task type 'sing'" in done.requests[1].user
    assert "with ids from 2 on" in done.requests[1].user
    assert (len(done.requests), done.plan.faults) == (2, [])


async def test_a_task_that_waits_in_vain_may_be_written_otherwise() -> None:
    done = await plan([_cut(caption(0), NOISE, speak(2), after=2), written(speak(1, "<GENERATED>-0"))])
    assert _texts(done) == {0: "", 1: "<GENERATED>-0"}
    assert done.plan.faults == []


@pytest.mark.parametrize("second", [broken(), _cut(speak(2), speak(3), after=0), Reply(refusal="No.")])
async def test_where_that_fails_the_tasks_run_and_the_plan_says_so(second: Reply) -> None:
    done = await plan([_cut(caption(0), speak(1), after=1), second])
    assert list(_texts(done)) == [0]
    (remark,) = done.plan.remarks
    assert remark.startswith("The plan broke off. The LLM endpoint")
    assert len(done.requests) == 2


async def test_a_text_that_merely_ends_too_early_counts_as_broken_off() -> None:
    text = written(caption(0), speak(1))[:-30]
    done = await plan([text, text])
    assert list(_texts(done)) == [0]
    assert done.plan.remarks == ["The plan broke off. Its text ended in the middle."]


async def test_an_endpoint_that_stalls_is_not_asked_again() -> None:
    text = written(caption(0), speak(1))
    done = await plan([Reply(text, tokens=len(text), stall_after=len(text) - 30)], timeout_s=2)
    assert list(_texts(done)) == [0]
    assert "broke off" in done.plan.remarks[0]
    assert len(done.requests) == 1


# Sizes.


async def test_a_repair_of_long_texts_stays_within_the_context() -> None:
    long = "word " * 1_500
    context = [Message(role="user", content="turn " * 500)] * 20
    tasks = [speak(n, f"{long} <GENERATED>-99") for n in range(5)]
    done = await plan([written(speak(9, long), *tasks), written()], asked("Go", context=context))
    assert "id 0: it refers" in done.requests[1].user
    assert "id 4: it refers" not in done.requests[1].user
    assert size(done.requests[1].messages) <= 12_000
    assert len(done.plan.faults) == 5


async def test_a_faulty_task_too_long_to_go_back_stays_out() -> None:
    done = await plan([written(caption(0), speak(1, "word " * 5_000 + "<GENERATED>-99"))])
    assert (len(done.requests), len(done.plan.faults), list(_texts(done))) == (1, 1, [0])


def test_a_thousand_tasks_that_wait_for_the_last_one() -> None:
    made = Plan(1000)
    queue = Queue(made)
    chain = [task("translation", n, text=f"<GENERATED>-{n + 1}") for n in range(999)]
    assert list(queue.take(map(Written, chain))) == []
    for raw in queue.take([Written(caption(999))]):
        assert not isinstance(raw, Said)
        made.add(raw)
    assert [one.id for one in made.tasks] == list(range(999, -1, -1))
    assert made.faults == []
