"""The LLM responder over a real endpoint: what it asks, what it says, and what is said where it fails."""

import asyncio
import json
import re
from collections.abc import Sequence
from contextlib import aclosing
from typing import Any

import pytest

from controller.llm.history import size
from controller.llm.responder import LlmResponder
from controller.outcome import Outcome
from controller.plan import Plan
from controller.request import Message, Request
from controller.responder import EmbeddedResponder
from deployments.llm.client import Llm, Usage
from deployments.llm.endpoint import Endpoint
from model_catalog.tasks import Modality
from tests.controller.llm.answering import artifact, asking, done, failed, path, plan, task
from tests.support.endpoint import Asked, Reply, ScriptedEndpoint, broken, limited

SIGN = "/examples/sign.png"
SOUND = path(7, Modality.AUDIO)
CHAIN = (task("image-to-text", 0, "ocr", image=SIGN), task("text-to-speech", 1, text="<GENERATED>-0"))
OUTCOMES = [
    done(0, "image-to-text", "OPEN\n24 HOURS", model="owner/reader"),
    done(1, "text-to-speech", artifacts=(artifact(7, Modality.AUDIO),), model="owner/speaker"),
]
BY_RULES = f"The text in the picture reads: “OPEN\n24 HOURS”.\n\nHere it is read aloud: {SOUND}"


def _responder(endpoint: ScriptedEndpoint, **more: Any) -> LlmResponder:
    return LlmResponder(Llm(Endpoint(model="writer-1", base_url=endpoint.url, **more)))


async def _answer(
    script: Any,
    outcomes: Sequence[Outcome] = OUTCOMES,
    read: Plan | None = None,
    request: Request | None = None,
    **more: Any,
) -> tuple[str, list[Asked]]:
    with ScriptedEndpoint(script) as endpoint:
        responder = _responder(endpoint, **more)
        pieces = responder.respond(request or asking("Lies das Schild vor"), read or plan(*CHAIN), outcomes)
        answer = "".join([piece async for piece in pieces])
        await responder._llm.close()
        return answer, endpoint.requests


def results(asked: Asked) -> list[dict[str, Any]]:
    """The results that an LLM was told, from between their marks."""
    (number,) = set(re.findall(r"results ([0-9a-f]{8})>", asked.user))
    _, block = asked.user.split(f"\n<results {number}>\n")
    block, tail = block.split(f"\n</results {number}>\n")
    assert tail == "[The results end here. Answer the request now, in its language.]"
    return [json.loads(line) for line in block.split("\n")]


async def test_the_llm_writes_the_answer_from_quoted_outcomes() -> None:
    said = f"Auf dem Schild steht „OPEN 24 HOURS“. Hier ist es vorgelesen: {SOUND}"
    answer, (asked,) = await _answer([said])
    assert answer == said
    assert [message["role"] for message in asked.messages] == ["system", "user"]
    assert asked.user.startswith("Lies das Schild vor\n\n[The request ends here.")
    first, second = results(asked)
    assert (first["text"], first["model"]) == ("OPEN\n24 HOURS", "owner/reader")
    assert second["files"][0]["path"] == SOUND
    assert asked.format == "text"
    assert "tools" not in asked.body


async def test_the_rules_are_the_same_for_every_request() -> None:
    _, (one,) = await _answer(["a"])
    _, (other,) = await _answer(
        ["b"], [failed(0, "translation", "x")], plan(task("translation", 0, text="t"))
    )
    assert one.system == other.system
    assert "OPEN" not in one.system


async def test_the_conversation_comes_before_the_request() -> None:
    request = asking(
        "And again",
        Message(role="user", content="Read the sign"),
        Message(role="assistant", content="It says open."),
    )
    _, (asked,) = await _answer(["ok"], request=request)
    assert [message["role"] for message in asked.messages] == ["system", "user", "assistant", "user"]
    assert asked.messages[2]["content"] == "It says open."
    assert asked.user.startswith("And again\n\n[The request ends here.")


async def test_everything_fits_a_small_context() -> None:
    turns = [
        Message(role=role, content="word " * 500)
        for _ in range(100)
        for role in ("user", "assistant")
    ]  # fmt: skip
    outcomes = [done(0, "image-to-text", "long " * 5000), OUTCOMES[1]]
    for context in (2_000, 4_000, 16_000):
        request = asking("Lies es vor " + "x" * 9_000, *turns)
        _, (asked,) = await _answer(["ok"], outcomes, request=request, context_tokens=context)
        assert size(asked.messages) <= context - min(2_048, context // 4)
        assert results(asked)[0]["text_cut"]
        assert asked.user.startswith("Lies es vor")


async def test_the_first_words_are_said_before_the_last_are_written() -> None:
    with ScriptedEndpoint([Reply("First words, then nothing more.", stall_after=3)]) as endpoint:
        responder = _responder(endpoint)
        async with aclosing(responder.respond(asking(), plan(*CHAIN), OUTCOMES)) as pieces:
            async with asyncio.timeout(10):
                said = await anext(pieces) + await anext(pieces)
            assert said.startswith("First ")
            assert not endpoint.requests[0].over.is_set()
        assert await asyncio.to_thread(endpoint.requests[0].over.wait, 10)
        assert endpoint.requests[0].gone
        await responder._llm.close()


async def test_what_it_takes_is_counted() -> None:
    with ScriptedEndpoint(["One two three"]) as endpoint:
        responder, usage = _responder(endpoint), Usage()
        async for _ in responder.respond(asking(), plan(*CHAIN), OUTCOMES, usage=usage, run="run-1"):
            pass
        await responder._llm.close()
    assert (usage.calls, usage.completion_tokens) == (1, 3)


async def test_files_that_were_not_named_are_named_in_the_end() -> None:
    answer, _ = await _answer(["Das Schild sagt: offen."])
    assert answer == f"Das Schild sagt: offen.\n\nFiles: {SOUND}"


async def test_a_made_up_file_gives_way_to_the_one_that_was_made() -> None:
    answer, _ = await _answer(["Here: /audios/speech.wav."])
    assert answer == f"Here: {SOUND}."


async def test_remarks_of_the_plan_are_told_by_code() -> None:
    read = plan(*CHAIN)
    read.remarks.append("The embedded brain planned this, since the LLM did not answer.")
    answer, (asked,) = await _answer([f"Hier: {SOUND}"], read=read)
    assert answer == f"Hier: {SOUND}\n\nThe embedded brain planned this, since the LLM did not answer."
    assert "embedded brain" not in asked.user


async def test_what_was_left_out_and_the_llm_does_not_know_is_told_by_code() -> None:
    read = plan(*CHAIN, *(task(f"sing{n}", n) for n in range(2, 9)))
    answer, (asked,) = await _answer([f"Hier: {SOUND}"], read=read)
    assert [fault["task"] for fault in results(asked)[-1]["left_out"]] == [f"sing{n}" for n in range(2, 7)]
    assert "I left out the task “sing7”: there is no task type 'sing7'." in answer
    assert "I left out the task “sing8”" in answer
    assert "sing6" not in answer


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        (broken(500), "500"),
        (limited(), "429"),
        (Reply(status=401, error="bad key"), "key"),
        (Reply(refusal="I will not. ![x](https://evil.example/x.png)"), "refuses"),
        (Reply("", finish="content_filter"), "filter"),
        (Reply("   \n", tokens=1), "nothing"),
        (Reply("", finish="length"), "limit"),
        (Reply("x", stall_after=0), "within 3 s"),
        (Reply("x", cut_after=0), ""),
    ],
)
async def test_where_the_endpoint_fails_the_answer_is_by_rules_and_says_why(reply: Reply, why: str) -> None:
    answer, _ = await _answer(reply, retries=0, timeout_s=3)
    assert answer.startswith(BY_RULES)
    paragraphs = answer.split("\n\n")
    assert paragraphs[-1].startswith("The embedded brain wrote this, since writer-1 did not answer: ")
    assert why in paragraphs[-1]
    assert "https://evil" not in answer
    assert answer.count("24 HOURS") == 1


@pytest.mark.parametrize(
    "reply",
    [
        Reply("The sign says that the shop is", cut_after=4),
        Reply("The sign says that the shop is", stall_after=4),
        Reply("The sign says that", finish="length"),
        Reply("The sign says that", finish="content_filter"),
        Reply("The sign says that", finish=None),
    ],
)
async def test_where_it_breaks_off_a_new_paragraph_says_so(reply: Reply) -> None:
    answer, _ = await _answer(reply, retries=0, timeout_s=3)
    first, second, *rest = answer.split("\n\n")
    assert first == "The sign says that"
    assert second.startswith("writer-1 broke off: ")
    assert second.endswith("What came of it, told by rules:")
    assert "\n\n".join(rest).startswith(BY_RULES)


async def test_a_path_that_broke_off_is_whole_in_the_answer() -> None:
    answer, _ = await _answer(Reply(f"It is at {SOUND[:-8]}", cut_after=4), retries=0, timeout_s=3)
    assert answer.startswith(f"It is at {SOUND}\n\nwriter-1 broke off: ")


async def test_remarks_are_told_once_where_the_llm_fails() -> None:
    read = plan(*CHAIN)
    read.remarks.append("The embedded brain planned this.")
    answer, _ = await _answer(broken(), read=read, retries=0)
    assert answer.count("The embedded brain planned this.") == 1


async def test_the_fallback_is_the_callers() -> None:
    with ScriptedEndpoint([broken()]) as endpoint:
        llm = Llm(Endpoint(model="writer-1", base_url=endpoint.url, retries=0))
        responder = LlmResponder(llm, fallback=EmbeddedResponder())
        pieces = [piece async for piece in responder.respond(asking(), plan(*CHAIN), OUTCOMES)]
        await llm.close()
    assert "".join(pieces).startswith(BY_RULES)
    assert responder.name == "writer-1"
    assert responder.takes_s > 0
