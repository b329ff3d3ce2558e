"""TaskBench's scores: counted by hand on plans made up for it, and the report of the command."""

import json
import math
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import taskbench
from benchmarks.taskbench_scores import (
    OUTPUTS,
    compare,
    content_type,
    features,
    gold_nodes,
    plan_nodes,
    summed,
)
from benchmarks.taskbench_unseen import english, unseen, uses
from model_catalog.tasks import TASKS


def _task(number: int, task: str, **args: Any) -> dict[str, Any]:
    return {"task": task, "id": number, "dep": [-1], "args": args}


def _gold(key: str, kind: str, *nodes: tuple[str, list[Any]]) -> dict[str, Any]:
    return {
        "id": key,
        "type": kind,
        "user_request": "Describe a.jpg",
        "task_nodes": [{"task": tool, "arguments": arguments} for tool, arguments in nodes],
    }


GOLD = [
    _gold("one", "single", ("Image-to-Text", ["a.jpg"])),
    _gold(
        "two",
        "chain",
        ("Automatic_Speech Recognition", [{"audio": "x.wav"}]),
        ("Translation", ["<node-0>"]),
        ("Text-to-Speech", [["<node-1>"]]),
    ),
    _gold(
        "three",
        "dag",
        ("Image Editing", ["b.png", "make it red"]),
        ("Object Detection", ["<node-0>"]),
        ("Image-to-Text", ["<node-0>", "<node-2>", "<node-9>"]),
    ),
    _gold("four", "single", ("Conversational", ["hello"])),
]
PLANS = {
    "one": [_task(0, "image-to-text", image="a.jpg"), _task(1, "canny-control", image="a.jpg")],
    "two": [
        _task(3, "automatic-speech-recognition", audio="x.wav"),
        _task(5, "translation", text="<GENERATED>-3", target_language="French"),
        _task(6, "text-to-speech", text="<GENERATED>-3", seed=None),
    ],
    "three": [
        _task(0, "image-to-image", image="b.png", text="make it blue"),
        _task(1, "object-detection", image=[" <GENERATED>-0 "]),
    ],
}
# The members of the sets, counted by hand: request by request, right + right …, surplus and missing.
# tools: one: 1 right, 1 surplus (and outside the table); two: 3; three: 2, 1 missing; four: 1 missing.
TOOLS = (1 + 3 + 2, 1, 2)
# edges: two: speech->translation right, speech->voice surplus, translation->voice missing;
# three: 1, 1 missing.
EDGES = (1 + 1, 1, 2)
# types: one: 1 right, 1 surplus; two: all three (both wires of the voice bring text); three: picture and
# words of the edit and the picture of the detection, the caption's missing; four: 1 missing.
TYPES = (1 + 3 + 3, 1, 2)
# values: one: 1, 1 surplus; two: 2, the voice's 1 surplus and 1 missing; three: 2, the words 1 surplus and
# 1 missing, the caption's 1 missing; four: 1 missing.
VALUES = (1 + 2 + 2, 3, 4)


def _f1(right: int, surplus: int, missing: int) -> float:
    precision, recall = right / (right + surplus), right / (right + missing)
    return 100 * 2 * precision * recall / (precision + recall)


def _without(counts: tuple[int, int, int], surplus: int = 0, missing: int = 0) -> tuple[int, int, int]:
    return counts[0], counts[1] - surplus, counts[2] - missing


def _scores(strict: bool) -> dict[str, float]:
    return summed([compare(row, PLANS.get(row["id"])) for row in GOLD], strict)


def test_the_stricter_variant_counts_every_request_and_every_tool() -> None:
    found = _scores(strict=True)
    wanted = zip(("n-F1", "e-F1", "t-F1", "v-F1"), (TOOLS, EDGES, TYPES, VALUES), strict=True)
    for metric, counts in wanted:
        assert math.isclose(found[metric], _f1(*counts), abs_tol=0.005), metric
    assert found["exact"] == 0
    assert found["samples"] == 4


def test_taskbench_passes_over_lacking_plans_and_tools_outside_its_table() -> None:
    found = _scores(strict=False)
    assert math.isclose(found["n-F1"], _f1(*_without(TOOLS, surplus=1, missing=1)), abs_tol=0.005)
    assert math.isclose(found["e-F1"], _f1(*EDGES), abs_tol=0.005)
    assert math.isclose(found["t-F1"], _f1(*_without(TYPES, missing=1)), abs_tol=0.005)
    assert math.isclose(found["v-F1"], _f1(*_without(VALUES, missing=1)), abs_tol=0.005)
    assert found["samples"] == 3


def test_the_sets_of_a_plan() -> None:
    tools, edges, types, values = features(gold_nodes(GOLD[2]))
    assert tools == {"Image Editing", "Object Detection", "Image-to-Text"}
    assert edges == {("Image Editing", "Object Detection"), ("Image Editing", "Image-to-Text")}
    assert types == {
        ("Image Editing", "image"),
        ("Image Editing", "text"),
        ("Object Detection", "image"),
        ("Image-to-Text", "image"),
    }
    assert ("Image Editing", "text", "make it red") in values
    assert ("Image-to-Text", "image", "Image Editing") in values


@pytest.mark.parametrize("value", ["<node-2", "<node-x>", "b > a <node-0>", "<node-7>", "<node-1>"])
def test_references_that_lead_nowhere_count_nothing(value: str) -> None:
    row = _gold("x", "chain", ("Image Editing", ["b.png"]), ("Object Detection", [value]))
    assert features(gold_nodes(row))[1:3] == (set(), {("Image Editing", "image")})


def test_a_perfect_plan_scores_full_marks() -> None:
    plan = [_task(0, "image-to-text", image="a.jpg"), _task(1, "translation", text="<GENERATED>-0")]
    row = _gold("x", "chain", ("Image-to-Text", ["a.jpg"]), ("Translation", ["<node-0>"]))
    for strict in (True, False):
        assert set(summed([compare(row, plan)], strict).values()) == {100.0, 1}


def test_an_edit_without_words_is_another_tool() -> None:
    (node,) = plan_nodes([_task(0, "image-to-image", image="a.jpg")])
    assert node.tool == "Image-to-Image"
    (node,) = plan_nodes([_task(0, "image-to-image", image="a.jpg", text="brighter")])
    assert node.tool == "Image Editing"


@pytest.mark.parametrize(
    ("value", "kind"),
    [("a.jpg", "image"), ("the file talk.wav here", "audio"), ("x.mp4", "video"), ("a cat", "text")],
)
def test_types_of_words(value: str, kind: str) -> None:
    assert content_type(value) == kind


def test_the_table_of_tools_is_that_of_the_registry() -> None:
    ours = {name: TASKS.get(name.lower().replace(" ", "-")) for name in OUTPUTS}
    assert [name for name, row in ours.items() if row is None] == ["Image Editing"]
    assert len(OUTPUTS) == 23
    for name, row in ours.items():
        if row is not None and OUTPUTS[name] != "none":
            assert OUTPUTS[name] in row.outputs, name


def test_tools_set_beside_each_other() -> None:
    scored = [compare(row, PLANS.get(row["id"])) for row in GOLD]
    assert taskbench.confusions(scored) == [
        ("Conversational", "nothing", 1),
        ("Image-to-Text", "nothing", 1),
        ("nothing", "canny-control", 1),
    ]
    tools = taskbench.per_tool(scored)
    assert tools["Image-to-Text"] == {
        "wanted": 2,
        "planned": 1,
        "precision": 100.0,
        "recall": 50.0,
        "F1": 66.7,
    }
    assert tools["canny-control"]["precision"] == 0


def test_folds_hold_every_request_once_and_each_type() -> None:
    rows = [_gold(str(n), kind, ("Translation", ["hi"])) for n in range(10) for kind in taskbench.KINDS]
    scored = [compare(row, None) for row in rows]
    parts = taskbench.folds(scored, seed=1)
    assert sorted(id(one) for part in parts for one in part) == sorted(map(id, scored))
    for part in parts:
        assert [one.kind for one in part].count("dag") == 2
    assert parts != taskbench.folds(scored, seed=2)


def test_the_interval_holds_the_score_and_narrows_with_more_requests() -> None:
    def wide(copies: int) -> float:
        scored = [compare(row, PLANS.get(row["id"])) for row in GOLD] * copies
        low, high = taskbench.bootstrap(scored, strict=True, seed=0)["n-F1"]
        assert low <= summed(scored, strict=True)["n-F1"] <= high
        return high - low

    assert wide(40) < wide(4) < wide(1)


def test_without_any_plan_everything_is_nought() -> None:
    found = taskbench.figures(GOLD, {}, seed=0)
    assert found["scores"]["TaskBench's definitions"]["all"]["samples"] == 0
    assert found["scores"]["stricter variant"]["all"] == dict.fromkeys(
        ("n-F1", "e-F1", "t-F1", "v-F1", "exact"), 0.0
    ) | {"samples": 4}


def _asked(key: str, text: str) -> dict[str, Any]:
    return GOLD[0] | {"id": key, "user_request": text}


def test_phrases_that_only_one_request_uses_are_left_out_for_it() -> None:
    rows = [
        _asked("one", "transcribe x.wav"),
        _asked("two", "estimate the depth of a.jpg"),
        _asked("three", "please estimate the depth of b.png"),
    ]
    plans, phrases = unseen(rows)
    assert plans["one"][0]["task"] == "conversational"
    assert [plans[key][0]["task"] for key in ("two", "three")] == ["depth-estimation"] * 2
    assert 0 < phrases["used once"] < phrases["used"] < phrases["phrases"]
    content = english()
    found = uses(rows, content)
    assert len(found) == sum(len(row["phrases"]) for name in ("senses", "results") for row in content[name])
    assert found["senses", 0, "transcribe <audio>"] == {0}
    assert any(places == {1, 2} for places in found.values())


def _run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    monkeypatch.setattr(sys, "argv", ["taskbench", *map(str, arguments)])
    taskbench.main()


def test_the_command_scores_a_file_of_plans(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    gold, plans, out = tmp_path / "gold.jsonl", tmp_path / "plans.jsonl", tmp_path / "figures.json"
    gold.write_text("\n".join(map(json.dumps, GOLD)))
    lines = [{"id": key, "plan": plan} for key, plan in PLANS.items()]
    plans.write_text("\n".join(map(json.dumps, [*lines, {"id": "four", "plan": [], "error": "too much"}])))
    _run(monkeypatch, gold, "--plans", plans, "--json", out)
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert found == json.loads(out.read_text())
    assert found["scores"]["stricter variant"]["all"] == _scores(strict=True)
    assert found["scores"]["TaskBench's definitions"]["all"] == _scores(strict=False)
    assert "milliseconds" not in found


def test_the_command_plans_by_the_embedded_brain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    gold = tmp_path / "gold.jsonl"
    gold.write_text(json.dumps(GOLD[0]) + "\n")
    _run(monkeypatch, gold)
    printed = capsys.readouterr().out
    found = json.loads(printed.splitlines()[-1])
    assert found["scores"]["stricter variant"]["single"]["n-F1"] == 100.0
    assert 0 < found["milliseconds"]["median"] <= found["milliseconds"]["p99"]
    assert found["asking back"] == {"planned": 1, "questioned": 0, "good": 1, "good and questioned": 0}
    assert found["unseen"]["samples"] == 1
    assert "GPT-4, published" in printed


def test_plans_to_ask_back_about_are_counted() -> None:
    rows = [
        GOLD[0],
        GOLD[0] | {"user_request": "lkjh edges wqeoi summary zxmn aloud poiu"},
        GOLD[0] | {"user_request": "good morning"},
    ]
    found = taskbench.questioned(rows)
    assert found == {"planned": 2, "questioned": 1, "good": 1, "good and questioned": 0}


def test_the_command_asks_the_llm_as_plan_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[str] = []

    def plan_lines(source: Path, target: Path, brain: str, settings: object) -> tuple[int, list[str]]:
        asked.append(brain)
        target.write_text(json.dumps({"id": "one", "plan": PLANS["one"][:1]}))
        return 1, []

    monkeypatch.setattr(taskbench, "plan_lines", plan_lines)
    gold = tmp_path / "gold.jsonl"
    gold.write_text(json.dumps(GOLD[0]))
    _run(monkeypatch, gold, "--brain", "llm")
    assert asked == ["llm"]
    assert (
        json.loads(capsys.readouterr().out.splitlines()[-1])["scores"]["stricter variant"]["all"]["n-F1"]
        == 100
    )
