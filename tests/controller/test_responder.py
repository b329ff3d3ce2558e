"""The embedded responder: what an answer says."""

from collections.abc import Sequence
from typing import Any

import pytest

from controller.outcome import Attempt, Failure, Status
from controller.plan import Plan
from controller.rules.prose import LONGEST
from controller.rules.telling import LONGEST_ASIDE
from model_catalog.tasks import TASKS, Modality
from tests.support.answers import ENGLISH, FRENCH, answer_to, done, failed, path_of, pieces, raw_task, stored

SIGN = "/examples/sign.png"


def test_a_chain_tells_words_file_and_models() -> None:
    answer = answer_to(
        [
            raw_task("image-to-text", 0, "ocr", image=SIGN),
            raw_task("text-to-speech", 1, text="<GENERATED>-0"),
        ],
        done(0, "image-to-text", "OPEN\n24 HOURS", model="embedded/rapidocr"),
        done(1, "text-to-speech", artifacts=(stored(Modality.AUDIO, 1),), model="embedded/espeak"),
    )
    assert answer.split("\n\n") == [
        "The text in the picture reads: “OPEN\n24 HOURS”.",
        f"Here it is read aloud: {path_of(Modality.AUDIO, 1)}",
        "Models used: embedded/rapidocr for image to text and embedded/espeak for text to speech.",
    ]


def test_the_order_of_the_outcomes_does_not_matter() -> None:
    raws = [raw_task("image-to-text", 0, image=SIGN), raw_task("summarization", 1, text="<node-0>")]
    outcomes = [done(0, "image-to-text", "a cat"), done(1, "summarization", "cat")]
    assert answer_to(raws, *outcomes) == answer_to(raws, *reversed(outcomes))


@pytest.mark.parametrize(
    ("raw", "text", "data", "told"),
    [
        (raw_task("image-to-text", 0, image=SIGN), "a cat", None, "The picture shows: “a cat”."),
        (raw_task("image-to-text", 0, "ocr", image=SIGN), "", [], "I found no text in the picture."),
        (raw_task("automatic-speech-recognition", 0, audio="a.wav"), "hi", None, "The recording says: “hi”."),
        (
            raw_task("automatic-speech-recognition", 0, audio="a.wav"),
            None,
            None,
            "I heard no words in the recording.",
        ),
        (raw_task("summarization", 0, text="long"), "short", None, "In short: “short”."),
        (
            raw_task("translation", 0, text="hi", target_language="French"),
            "salut",
            None,
            "In French: “salut”.",
        ),
        (raw_task("translation", 0, text="hi"), "salut", None, "The translation is: “salut”."),
        (
            raw_task("visual-question-answering", 0, image=SIGN, text="How many?"),
            "two",
            None,
            "The answer to “How many?” is: “two”.",
        ),
        (
            raw_task("question-answering", 0, question="Who?", context="c"),
            "she",
            None,
            "The answer to “Who?” is: “she”.",
        ),
        (
            raw_task("text-classification", 0, text="fine"),
            "positive (0.90)",
            [{"label": "neutral", "score": 0.1}, {"label": "positive", "score": 0.9}],
            "The text is classed as positive (90 %); then neutral (10 %).",
        ),
        (
            raw_task("image-classification", 0, image=SIGN),
            "cat",
            [{"label": "cat", "score": 1}],
            "The picture is classed as cat (100 %).",
        ),
        (
            raw_task("audio-classification", 0, audio="a.wav"),
            "dog",
            [{"label": "a/b", "score": 0.5}],
            "The recording is classed as “a/b” (50 %).",
        ),
        (
            raw_task("sentence-similarity", 0, text1="a", text2="b"),
            "similarity 0.73",
            {"score": 0.731},
            "The two texts are alike by 0.73, where 1 is the same and 0 nothing in common.",
        ),
        (
            raw_task("token-classification", 0, text="John"),
            "John",
            [{"word": "John", "entity_group": "PER"}, {"word": "Paris", "entity": "LOC"}, {"word": "x"}],
            "I found in the text: “John” (PER), “Paris” (LOC) and “x” (?).",
        ),
        (
            raw_task("object-detection", 0, image=SIGN),
            "cat, dog, cat",
            [{"label": "cat"}, {"label": "dog"}, {"label": "cat"}],
            "I found 3 objects: 2 cats and 1 dog.",
        ),
        (raw_task("object-detection", 0, image=SIGN), "cat", [{"label": "cat"}], "I found 1 cat."),
        (raw_task("object-detection", 0, image=SIGN), None, [], "I found no objects."),
        (raw_task("image-segmentation", 0, image=SIGN), "sky", [{"label": "sky"}], "I found 1 part: sky."),
        (
            raw_task("fill-mask", 0, text="a [MASK]"),
            None,
            {"best": "cat"},
            'The result of fill mask: “{"best": "cat"}”.',
        ),
        (raw_task("summarization", 0, text="long"), " ", None, "The result of summarization is empty."),
        (
            raw_task("tabular-classification", 0, table="t.csv"),
            "yes",
            None,
            "The result of tabular classification: “yes”.",
        ),
        (
            raw_task("canny-control", 0, image=SIGN),
            None,
            None,
            "The task canny control ended without a result.",
        ),
    ],
)
def test_what_each_task_found_is_told(raw: dict[str, Any], text: str | None, data: Any, told: str) -> None:
    answer = answer_to([raw], done(0, raw["task"], text, data))
    assert answer.split("\n\n")[0] == told


@pytest.mark.parametrize(
    ("task", "text", "data"),
    [
        ("text-classification", "odd", [{"label": 3, "score": "x"}, "y"]),
        ("sentence-similarity", "odd", {"scores": [0.1]}),
        ("object-detection", "odd", {"boxes": []}),
        ("token-classification", "odd", "words"),
    ],
)
def test_data_of_another_shape_leaves_the_text(task: str, text: str, data: Any) -> None:
    args = {argument.name: "a" for argument in TASKS[task].arguments}
    assert "“odd”" in answer_to([raw_task(task, 0, **args)], done(0, task, text, data))


def test_many_labels_are_cut() -> None:
    data = [{"label": f"thing {number}"} for number in range(50)]
    answer = answer_to([raw_task("object-detection", 0, image=SIGN)], done(0, "object-detection", "x", data))
    assert "I found 50 objects" in answer
    assert "and 30 other kinds" in answer
    entities = [{"word": f"w{number}", "entity": "PER"} for number in range(50)]
    answer = answer_to(
        [raw_task("token-classification", 0, text="t")], done(0, "token-classification", "x", entities)
    )
    assert "and 30 more" in answer


@pytest.mark.parametrize(
    ("task", "modality", "told"),
    [
        ("canny-control", Modality.IMAGE, "Here are the edges: "),
        ("openpose-control", Modality.IMAGE, "Here is the pose: "),
        ("text-to-image", Modality.IMAGE, "Here is the picture you asked for: "),
        ("openpose-text-to-image", Modality.IMAGE, "Here is the picture you asked for: "),
        ("image-to-image", Modality.IMAGE, "Here is the changed picture: "),
        ("audio-to-audio", Modality.AUDIO, "Here is the cleaned recording: "),
        ("text-to-video", Modality.VIDEO, "Here is the video: "),
        ("text-to-speech", Modality.AUDIO, "Here is “a” read aloud: "),
    ],
)
def test_files_are_given_by_their_paths(task: str, modality: Modality, told: str) -> None:
    args = {argument.name: "a" for argument in TASKS[task].arguments if argument.required}
    answer = answer_to([raw_task(task, 0, **args)], done(0, task, artifacts=(stored(modality, 7),)))
    assert answer.split("\n\n")[0] == f"{told}{path_of(modality, 7)}"


def test_a_picture_with_boxes_follows_what_was_found() -> None:
    answer = answer_to(
        [raw_task("object-detection", 0, image=SIGN)],
        done(0, "object-detection", "cat", [{"label": "cat"}], artifacts=(stored(Modality.IMAGE, 1),)),
    )
    assert answer.startswith(f"I found 1 cat. Here is the marked picture: {path_of(Modality.IMAGE, 1)}")


def test_files_on_the_way_are_not_mentioned() -> None:
    answer = answer_to(
        [
            raw_task("openpose-control", 0, image="/examples/d.jpg"),
            raw_task("image-to-text", 1, image="/examples/e.jpg"),
            raw_task("openpose-text-to-image", 2, text="<node-1>", image="<node-0>"),
        ],
        done(0, "openpose-control", artifacts=(stored(Modality.IMAGE, 1),)),
        done(1, "image-to-text", "a girl"),
        done(2, "openpose-text-to-image", artifacts=(stored(Modality.IMAGE, 2),)),
    )
    assert path_of(Modality.IMAGE, 1) not in answer
    assert path_of(Modality.IMAGE, 2) in answer
    assert "“a girl”" in answer


def test_a_file_whose_use_failed_is_delivered() -> None:
    answer = answer_to(
        [raw_task("text-to-image", 0, text="a cat"), raw_task("object-detection", 1, image="<node-0>")],
        done(0, "text-to-image", artifacts=(stored(Modality.IMAGE, 1),)),
        failed(1, "object-detection", "No model can run it."),
    )
    assert path_of(Modality.IMAGE, 1) in answer
    assert "The task object detection failed: No model can run it." in answer


def test_a_task_that_only_waits_for_another_hides_nothing_of_it() -> None:
    answer = answer_to(
        [
            raw_task("text-to-image", 0, text="a cat"),
            raw_task("text-to-image", 1, text="a dog") | {"dep": [0]},
        ],
        done(0, "text-to-image", artifacts=(stored(Modality.IMAGE, 1),)),
        done(1, "text-to-image", artifacts=(stored(Modality.IMAGE, 2),)),
    )
    assert path_of(Modality.IMAGE, 1) in answer
    assert path_of(Modality.IMAGE, 2) in answer


def test_results_of_one_kind_are_told_apart() -> None:
    answer = answer_to(
        [
            raw_task("image-to-text", 0, image="/examples/a.jpg"),
            raw_task("image-to-text", 1, image="/examples/b.jpg"),
        ],
        done(0, "image-to-text", "a cat"),
        done(1, "image-to-text", "a dog"),
    )
    assert "For “/examples/a.jpg”: The picture shows: “a cat”." in answer
    assert "For “/examples/b.jpg”: The picture shows: “a dog”." in answer
    assert answer.count("embedded/image-to-text for image to text") == 1


def test_long_texts_are_cut_and_it_is_said() -> None:
    answer = answer_to([raw_task("summarization", 0, text="t")], done(0, "summarization", "x" * 5000))
    assert f"{'x' * LONGEST}…” (cut: the first 2,000 of 5,000 characters)" in answer
    assert "x" * (LONGEST + 1) not in answer


def test_texts_on_the_way_are_cut_sooner() -> None:
    answer = answer_to(
        [raw_task("image-to-text", 0, image=SIGN), raw_task("text-to-speech", 1, text="<node-0>")],
        done(0, "image-to-text", "x" * 1000),
        done(1, "text-to-speech", artifacts=(stored(Modality.AUDIO, 1),)),
    )
    assert "x" * (LONGEST_ASIDE + 1) not in answer


def test_failures_and_what_they_took_along_are_told() -> None:
    answer = answer_to(
        [
            raw_task("automatic-speech-recognition", 0, audio="a.wav"),
            raw_task("summarization", 1, text="<node-0>"),
            raw_task("text-to-speech", 2, text="hi"),
            raw_task("canny-control", 3, image=SIGN),
        ],
        failed(0, "automatic-speech-recognition", "No model can transcribe here; install one."),
        failed(1, "summarization", "It waits for task 0, which failed.", Status.SKIPPED),
        done(2, "text-to-speech", artifacts=(stored(Modality.AUDIO, 1),)),
        failed(3, "canny-control", "The run was stopped.", Status.CANCELLED),
    )
    assert answer.split("\n\n")[:4] == [
        f"Here is “hi” read aloud: {path_of(Modality.AUDIO, 1)}",
        "The task automatic speech recognition failed: No model can transcribe here; install one.",
        "The task summarization was skipped: It waits for task 0, which failed.",
        "The task canny control was cancelled: The run was stopped.",
    ]


def test_an_answer_without_any_result_says_so_first() -> None:
    answer = answer_to([raw_task("text-to-speech", 0, text="hi")], failed(0, "text-to-speech", "It broke."))
    assert answer == "I am sorry: nothing of this could be done.\n\nThe task text to speech failed: It broke."


def test_a_task_without_an_outcome_is_told() -> None:
    assert "The task text to speech was skipped: It was not run" in answer_to(
        [raw_task("text-to-speech", 0, text="hi")]
    )


def test_what_the_plan_left_out_and_mended_is_told() -> None:
    answer = answer_to(
        [
            raw_task("image-to-text", 0, image=SIGN),
            raw_task("text-to-speech", 1, image="<node-0>"),
            raw_task("object-detection", 2),
            *[raw_task("sing/along.png", number) for number in range(3, 10)],
        ],
        done(0, "image-to-text", "a cat"),
        done(1, "text-to-speech", artifacts=(stored(Modality.AUDIO, 1),)),
    )
    assert "I left out the task “object-detection”: it needs an image." in answer
    assert "I left out 3 more tasks for like reasons." in answer
    assert "I mended the plan: task 1 (text-to-speech): took 'image' for 'text'." in answer


def test_many_mends_are_cut() -> None:
    odd = {"x": "1", "y": "2", "z": "3", "u": "4", "v": "5", "w": "6", "q": "7"}
    answer = answer_to([raw_task("summarization", 0, text="t", **odd)], done(0, "summarization", "s"))
    assert "; and 2 more." in answer


def test_a_fallback_is_told() -> None:
    attempts = (
        Attempt(model="a/first", seconds=1, failure=Failure(code="x", message="broke")),
        Attempt(model="b/second", seconds=1),
    )
    answer = answer_to(
        [raw_task("summarization", 0, text="t")],
        done(0, "summarization", "s", attempts=attempts, model="b/second"),
    )
    assert answer.endswith("Models used: b/second for summarization (after a/first failed).")


def test_remarks_are_told_as_they_came() -> None:
    plan = Plan.parse([raw_task("summarization", 0, text="t")])
    plan.remarks.append("The embedded brain planned this.")
    for request, told in (
        (ENGLISH, "The embedded brain planned this."),
        (FRENCH, "Remarque\u00a0: «\u00a0The embedded brain planned this.\u00a0»"),
    ):
        answer = "".join(pieces(plan, [done(0, "summarization", "s")], request))
        assert answer.split("\n\n")[1] == told


def test_probabilities_of_many_things_are_told_as_a_range() -> None:
    def told(scores: Sequence[float]) -> str:
        data = [{"label": "sheep", "score": score} for score in scores]
        raws = [raw_task("object-detection", 0, image=SIGN)]
        return answer_to(raws, done(0, "object-detection", "x", data)).split("\n\n")[0]

    assert told([0.5 + number / 100 for number in range(20)]) == "I found 20 sheep (69 % down to 50 %)."
    assert told([0.5] * 20) == "I found 20 sheep (50 %)."


def test_long_causes_are_cut() -> None:
    answer = answer_to([raw_task("text-to-speech", 0, text="hi")], failed(0, "text-to-speech", "x" * 9000))
    assert len(answer) < 700


def test_the_answer_comes_in_pieces() -> None:
    plan = Plan.parse([raw_task("text-to-speech", 0, text="hi")])
    streamed = pieces(plan, [failed(0, "text-to-speech", "It broke.")])
    assert len(streamed) == 2
    assert all(streamed)
