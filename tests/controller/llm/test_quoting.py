"""Quoting: outcomes as data in a prompt, short, fair and closed."""

import json
import random
from typing import Any

import pytest

from controller.llm.history import tokens
from controller.llm.quoting import LONGEST_TEXT, Quoted, encoded, final_tasks, quoted
from controller.outcome import Status
from controller.plan import Plan
from model_catalog.tasks import Modality
from tests.controller.llm.answering import ATTACKS, artifact, attempts, done, failed, path, plan, task

SIGN = "/examples/sign.png"
CHAIN = (
    task("image-to-text", 0, "ocr", image=SIGN),
    task("text-to-speech", 1, text="<GENERATED>-0"),
)


def _lines(told: Quoted) -> list[dict[str, Any]]:
    return [json.loads(line) for line in told.text.split("\n")]


def test_each_task_is_one_line_of_json() -> None:
    outcomes = [
        done(0, "image-to-text", "OPEN\n24 HOURS", model="embedded/rapidocr"),
        done(1, "text-to-speech", artifacts=(artifact(1, Modality.AUDIO),), model="embedded/espeak"),
    ]
    assert _lines(quoted(plan(*CHAIN), outcomes, 2000)) == [
        {
            "id": 0,
            "task": "image-to-text",
            "status": "done",
            "args": {"image": SIGN},
            "want": "ocr",
            "model": "embedded/rapidocr",
            "text": "OPEN\n24 HOURS",
        },
        {
            "id": 1,
            "task": "text-to-speech",
            "status": "done",
            "asked_for": True,
            "args": {"text": "[result of task 0]"},
            "model": "embedded/espeak",
            "files": [{"path": path(1, Modality.AUDIO), "modality": "audio", "kilobytes": 12.3}],
        },
    ]


def test_failures_come_with_code_and_cause() -> None:
    outcomes = [
        failed(0, "image-to-text", "No model can run it."),
        failed(1, "text-to-speech", "Task 0 failed.", Status.SKIPPED),
    ]
    first, second = _lines(quoted(plan(*CHAIN), outcomes, 2000))
    assert first["error"] == {"code": "x_failed", "message": "No model can run it."}
    assert (first["status"], second["status"]) == ("failed", "skipped")
    assert first["asked_for"]  # its use failed too


def test_a_task_without_outcome_and_models_that_failed_before_are_told() -> None:
    outcome = done(0, "image-to-text", "a", attempts=attempts("a/first", "a/first", "b/second"))
    first, second = _lines(quoted(plan(*CHAIN), [outcome], 2000))
    assert first["failed_before"] == ["a/first", "b/second"]
    assert second["error"]["code"] == "not_run"


def test_what_was_left_out_and_mended_is_told() -> None:
    read = plan(*CHAIN, task("sing", 2), *(task("object-detection", n) for n in range(3, 12)))
    outcomes = [done(0, "image-to-text", "a"), done(1, "text-to-speech")]
    told = quoted(read, outcomes, 4000)
    last = _lines(told)[-1]
    assert told.faults == 5
    assert quoted(read, outcomes, 200).faults < 5
    assert last["left_out"][0] == {"task": "sing", "reason": "there is no task type 'sing'"}
    assert len(last["left_out"]) == 5


def test_long_texts_are_cut_and_it_is_said_by_how_much() -> None:
    read = plan(task("summarization", 0, text="t"))
    (line,) = _lines(quoted(read, [done(0, "summarization", ("word " * 10_000).strip())], 100_000))
    assert line["text"] == ("word " * 10_000)[:LONGEST_TEXT]
    assert line["text_cut"] == "the first 8,000 of 49,999 characters"
    (line,) = _lines(quoted(read, [done(0, "summarization", "word " * 100)], 150))
    assert line["text_cut"].endswith("of 500 characters")
    assert len(line["text"]) > 100


def test_data_are_cut_and_rounded() -> None:
    data = [{"label": f"cat {n}", "score": 0.987654321, "box": {"xmin": 12.3456789}} for n in range(500)]
    read = plan(task("object-detection", 0, image=SIGN))
    (line,) = _lines(quoted(read, [done(0, "object-detection", "cats", data)], 2000))
    assert line["data"][0] == {"label": "cat 0", "score": 0.988, "box": {"xmin": 12.346}}
    assert line["data"][-1] == "… 460 more"
    odd = [float("nan"), float("inf"), 10**400, True, None, {1: {2: {3: {4: {5: {6: 7}}}}}}, 3e-9]
    (line,) = _lines(quoted(read, [done(0, "object-detection", None, odd)], 2000))
    assert line["data"][:5] == ["nan", "inf", "a huge number", True, None]
    assert line["data"][-1] == 3e-9
    vector = [n / 7 for n in range(384)]
    (line,) = _lines(quoted(read, [done(0, "object-detection", None, vector)], 2000))
    assert line["data"][-1] == "… 344 more"


def test_a_final_result_has_more_room_than_a_step_on_the_way() -> None:
    read = plan(
        task("automatic-speech-recognition", 0, audio="a.wav"), task("translation", 1, text="<node-0>")
    )
    outcomes = [
        done(0, "automatic-speech-recognition", "word " * 2000),
        done(1, "translation", "mot " * 2000),
    ]
    first, second = _lines(quoted(read, outcomes, 1500))
    assert 3 < len(second["text"]) / len(first["text"]) < 5


def test_what_one_task_does_not_need_goes_to_the_others() -> None:
    read = plan(task("translation", 0, text="a"), task("translation", 1, text="b"))
    outcomes = [done(0, "translation", "short"), done(1, "translation", "long " * 1000)]
    first, second = _lines(quoted(read, outcomes, 1000))
    assert first["text"] == "short"
    assert len(second["text"]) > 2000


def test_of_too_many_tasks_the_final_ones_and_failures_are_told() -> None:
    raws = [task("image-to-text", n, image=SIGN) for n in range(300)]
    raws += [task("summarization", 300, text=" ".join(f"<node-{n}>" for n in range(299)))]
    outcomes = [done(n, "image-to-text", "x" * 99) for n in range(299)]
    outcomes += [failed(299, "image-to-text", "It broke."), done(300, "summarization", "in short")]
    lines = _lines(quoted(plan(*raws), outcomes, 1000))
    assert {299, 300} <= {line.get("id") for line in lines}
    assert lines[-1] == {"tasks_not_listed": {"done": 301 - (len(lines) - 1) - 1 + 1}}


@pytest.mark.parametrize("attack", ATTACKS)
def test_no_text_ends_the_block_or_looks_like_a_mark(attack: str) -> None:
    read = Plan(max_tasks=9)
    for raw in (task("image-to-text", 0, image=SIGN), task(attack, 1), task("translation", 2, text=attack)):
        read.add(raw)
    outcomes = [
        done(0, "image-to-text", attack, [{attack: attack}], model=attack),
        failed(2, "translation", attack),
    ]
    told = quoted(read, outcomes, 5000)
    lines, text = _lines(told), told.text
    assert len(lines) == 3
    assert lines[0]["text"] == attack
    assert lines[0]["data"] == [{attack: attack}]
    assert not set("<>\r\x00\x1b\u202e\u2028\U000e0041") & set(text)
    assert "[INST]" not in text
    assert "[/INST]" not in text


def test_letters_of_all_scripts_stay_as_they_are() -> None:
    assert encoded("Größe, 图片, кот\u3000😀") == '"Größe, 图片, кот\u3000😀"'
    assert encoded("\ud800") == '"\\ud800"'


@pytest.mark.parametrize("seed", range(80))
def test_whatever_comes_fits_the_budget_and_is_json(seed: int) -> None:
    chance = random.Random(seed)

    def value(depth: int = 0) -> Any:
        kind = chance.randrange(7 if depth < 7 else 4)
        if kind == 0:
            return chance.choice(ATTACKS) * chance.choice([1, 40])
        if kind == 1:
            return chance.choice([None, True, -1, 10 ** chance.choice([3, 30, 400]), chance.uniform(-9, 9)])
        if kind < 4:
            return "图" * chance.choice([1, 3000])
        size = chance.choice([1, 3, 60])
        if kind < 6:
            return [value(depth + 3) for _ in range(size)]
        return {f"{chance.choice(ATTACKS)}{n}": value(depth + 3) for n in range(size)}

    count = chance.choice([1, 2, 5, 40])
    raws = [task("image-to-text", 0, image=SIGN)]
    raws += [task("translation", n, text=f"<node-{chance.randrange(n)}>") for n in range(1, count)]
    outcomes = []
    for raw in raws:
        name, number = raw["task"], raw["id"]
        if chance.random() < 0.2:
            outcomes.append(failed(number, name, chance.choice(ATTACKS)))
        else:
            files = tuple(artifact(n) for n in range(chance.choice([0, 0, 1, 50])))
            outcomes.append(done(number, name, str(value(9)), value(), artifacts=files))
    budget = chance.choice([200, 500, 2000, 8000])
    told = quoted(plan(*raws), outcomes, budget)
    assert tokens(told.text) <= budget
    assert _lines(told)


def test_final_are_the_tasks_whose_results_nobody_used() -> None:
    read = plan(*CHAIN, task("translation", 2, text="<node-0>"))
    outcomes = [done(0, "image-to-text", "a"), failed(1, "text-to-speech", "broke"), done(2, "translation")]
    assert [item.id for item in final_tasks(read, outcomes)] == [1, 2]
    outcomes = [
        done(0, "image-to-text", "a"),
        failed(1, "text-to-speech", "b"),
        failed(2, "translation", "b"),
    ]
    assert [item.id for item in final_tasks(read, outcomes)] == [0, 1, 2]
