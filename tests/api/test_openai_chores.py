"""What chat pages ask beside a conversation is recognised and answered without a plan."""

import json
from pathlib import Path
from typing import Any

import pytest

from controller.api.address import Address
from controller.api.openai.housekeeping import recognised
from controller.api.openai.links import Links, linked, unlinked
from controller.planner import Reply
from deployments.llm.card import llm_card
from deployments.llm.endpoint import Endpoint
from deployments.result import Result
from tests.api.openai_client import BASE, EXPERTS, world
from tests.support.fakes import Called

SAID = (
    "### Chat History:\n<chat_history>\nUSER: Show me the edges of the harbour sign, please. Thanks!\n"
    f"ASSISTANT: The edges: ![image]({BASE}/images/{'a' * 32}.png)\nof the harbour sign\n</chat_history>"
)


def _task(words: str, key: str) -> str:
    """A chore as Open WebUI asks it."""
    form = f'### Output:\nJSON format: {{ "{key}": ... }}'
    return f"### Task:\n{words}\n### Guidelines:\n- Be brief.\n{form}\n{SAID}"


TITLE = _task("Generate a concise, 3-5 word title with an emoji summarizing the chat history.", "title")
TAGS = _task("Generate 1-3 broad tags categorizing the main themes of the chat history", "tags")
AFTER = _task("Suggest 3-5 relevant follow-up questions or prompts that the user might ask", "follow_ups")
QUERIES = _task("Analyze the chat history to determine the necessity of generating search queries", "queries")
PROMPT = _task(
    "Generate a detailed prompt for am image generation task based on the given language", "prompt"
)
COMPLETE = "### Task:\nYou are an autocompletion system. Continue the text.\n<text>Show me</text>"
TOOLS = 'Available Tools: [{}]\n\nYour task is to choose the tools. Return { "tool_calls": [] }'
FACE = "Your task is to reflect the speaker's likely facial expression through a fitting emoji. Message: hi"
LIBRECHAT = (
    "Provide a concise, 5-word-or-less title for the conversation, using title case conventions.\n\n"
    "Conversation:\nUser: Read the sign aloud\nAI: Here it is."
)
LIBRECHAT_OLD = (
    "Analyze this conversation and provide:\n1. The detected language of the conversation\n2. A title "
    "(5 words or less, no punctuation or quotation)\n\nUser: Read the sign aloud\nAI: Done."
)
DOCUMENTS = (
    "### Task:\nRespond to the user query using the provided context, incorporating inline citations.\n"
    "<context>Generate a concise title</context>\n<user_query>Read it aloud</user_query>"
)


@pytest.mark.parametrize(
    ("prompt", "told"),
    [
        (TITLE, {"title": "Show me the edges of"}),
        (TAGS, {"tags": ["Edges", "Harbour", "Please"]}),
        (AFTER, {"follow_ups": ["Describe this picture.", "What does it say in this picture?",
                                "Show me its edges."]}),
        (QUERIES, {"queries": []}),
        (PROMPT, {"prompt": "Show me the edges of the harbour sign, please. Thanks!"}),
        (COMPLETE, {"text": ""}),
        (TOOLS, {"tool_calls": []}),
        (f"# User Request\n\n{TITLE}", {"title": "Show me the edges of"}),
    ],
)  # fmt: skip
async def test_chores_are_answered_in_json_without_a_plan(tmp_path: Path, prompt: str, told: Any) -> None:
    async with world(tmp_path, [Reply("planned")]) as here:
        answer = await here.client.chat.completions.create(
            model="hugginggpt", messages=[{"role": "user", "content": prompt}]
        )
        responded = await here.client.responses.create(model="gpt-5", input=prompt)
    assert json.loads(answer.choices[0].message.content or "") == told
    assert json.loads(responded.output_text) == told
    assert here.stage.planner.asked == []


@pytest.mark.parametrize(
    ("prompt", "told"),
    [(LIBRECHAT, "Read the sign aloud"), (LIBRECHAT_OLD, "Read the sign aloud"), (FACE, "🙂")],
)
async def test_chores_are_answered_in_a_line_where_a_line_is_wanted(
    tmp_path: Path, prompt: str, told: str
) -> None:
    async with world(tmp_path) as here:
        stream = await here.client.chat.completions.create(
            model="hugginggpt", messages=[{"role": "user", "content": prompt}], stream=True
        )
        text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
    assert text == told


@pytest.mark.parametrize(
    "prompt",
    [
        DOCUMENTS, "Generate a concise title for my essay", "What does '### Task:' mean?", f"Read: {TITLE}",
        "### Task:\nDescribe /examples/sign.png",
    ],
)  # fmt: skip
def test_what_a_person_asks_is_no_chore(prompt: str) -> None:
    assert recognised([("user", prompt)]) is None
    assert recognised([("user", TITLE), ("assistant", "x"), ("user", prompt)]) is None


@pytest.mark.parametrize("tail", ["\n<user_query>Read it aloud</user_query>\n", "\n\nRead it aloud"])
async def test_documents_around_a_question_go_along_as_a_file(tmp_path: Path, tail: str) -> None:
    prompt = f"{DOCUMENTS.partition('<context>')[0]}<context>\nThe ferry leaves.\n</context>{tail}"
    async with world(tmp_path, [Reply("ok")]) as here:
        await here.client.chat.completions.create(
            model="hugginggpt", messages=[{"role": "user", "content": prompt}]
        )
        (request,) = here.stage.planner.asked
        assert request.text == "Read it aloud"
        (file,) = request.attachments
        assert (await here.http.get(file.path)).text == "The ferry leaves."


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ('Sure: {"title": "Harbour Sign"} Done.', {"title": "Harbour Sign"}),
        ("no json at all", {"title": "Show me the edges of"}),
        ('{"other": 1}', {"title": "Show me the edges of"}),
        (RuntimeError("down"), {"title": "Show me the edges of"}),
    ],
)
async def test_a_language_model_does_chores_where_one_runs(tmp_path: Path, written: Any, told: Any) -> None:
    llm = llm_card(Endpoint(model="some-llm"))

    def script(called: Called) -> Any:
        return written if isinstance(written, Exception) else Result(text=written, model=llm.id)

    async with world(tmp_path, script=script, cards=(*EXPERTS, llm)) as here:
        answer = await here.client.chat.completions.create(
            model="hugginggpt", messages=[{"role": "user", "content": TITLE}]
        )
    assert json.loads(answer.choices[0].message.content or "") == told
    assert len(here.stage.cluster.calls) >= 1


# Links -----------------------------------------------------------------------------------------------------

NAME = "0123456789abcdef" * 2


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (f"Here: /images/{NAME}.png.", f"Here: ![image]({BASE}/images/{NAME}.png)."),
        (f"`/audios/{NAME}.wav`, and", f"[audio]({BASE}/audios/{NAME}.wav), and"),
        (f"/videos/{NAME}.mp4 /files/{NAME}.csv",
         f"[video]({BASE}/videos/{NAME}.mp4) [{NAME}.csv]({BASE}/files/{NAME}.csv)"),
        (f"![a cat](/images/{NAME}.png)", f"![a cat]({BASE}/images/{NAME}.png)"),
        (f"[a](</audios/{NAME}.wav>)", f"[a](<{BASE}/audios/{NAME}.wav>)"),
        ("of /examples/sign.png", f"of ![sign.png]({BASE}/examples/sign.png)"),
        (f"图片在/images/{NAME}.png。", f"图片在![image]({BASE}/images/{NAME}.png)。"),
        (f"`/images/{NAME}.png`/audios/{NAME}.wav图",
         f"![image]({BASE}/images/{NAME}.png)[audio]({BASE}/audios/{NAME}.wav)图"),
        (f"/images/{NAME}.png-old x/images/{NAME}.png", f"/images/{NAME}.png-old x/images/{NAME}.png"),
        (f"{'y' * 290} /images/{NAME}.png", f"{'y' * 290} ![image]({BASE}/images/{NAME}.png)"),
        (f"{'界' * 290}/images/{NAME}.png", f"{'界' * 290}![image]({BASE}/images/{NAME}.png)"),
        (f"[a](/images/{NAME}.png)](/x ]( `", f"[a]({BASE}/images/{NAME}.png)](/x ]( `"),
        ("/images/x.png and a/b", "/images/x.png and a/b"),
        (f"{BASE}/images/{NAME}.png", f"{BASE}/images/{NAME}.png"),
    ],
)  # fmt: skip
def test_paths_become_links_however_they_come(text: str, told: str) -> None:
    assert linked(text, Address(BASE)) == told
    for size in (1, 3, 7, 50, 300):
        links = Links(Address(BASE))
        pieces = [links.feed(text[start : start + size]) for start in range(0, len(text), size)]
        assert "".join([*pieces, links.rest()]) == told


def test_links_of_earlier_answers_become_paths_again() -> None:
    for path in (f"/images/{NAME}.png", f"/audios/{NAME}.wav", "/examples/sign.png"):
        assert unlinked(linked(f"so {path} is", Address(BASE)), BASE) == f"so {path} is"


def test_only_what_may_begin_a_path_is_held_back() -> None:
    links = Links(Address(BASE))
    assert [links.feed(piece) for piece in ("x" * 100, "没有空格的文字", "a/b/", "c", ".", " /im", "x ")] == [
        "x" * 100, "没有空格的文字", "a", "", "", "/b/c. ", "/imx ",
    ]  # fmt: skip
    assert links.feed("/" + "a" * 2_000)
    assert links.rest() == ""
