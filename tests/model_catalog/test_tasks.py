"""The task registry."""

import pytest

from model_catalog.errors import CatalogError, HuggingGPTError, UnknownTaskError
from model_catalog.tasks import MEDIA, SMALL, TASKS, Modality, TaskType, producers, task_type

HUB = [
    "token-classification",
    "text2text-generation",
    "summarization",
    "translation",
    "question-answering",
    "conversational",
    "text-generation",
    "sentence-similarity",
    "tabular-classification",
    "object-detection",
    "image-classification",
    "image-to-image",
    "image-to-text",
    "text-to-image",
    "text-to-video",
    "visual-question-answering",
    "document-question-answering",
    "image-segmentation",
    "depth-estimation",
    "text-to-speech",
    "automatic-speech-recognition",
    "audio-to-audio",
    "audio-classification",
]
CONTROL = ["canny-control", "hed-control", "mlsd-control", "normal-control", "openpose-control"]
CONTROLLED = [
    "canny-text-to-image",
    "depth-text-to-image",
    "hed-text-to-image",
    "mlsd-text-to-image",
    "normal-text-to-image",
    "openpose-text-to-image",
    "seg-text-to-image",
]
ADDED = [
    "depth-control",
    "seg-control",
    "text-classification",
    "zero-shot-classification",
    "fill-mask",
    "feature-extraction",
    "table-question-answering",
    "image-text-to-text",
    "text-to-audio",
    "image-to-video",
    "video-classification",
    "zero-shot-image-classification",
    "zero-shot-object-detection",
    "mask-generation",
    "inpainting",
]

every_task = pytest.mark.parametrize("row", TASKS.values(), ids=list(TASKS))


def test_hugginggpt_offers_its_35_names() -> None:
    assert (len(HUB), len(CONTROL), len(CONTROLLED)) == (23, 5, 7)
    assert {row.name for row in TASKS.values() if row.hugginggpt} == {*HUB, *CONTROL, *CONTROLLED}


def test_15_more_tasks_are_ours() -> None:
    assert len(ADDED) == 15
    assert {row.name for row in TASKS.values() if not row.hugginggpt} == set(ADDED)


def test_knobs_are_bound_by_name_alone() -> None:
    row = TASKS["text-to-image"]
    assert [knob.name for knob in row.knobs][:2] == ["negative_prompt", "seed"]
    steps = row.argument("num_inference_steps")
    assert steps is not None
    assert steps.name == "steps"
    assert not {knob.name for knob in row.knobs} & {argument.name for argument in row.arguments}
    assert all(not knob.required for task in TASKS.values() for knob in task.knobs)
    assert TASKS["canny-control"].knobs == ()


@every_task
def test_rows_are_well_formed(row: TaskType) -> None:
    assert TASKS[row.name] is row
    assert row.description.endswith(".")
    assert "\n" not in row.description
    assert row.arguments
    assert row.outputs
    assert row.family


@every_task
def test_a_name_means_one_argument(row: TaskType) -> None:
    names = [name for argument in row.arguments for name in (argument.name, *argument.aliases)]
    assert len(names) == len(set(names))
    for argument in row.arguments:
        for name in (argument.name, *argument.aliases):
            assert row.argument(name) is argument


@every_task
def test_generic_arguments_belong_to_hugginggpts_tasks(row: TaskType) -> None:
    declared = {name for argument in row.arguments for name in (argument.name, *argument.aliases)}
    for modality in (Modality.TEXT, Modality.IMAGE, Modality.AUDIO, Modality.VIDEO):
        if modality.value in declared:
            continue
        argument = row.argument(modality.value)
        if row.hugginggpt:
            assert argument is not None
            assert argument.modality is modality
            assert not argument.required
        else:
            assert argument is None


@every_task
def test_names_of_no_argument_are_unknown(row: TaskType) -> None:
    assert row.argument("colour") is None


@pytest.mark.parametrize(
    ("task", "given", "meant"),
    [
        ("question-answering", "text", "question"),
        ("sentence-similarity", "text", "text1"),
        ("sentence-similarity", "source_sentence", "text1"),
        ("sentence-similarity", "sentences", "text2"),
        ("visual-question-answering", "question", "text"),
        ("document-question-answering", "query", "text"),
        ("zero-shot-classification", "candidate_labels", "labels"),
        ("zero-shot-object-detection", "candidate_labels", "labels"),
    ],
)
def test_aliases(task: str, given: str, meant: str) -> None:
    argument = TASKS[task].argument(given)
    assert argument is not None
    assert argument.name == meant


def test_a_declared_argument_goes_before_a_generic_one() -> None:
    argument = TASKS["object-detection"].argument("image")
    assert argument is not None
    assert argument.required


@every_task
def test_small_results_hold_no_files(row: TaskType) -> None:
    assert row.small is not any(modality in MEDIA for modality in row.outputs)


def test_examples_of_small_and_large() -> None:
    assert TASKS["summarization"].small
    assert TASKS["feature-extraction"].small
    assert not TASKS["object-detection"].small
    assert not TASKS["text-to-speech"].small


def test_every_modality_is_small_or_a_file() -> None:
    assert set(Modality) == MEDIA | SMALL
    assert not MEDIA & SMALL


def test_only_image_to_text_tells_jobs_apart() -> None:
    assert {row.name: row.wants for row in TASKS.values() if row.wants} == {
        "image-to-text": ("caption", "ocr")
    }


@every_task
def test_labels_are_for_people(row: TaskType) -> None:
    assert row.label.split(" ") == row.name.split("-")


def test_producers_of_a_modality() -> None:
    assert {row.name for row in producers(Modality.VIDEO)} == {"text-to-video", "image-to-video"}
    assert {row.name for row in producers(Modality.AUDIO)} == {
        "text-to-speech",
        "text-to-audio",
        "audio-to-audio",
    }
    assert not list(producers(Modality.TABLE))


def test_task_type_finds_its_row() -> None:
    assert task_type("translation") is TASKS["translation"]


def test_an_unknown_task_type_names_the_known_ones() -> None:
    with pytest.raises(UnknownTaskError) as caught:
        task_type("text-to-smell")
    error = caught.value
    assert (error.code, error.status) == ("unknown_task", 422)
    assert isinstance(error, CatalogError)
    assert isinstance(error, HuggingGPTError)
    assert error.message == str(error)
    assert "'text-to-smell'" in error.message
    assert all(name in error.message for name in TASKS)
