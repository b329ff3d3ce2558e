"""Answers in French, beside the same ones in English."""

from typing import Any

import pytest

from controller.outcome import Failure, Outcome, Status
from model_catalog.tasks import Modality
from tests.support.answers import answer_to, done, said, stored

BOXES = [{"label": "lion", "score": score, "box": {}} for score in (0.98, 0.951, 0.9)]
PICTURE = stored(Modality.IMAGE, 7)


def _answer(text: str, raws: list[dict[str, Any]], *outcomes: Outcome) -> list[str]:
    return answer_to(raws, *outcomes, request=said(text)).replace("\u00a0", " ").split("\n\n")


@pytest.mark.parametrize(
    ("text", "told", "models"),
    [
        (
            "How many lions are in lions.jpg?",
            f"I found 3 lions (98 %, 95 % and 90 %). Here is the marked picture: {PICTURE.path}",
            "Models used: embedded/object-detection for object detection.",
        ),
        (
            "Combien de lions y a-t-il sur lions.jpg ?",
            f"J'ai trouvé 3 lions (98 %, 95 % et 90 %). Voici l'image annotée : {PICTURE.path}",
            "Modèles utilisés : embedded/object-detection (détection d'objets).",
        ),
    ],
)
def test_three_boxes_are_told_with_their_probabilities(text: str, told: str, models: str) -> None:
    raws = [{"task": "object-detection", "id": 0, "args": {"image": "lions.jpg"}}]
    found = done(0, "object-detection", "3 lions", data=BOXES, artifacts=(PICTURE,))
    assert _answer(text, raws, found) == [told, models]


def test_things_of_several_kinds_are_counted_in_french() -> None:
    raws = [{"task": "object-detection", "id": 0, "args": {"image": "rue.jpg"}}]
    data = [{"label": "person", "score": 0.8}, {"label": "traffic light", "score": 0.7}] * 2
    data.append({"label": "zamboni", "score": 0.5})
    told = _answer("Trouve les objets sur rue.jpg", raws, done(0, "object-detection", "x", data=data))
    assert told[0] == (
        "J'ai trouvé 5 objets : 2 personnes (80 % et 80 %), 2 feux tricolores (70 % et 70 %) "
        "et 1 « zamboni » (50 %)."
    )


@pytest.mark.parametrize(
    ("raw", "outcome", "told"),
    [
        (
            {"task": "image-to-text", "args": {"image": "a.png"}, "want": "ocr"},
            {"text": "OPEN"},
            "Le texte de l'image dit : « OPEN ».",
        ),
        (
            {"task": "translation", "args": {"text": "hi", "target_language": "French"}},
            {"text": "salut"},
            "En français : « salut ».",
        ),
        (
            {"task": "text-classification", "args": {"text": "bien"}},
            {"data": [{"label": "positive", "score": 0.92}, {"label": "neutral", "score": 0.08}]},
            "Le texte est classé ainsi : positif (92 %), puis neutre (8 %).",
        ),
        (
            {"task": "image-classification", "args": {"image": "a.png"}},
            {"data": [{"label": "cat", "score": 0.92}]},
            "L'image est classée ainsi : chat (92 %).",
        ),
        (
            {"task": "image-segmentation", "args": {"image": "a.png"}},
            {"data": [{"label": "sky"}, {"label": "car"}, {"label": "car"}]},
            "J'ai trouvé 3 parties : 2 voitures et ciel.",
        ),
        (
            {"task": "object-detection", "args": {"image": "a.png"}},
            {"data": []},
            "Je n'ai trouvé aucun objet.",
        ),
        (
            {"task": "sentence-similarity", "args": {"text1": "a", "text2": "b"}},
            {"data": {"score": 0.731}},
            "Les deux textes se ressemblent à 0,73, où 1 veut dire identiques et 0 sans rien de commun.",
        ),
        (
            {"task": "visual-question-answering", "args": {"image": "a.png", "text": "Où ?"}},
            {"text": "ici"},
            "La réponse à « Où ? » est : « ici ».",
        ),
        (
            {"task": "summarization", "args": {"text": "x"}},
            {},
            "Le résultat de la tâche « résumé » est vide.",
        ),
    ],
)
def test_results_are_told_in_french(raw: dict[str, Any], outcome: dict[str, Any], told: str) -> None:
    answer = _answer("Fais-le, s'il te plaît", [raw | {"id": 0}], done(0, raw["task"], **outcome))
    assert answer[0] == told


def test_labels_of_the_request_stay_as_they_are() -> None:
    raws = [{"task": "zero-shot-object-detection", "id": 0, "args": {"image": "a.png", "labels": "oiseau"}}]
    found = done(0, "zero-shot-object-detection", "x", data=[{"label": "oiseau", "score": 0.5}] * 2)
    assert _answer("Trouve les oiseaux", raws, found)[0] == "J'ai trouvé 2 oiseaux (50 % et 50 %)."


def test_failures_are_told_in_french_and_their_causes_as_they_came() -> None:
    raws = [
        {"task": "text-to-image", "id": 0, "args": {"text": "un chat"}},
        {"task": "image-to-text", "id": 1, "args": {"image": "<GENERATED>-0"}},
        {"task": "text-to-speech", "id": 2, "args": {"text": "salut"}},
        {"task": "summarization", "id": 3, "args": {}},
    ]
    broke = Failure(code="x", message="No model can draw here; install one.")
    waits = Failure(code="y", message="It waits for task 0, which failed.")
    told = _answer(
        "Dessine un chat",
        raws,
        Outcome(id=0, task="text-to-image", status=Status.FAILED, error=broke),
        Outcome(id=1, task="image-to-text", status=Status.SKIPPED, error=waits),
    )
    assert told == [
        "Je suis désolé : rien de tout cela n'a pu être fait.",
        "La tâche « dessin d'une image » a échoué : « No model can draw here; install one. »",
        "La tâche « lecture d'une image » n'a pas été lancée : « It waits for task 0, which failed. »",
        "La tâche « lecture à voix haute » n'a pas été lancée ; demandez-la encore une fois.",
        "J'ai laissé de côté la tâche « résumé » : « it needs a text ».",
    ]
