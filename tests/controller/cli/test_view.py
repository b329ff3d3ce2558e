"""What the terminal shows of a run: graphs, lines, and words that stay words."""

import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from controller.cli.view import View, graph, literal
from controller.events import (
    AnswerDelta,
    Event,
    LeftOut,
    PlanDone,
    PlanTask,
    RunCreated,
    RunDone,
    RunFailed,
    TaskChosen,
    TaskDone,
    TaskFailed,
    TaskSkipped,
    TaskStarted,
    TaskWaking,
)
from controller.outcome import Artifact, Attempt, Choice, Failure, Outcome, Status, Timings
from model_catalog.tasks import Modality

TRICKS = ["[bold]x[/]", "[/]", "[/bold]", "[red", "[link=http://evil]x[/link]", "\\[x]", "end\\", "two\\\\",
          "three\\\\\\", ":smile:", ":100:", "[@click=x]y[/]", "[#fff]z"]  # fmt: skip


def _console(width: int = 100, color: bool = False) -> Console:
    return Console(
        file=io.StringIO(), width=width, force_terminal=color, color_system="standard" if color else None
    )


def _text(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def _shown(*events: Event, width: int = 100) -> list[str]:
    """The lines of these events."""
    console = _console(width)
    view = View(console)
    for event in events:
        view.show(event)
    return _text(console).splitlines()


def _tree(*plan: dict[str, Any], width: int = 100) -> list[str]:
    console = _console(width)
    console.print(graph(plan))
    return [line.rstrip() for line in _text(console).splitlines()]


def _task(number: int, *dep: int, **args: str) -> dict[str, Any]:
    return {"task": "fill-mask", "id": number, "dep": list(dep) or [-1], "args": args}


def _outcome(status: Status = Status.DONE, **more: Any) -> Outcome:
    return Outcome(id=0, task="fill-mask", status=status, **more)


# Graphs --------------------------------------------------------------------------------------------------


def test_a_chain_goes_down() -> None:
    assert _tree(
        _task(0, image="/examples/a.jpg"),
        _task(1, 0, text="<GENERATED>-0"),
        _task(2, 1, text="so: <GENERATED>-1!"),
    ) == [
        "plan",
        "└── 0 fill-mask  image=/examples/a.jpg",
        "    └── 1 fill-mask  text=← 0",
        "        └── 2 fill-mask  text='so: <GENERATED>-1!'",
    ]  # fmt: skip


def test_a_diamond_and_what_stands_alone() -> None:
    assert _tree(
        _task(0, text="a"),
        _task(1, 0, text="<GENERATED>-0"),
        _task(2, 0, text="<GENERATED>-0"),
        _task(3, 1, 2, text="<GENERATED>-1", image="<GENERATED>-2"),
        _task(7, text="alone"),
    ) == [
        "plan",
        "├── 0 fill-mask  text='a'",
        "│   ├── 1 fill-mask  text=← 0",
        "│   └── 2 fill-mask  text=← 0",
        "│       └── 3 fill-mask  text=← 1, image=← 2",
        "└── 7 fill-mask  text='alone'",
    ]


def test_a_plan_without_tasks_and_a_task_whose_dependency_is_not_there() -> None:
    assert _tree() == ["plan"]
    assert _tree(_task(1, 0)) == ["plan", "└── 1 fill-mask"]


def test_long_texts_are_cut_and_paths_are_not_quoted() -> None:
    (_, line) = _tree(_task(0, text="word " * 100), width=300)
    assert line.endswith("…'")
    assert len(line) < 150
    (_, line) = _tree(_task(0, image="/images/" + "0" * 32 + ".png"), width=300)
    assert "'" not in line
    (_, line) = _tree(_task(0, text="a/" * 5000), width=300)
    assert len(line) < 150
    assert _tree(_task(0, text="two\nlines\t and  gaps"))[1].endswith("text='two lines and gaps'")


# Lines of a run ------------------------------------------------------------------------------------------


def test_a_run_is_shown_line_by_line() -> None:
    choice = Choice(model="a/b", reason="most downloads", candidates=("a/b", "c/d", "e/f"))
    found = Artifact(path="/images/x.png", modality=Modality.IMAGE, media_type="image/png", size=1)
    timings = Timings(dispatched=1.0, started=2.0, finished=3.5, settled=4.0)
    outcome = _outcome(text="two\nlines", artifacts=(found,), timings=timings, choice=choice)
    assert _shown(
        RunCreated(run="r", brain="x"),
        PlanTask(run="r", task=_task(0, text="a")),
        PlanDone(run="r", plan=[_task(0, text="a")], notes=("mended",),
                 left_out=(LeftOut(id=1, task="mind-reading", reason="why"),)),
        TaskChosen(run="r", id=0, choice=choice),
        TaskStarted(run="r", id=0, model="a/b"),
        TaskDone(run="r", outcome=outcome),
        AnswerDelta(run="r", text="left to the caller"),
        RunDone(run="r", answer="left to the caller"),
    ) == [
        "plan  by x",
        "└── 0 fill-mask  text='a'",
        "  mended",
        "  left out mind-reading: why",
        "· 0 fill-mask  a/b  (most downloads; beat c/d, e/f)",
        "▸ 0 fill-mask  runs on a/b",
        "✓ 0 fill-mask  1.50 s  /images/x.png  “two lines”",
    ]  # fmt: skip


def test_the_only_candidate_has_beaten_nobody() -> None:
    choice = Choice(model="a/b", reason="the only one", candidates=("a/b",))
    assert _shown(TaskChosen(run="r", id=3, choice=choice)) == ["· 3   a/b  (the only one)"]


@pytest.mark.parametrize(
    ("event", "mark"),
    [
        (
            TaskFailed(run="r", outcome=_outcome(Status.FAILED, error=Failure(code="c", message="broken"))),
            "✗",
        ),
        (
            TaskFailed(
                run="r", outcome=_outcome(Status.CANCELLED, error=Failure(code="c", message="broken"))
            ),
            "–",
        ),
        (
            TaskSkipped(run="r", outcome=_outcome(Status.SKIPPED, error=Failure(code="c", message="broken"))),
            "–",
        ),
    ],
)
def test_what_did_not_end_well_says_why(event: Event, mark: str) -> None:
    assert _shown(event) == [f"{mark} 0   broken"]


def test_failed_attempts_are_told_before_the_end() -> None:
    tried = (
        Attempt(model="a/b", seconds=1.234, failure=Failure(code="busy", message="too many")),
        Attempt(model="c/d", seconds=1.0),
    )
    assert _shown(TaskDone(run="r", outcome=_outcome(text="x", attempts=tried))) == [
        "! 0   a/b failed after 1.23 s: too many",
        "✓ 0   “x”",
    ]


def test_a_run_that_failed_and_an_outcome_without_anything() -> None:
    assert _shown(RunFailed(run="r", error=Failure(code="c", message="No task can run."))) == [
        "✗ No task can run."
    ]
    assert [line.rstrip() for line in _shown(TaskDone(run="r", outcome=_outcome()))] == ["✓ 0"]


def test_a_long_line_is_not_broken() -> None:
    said = "word " * 60
    failed = TaskFailed(
        run="r", outcome=_outcome(Status.FAILED, error=Failure(code="c", message=said.strip()))
    )
    assert len(_shown(failed, width=40)) == 1


# Words stay words ----------------------------------------------------------------------------------------


def _everywhere(words: str) -> list[Event]:
    """Events that hold these words wherever a request or a model may put any."""
    failure = Failure(code="c", message=words)
    found = Artifact(path=words, modality=Modality.IMAGE, media_type="image/png", size=1)
    return [
        PlanTask(run="r", task=_task(0) | {"task": words}),
        PlanDone(run="r", plan=[], notes=(words,), left_out=(LeftOut(id=0, task=words, reason=words),)),
        TaskChosen(run="r", id=0, choice=Choice(model=words, reason=words, candidates=("x",))),
        TaskStarted(run="r", id=0, model=words),
        TaskDone(run="r", outcome=_outcome(text=words, artifacts=(found,))),
        TaskFailed(run="r", outcome=_outcome(Status.FAILED, error=failure,
                                             attempts=(Attempt(model=words, seconds=0.0, failure=failure),))),
        RunFailed(run="r", error=failure),
    ]  # fmt: skip


@pytest.mark.parametrize("words", TRICKS)
def test_markup_and_emoji_codes_are_shown_as_they_are(words: str) -> None:
    shown = _shown(*_everywhere(words))
    assert len(shown) == 8
    assert all(words in line for line in shown)
    assert "\n".join(shown).count(words) == 17


@pytest.mark.parametrize("words", TRICKS)
def test_graphs_show_words_as_they_are(words: str) -> None:
    assert words in "\n".join(_tree(_task(0) | {"task": words}))
    assert repr(words)[1:-1] in "\n".join(_tree(_task(0, text=f"{words} ")))


@given(st.text(max_size=40))
def test_nothing_steers_the_terminal(words: str) -> None:
    console = _console()
    view = View(console)
    for event in _everywhere(words):
        view.show(event)
    console.print(graph([_task(0, text=words, image=f"/{words}")]))
    console.print(literal(words))
    steering = {chr(code) for code in (*range(0x20), *range(0x7F, 0xA0))} - {"\n", "\t"}
    assert not steering & set(_text(console))


def test_escape_sequences_of_a_model_are_made_harmless() -> None:
    console = _console(color=True)
    console.print(literal("\x1b]0;title\x07 \x1b[31mred\x9b2J"))
    assert "\x1b]0" not in _text(console)
    assert "red" in _text(console)


def test_a_model_that_wakes_up_is_told_with_its_time() -> None:
    event = TaskWaking(run="r", id=0, model="a/b", seconds=7.6)
    assert _shown(event) == ["… 0   a/b wakes up, which takes about 8 s"]
