"""Plans as LLMs misspell them, the original's bugs P1 to P13 among them: each has its plan, note or error."""

import json
from typing import Any

import pytest

from controller.errors import TooManyTasksError
from controller.llm.prompting import read_examples
from controller.planner import Reply as Said
from controller.request import Message
from deployments.llm.errors import LlmError, LlmTimeoutError, LlmUnavailableError
from tests.controller.llm.planning import Planned, asked, caption, plan, speak, task, written
from tests.support.endpoint import Reply, broken, limited

SAY = speak(1, "<GENERATED>-0", [0])
NONE = written()
"""A second call that mends nothing."""


def _args(done: Planned) -> list[tuple[str, dict[str, str]]]:
    return [(one.task, dict(one.args)) for one in done.plan.tasks]


def _sound(done: Planned, calls: int = 1) -> bool:
    return (done.plan.faults, done.plan.remarks, len(done.requests)) == ([], [], calls)


DONE = [("image-to-text", {"image": "/images/a.png"}), ("text-to-speech", {"text": "<GENERATED>-0"})]
ONE, TWO = json.dumps(caption(0)), json.dumps(SAY)


# P1: the original's examples were no JSON, and one taught a reference that was not read.


@pytest.mark.parametrize(
    "text",
    [
        f"[{ONE[:-1]}}} }}}}, {TWO}]",
        f"{ONE}, {TWO}]",
        f"[{ONE}, {TWO}",
        json.dumps([caption(0), speak(1, "<GENERATED-0>")]),
    ],
)
async def test_p1_the_originals_own_examples_are_read(text: str) -> None:
    done = await plan([text, NONE])
    assert _args(done) == DONE
    assert done.plan.faults == []


def test_p1_every_example_of_the_prompt_is_json() -> None:
    assert len(read_examples()) >= 8  # what is in them: see test_prompting


# P2: tags that stopped the original.


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("<GENERATED>", "<GENERATED>"),
        ("<GENERATED>-0, oil painting", "<GENERATED>-0, oil painting"),
        ("a well-known photo of <GENERATED>-0", "a well-known photo of <GENERATED>-0"),
        ("like <resource-0> but <node-0>", "like <GENERATED>-0 but <GENERATED>-0"),
        (5, "5"),
    ],
)
async def test_p2_references_inside_texts_stay_where_they_are(text: Any, read: str) -> None:
    done = await plan([written(caption(0), task("text-to-image", 1, [0], text=text))])
    assert _args(done)[1] == ("text-to-image", {"text": read})
    assert done.plan.task(1).dep == (0,)
    assert _sound(done)


async def test_p2_an_argument_that_is_null_is_taken_from_dep() -> None:
    done = await plan([written(caption(0), speak(1, None, [0]))])
    assert _args(done) == DONE
    assert done.plan.notes == ["task 1 (text-to-speech): took the result of task 0 for the missing 'text'"]


# P3, P4: lists of references.


async def test_p3_two_tasks_in_a_row_unfold() -> None:
    two = "<GENERATED>-0, <GENERATED>-1"
    tasks = [caption(0), caption(1, "/images/b.png"), speak(2, two), task("summarization", 3, text=two)]
    done = await plan([written(*tasks)])
    assert [name for name, _ in _args(done)[2:]] == ["text-to-speech"] * 2 + ["summarization"] * 2
    assert _sound(done)


async def test_p3_two_arguments_of_a_task_unfold_side_by_side() -> None:
    tasks = [caption(0), caption(1), task("canny-control", 2, image="/images/a.png"),
             task("canny-control", 3, image="/images/b.png"),
             task("canny-text-to-image", 4, text=["<GENERATED>-0", "<GENERATED>-1"],
                  image=["<GENERATED>-2", "<GENERATED>-3"])]  # fmt: skip
    done = await plan([written(*tasks)])
    assert [args for _, args in _args(done)[4:]] == [
        {"text": "<GENERATED>-0", "image": "<GENERATED>-2"},
        {"text": "<GENERATED>-1", "image": "<GENERATED>-3"},
    ]


async def test_p4_copies_have_ids_of_their_own_and_dependents_unfold_too() -> None:
    tasks = [caption(0), caption(1), task("translation", 2, text="<GENERATED>-0, <GENERATED>-1"),
             speak(3, "<GENERATED>-2", [2])]  # fmt: skip
    done = await plan([written(*tasks)])
    assert len({one.id for one in done.plan.tasks}) == 6
    assert len({one.args["text"] for one in done.plan.tasks if one.task == "text-to-speech"}) == 2
    assert _sound(done)


async def test_p5_a_dependency_without_a_reference_is_kept() -> None:
    done = await plan([written(caption(0), speak(1, "done", [0]))])
    assert done.plan.task(1).dep == (0,)


async def test_p6_a_plan_that_speaks_of_an_error_is_a_plan() -> None:
    done = await plan([written(speak(0, 'The log says {"error": {"message": "error"}}'))])
    assert _args(done) == [("text-to-speech", {"text": 'The log says {"error": {"message": "error"}}'})]


async def test_p7_the_request_is_always_sent() -> None:
    context = [Message(role="assistant", content="x " * 5_000)] * 100
    (sent,) = (await plan([written(speak(0))], asked("Say hello", context=context))).requests
    assert sent.user.endswith("Say hello")


STRANGE = 'C:\\Users\\new "quoted" \\d+ {{input}} $tasks ${faulty}\ttab\nline <b>é😀'


async def test_p8_what_a_request_says_comes_through_unchanged_both_ways() -> None:
    for text in (written(speak(0, STRANGE)), json.dumps([speak(0, STRANGE)])):  # escaped and not
        done = await plan([text], STRANGE)
        assert done.requests[0].user == STRANGE
        assert done.plan.tasks[0].args == {"text": STRANGE}


async def test_p8_in_a_second_call_too() -> None:
    tasks = [speak(0, STRANGE), task("sing", 1, text=STRANGE), caption(2)]
    done = await plan([written(*tasks), written(speak(1, STRANGE))], STRANGE)
    assert [one.args.get("text") for one in done.plan.tasks] == [STRANGE, None, STRANGE]
    assert json.dumps(STRANGE, ensure_ascii=False) in done.requests[1].user


async def test_p8_backslashes_that_escape_nothing_are_kept() -> None:
    done = await plan([r'[{"task":"text-to-speech","id":0,"args":{"text":"C:\Users \d+ \u12 it"}}]'])
    assert done.plan.tasks[0].args == {"text": r"C:\Users \d+ \u12 it"}


# P9: what JARVIS never checked.


@pytest.mark.parametrize(
    ("tasks", "reason"),
    [
        ([caption(0), task("sing", 1, text="la")], "there is no task type 'sing'"),
        ([caption(0), speak(1, "<GENERATED>-7")], "it refers to task 7, which does not exist"),
        ([caption(0), speak(0, "two")], "the id 0 is used twice"),
        ([caption(0), task("object-detection", 1, image="<GENERATED>-0")], "image needs image, but task 0"),
        ([caption(0), speak(1), speak(2, "a <GENERATED>-1 b")], "text needs text, but task 1 gives audio"),
        ([caption(0), speak(1, "<GENERATED>-1")], "it waits for itself"),
        ([caption(0), speak(1, None)], "it needs a text"),
        ([caption(0), {"task": "text-to-speech", "id": 1, "args": "hello"}], "args must be an object"),
        ([caption(0), {"id": 1, "args": {"text": "hello"}}], "it has no task type"),
        ([caption(0), "text-to-speech"], "it is not valid JSON"),
        ([caption(0), task("depth-text-to-image", 1, text="x", image="<GENERATED>-0 or b")], "image needs"),
    ],
)  # fmt: skip
async def test_p9_a_faulty_task_goes_back_and_else_is_left_out(tasks: list[Any], reason: str) -> None:
    done = await plan([written(*tasks), NONE])
    assert _args(done)[0] == DONE[0]
    (fault,) = done.plan.faults
    assert reason in fault.reason
    assert reason in done.requests[1].user
    assert len(done.requests) == 2
    mended = await plan([written(*tasks), written(speak(3, "mended"))], offers=lambda _: ())
    assert ("text-to-speech", {"text": "mended"}) in _args(mended)


async def test_p9_a_cycle_is_left_out_and_the_rest_runs() -> None:
    cycle = [speak(0, "<GENERATED>-1"), task("automatic-speech-recognition", 1, audio="<GENERATED>-0")]
    done = await plan([written(*cycle, caption(2), speak(3, "<GENERATED>-1")), NONE])
    assert _args(done) == [DONE[0]]
    assert {fault.id: "waits for itself" in fault.reason for fault in done.plan.faults} == {
        0: True, 1: True, 3: False,
    }  # fmt: skip


# P10: single quotes, prose, and all the other ways in which LLMs write JSON.


@pytest.mark.parametrize(
    "text",
    [
        json.dumps([caption(0), SAY]),
        str([caption(0), SAY]),
        str({"tasks": [caption(0), SAY], "reply": None}),
        f"Here is the plan you asked for:\n\n```json\n[{ONE},\n {TWO},\n]\n```\nIt has [two] steps {{ok}}.",
        f"{ONE}\n{TWO}\n",
        f'{{"tasks": [{ONE} {TWO}], "reply": null}}',
        f'{{tasks: [{ONE}, {TWO}]}}',
        f'{{"reply": "On it.", "tasks": [{ONE}, {TWO}]}}',
        f'{{"plan": [{ONE}, {TWO}]}}',
        f"<think>A plan like [{{\"task\": \"sing\"}}]? No.</think>[{ONE}, {TWO}]",
        f"[{ONE}, {TWO}]\n\nAlternatively: [{TWO}]",
        json.dumps([{"task": "image-to-text", "id": 0, "image": "/images/a.png"}, SAY]),
        json.dumps([{"task": "image-to-text", "id": 0, "args": None, "image": "/images/a.png"}, SAY]),
        json.dumps([{**caption(0), "args": [{"name": "image", "value": "/images/a.png"}]}, SAY]),
        json.dumps([{"task": "Image_To Text", "id": "0", "arguments": {"image": "/images/a.png"}}, SAY]),
    ],
)  # fmt: skip
async def test_p10_plans_are_read_as_llms_write_them(text: str) -> None:
    done = await plan([text], server={"refuses": ("json_schema", "json_object")})
    assert _args(done) == DONE
    assert done.plan.faults == []
    assert done.reply == ""
    assert [request.status for request in done.requests].count(200) == 1


async def test_p10_apostrophes_and_quotes_inside_of_texts() -> None:
    text = """[{'task': 'text-to-speech', 'id': 0, 'args': {'text': 'it's "fine", isn't it'}}]"""
    done = await plan([text])
    assert done.plan.tasks[0].args == {"text": """it's "fine", isn't it"""}


async def test_p10_a_task_that_is_no_json_goes_back_by_itself() -> None:
    bad = '{"task": "text-to-speech", "id": 1, "args": {"text": hello there}}'
    text = f"[{ONE}, {bad}, {json.dumps(speak(2))}]"
    done = await plan([text, written(SAY)])
    assert sorted(one.id for one in done.plan.tasks) == [0, 1, 2]
    assert _sound(done, calls=2)
    assert "id 1: it is not valid JSON" in done.requests[1].user


# P11: names and parameters that not every endpoint knows.


async def test_p11_any_model_name_will_do_and_nothing_of_one_vendor_is_sent() -> None:
    (sent,) = (await plan([written(speak(0))], model="my/local-model:7b")).requests
    assert sent.body["model"] == "my/local-model:7b"
    assert set(sent.body) <= {
        "model",
        "messages",
        "stream",
        "stream_options",
        "temperature",
        "response_format",
    }


async def test_p11_a_model_that_is_made_up_stays_a_wish() -> None:
    """The selector takes the first candidate where the wish is none of them."""
    done = await plan([written({**speak(0), "model": "made/up", "reason": "it sings"})])
    assert done.plan.tasks[0].model == "made/up"
    assert _sound(done)


# P12: failures of the endpoint.


@pytest.mark.parametrize(
    "failing", [broken(), limited(), Reply(body="<html>no JSON</html>"), Reply(cut_after=0)]
)
async def test_p12_a_failing_endpoint_is_a_clear_error(failing: Reply) -> None:
    with pytest.raises(LlmError, match="LLM"):
        await plan([failing])


async def test_p12_a_stalling_endpoint_ends_in_time() -> None:
    with pytest.raises(LlmTimeoutError):
        await plan([Reply(written(speak(0)), stall_after=0)], timeout_s=0.3)


async def test_p12_failures_that_pass_are_tried_anew() -> None:
    done = await plan([limited(0.01), broken(503), written(speak(0))], retries=2)
    assert [one.id for one in done.plan.tasks] == [0]


# P13: no prompt grows without bound.


async def test_p13_a_planning_prompt_stays_within_its_context() -> None:
    context = [Message(role=role, content=f"{role} /images/{n}.png " + "word " * 900)
               for n in range(100) for role in ("user", "assistant")][:199]  # fmt: skip
    (sent,) = (await plan([written(speak(0))], asked("Say hello", context=context))).requests
    assert sum(len(message["content"]) for message in sent.messages) < 3 * 16_000


# The rest.


@pytest.mark.parametrize("pieces", [1, 2, 5, 17, 400])
async def test_any_stream_of_pieces_gives_the_same_plan(pieces: int) -> None:
    text = written(caption(0), SAY, speak(2, STRANGE))
    whole = await plan([Reply(text, tokens=pieces)])
    assert _args(whole) == [*DONE, ("text-to-speech", {"text": STRANGE})]


@pytest.mark.parametrize("share", [0.2, 0.4, 0.6, 0.8, 0.95])
async def test_a_truncated_stream_ends_in_what_is_whole_or_in_an_error(share: float) -> None:
    text = written(caption(0), caption(1, "/images/b.png"), caption(2, "/images/c.png"), caption(3))
    cut = int(len(text) * share)
    script = [Reply(text, tokens=len(text), cut_after=cut), broken()]
    whole = text[:cut].count("}}")
    if not whole:
        with pytest.raises(LlmUnavailableError):
            await plan(script)
        return
    done = await plan(script)
    assert [one.id for one in done.plan.tasks] == list(range(whole))
    assert "broke off" in done.plan.remarks[0]


async def test_500_tasks_in_the_original_form_are_refused() -> None:
    with pytest.raises(TooManyTasksError, match="more than 32"):
        await plan([json.dumps([caption(n) for n in range(500)])])


async def test_a_plan_of_the_most_tasks_is_taken() -> None:
    done = await plan([written(*(caption(n) for n in range(32)))])
    assert len(done.plan.tasks) == 32


@pytest.mark.parametrize(
    "text",
    ["[" * 100_000, '{"tasks": [' * 10_000, "{" * 50_000 + "}" * 50_000, '"' * 100_000, "[{]}" * 30_000],
)
async def test_garbage_ends_in_a_reply_or_an_error(text: str) -> None:
    seen: list[Any] = []
    try:
        await plan([Reply(text, tokens=200)], seen=lambda _, step: seen.append(step))
    except LlmError:
        assert seen == []
    else:
        assert seen
        assert all(isinstance(step, Said) for step in seen)
