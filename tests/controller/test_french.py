"""French: requests become the same plans as in English, and answers are in French."""

from typing import Any

import pytest

from controller.outcome import Failure, Outcome, Status
from controller.planner import Reply
from controller.request import Message
from controller.rules.language import language_of
from model_catalog.tasks import Modality
from tests.support.answers import answer_to, done, said, stored
from tests.support.plans import Step, ask, attached, steps_of

SAY_0: Step = ("text-to-speech", {"text": "<GENERATED>-0"})
SAY_1: Step = ("text-to-speech", {"text": "<GENERATED>-1"})


def _into(language: str, text: str) -> Step:
    return ("translation", {"text": text, "target_language": language})


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("Décris chat.png", [("image-to-text", {"image": "chat.png"})]),
        ("Que montre cette image : chat.png ?", [("image-to-text", {"image": "chat.png"})]),
        (
            "Qu’est-ce qu’il y a sur a.png et b.png ?",
            [("image-to-text", {"image": "a.png"}), ("image-to-text", {"image": "b.png"})],
        ),
        (
            "Lis à voix haute le texte de /examples/sign.png",
            [("image-to-text:ocr", {"image": "/examples/sign.png"}), SAY_0],
        ),
        (
            "Pourriez-vous lire ce qui est écrit sur a.jpg et le traduire en allemand, s'il vous plaît ?",
            [("image-to-text:ocr", {"image": "a.jpg"}), _into("German", "<GENERATED>-0")],
        ),
        (
            "decris l'image a.jpg et lis la description a voix haute",
            [("image-to-text", {"image": "a.jpg"}), SAY_0],
        ),
        (
            "S'il te plaît, décris photo.jpg puis traduis la description en anglais et lis-la à voix haute",
            [("image-to-text", {"image": "photo.jpg"}), _into("English", "<GENERATED>-0"), SAY_1],
        ),
        ("Traduis « Bonjour tout le monde » en anglais", [_into("English", "Bonjour tout le monde")]),
        (
            "Traduis de l'anglais vers le français : the cat is on the table",
            [_into("French", "the cat is on the table")],
        ),
        ("Dis « bonjour » en espagnol", [_into("Spanish", "bonjour"), SAY_0]),
        (
            "Résume ce texte : Le chat est sur le tapis. Il dort toute la journée.",
            [("summarization", {"text": "Le chat est sur le tapis. Il dort toute la journée."})],
        ),
        (
            "Lis ce texte : il fait beau aujourd'hui",
            [("text-to-speech", {"text": "il fait beau aujourd'hui"})],
        ),
        (
            "Transcris reunion.mp3, ensuite résume la transcription",
            [
                ("automatic-speech-recognition", {"audio": "reunion.mp3"}),
                ("summarization", {"text": "<GENERATED>-0"}),
            ],
        ),
        (
            "Après avoir transcrit appel.wav, résume-le",
            [
                ("automatic-speech-recognition", {"audio": "appel.wav"}),
                ("summarization", {"text": "<GENERATED>-0"}),
            ],
        ),
        (
            "Enlève le bruit de appel.wav, puis transcris-le",
            [
                ("audio-to-audio", {"audio": "appel.wav"}),
                ("automatic-speech-recognition", {"audio": "<GENERATED>-0"}),
            ],
        ),
        (
            "Dessine un château sous la neige, puis décris-le",
            [
                ("text-to-image", {"text": "un château sous la neige"}),
                ("image-to-text", {"image": "<GENERATED>-0"}),
            ],
        ),
        (
            "Trouve les contours de maison.png, ensuite dessine un château en suivant ces contours",
            [
                ("canny-control", {"image": "maison.png"}),
                ("canny-text-to-image", {"text": "un château", "image": "<GENERATED>-0"}),
            ],
        ),
        (
            "Trouve les objets dans a.jpg et b.jpg",
            [("object-detection", {"image": "a.jpg"}), ("object-detection", {"image": "b.jpg"})],
        ),
        ("Donne-moi la carte de profondeur de salon.png", [("depth-estimation", {"image": "salon.png"})]),
        (
            "Mets photo.jpg en noir et blanc",
            [("image-to-image", {"image": "photo.jpg", "text": "Mets l'image en noir et blanc"})],
        ),
        (
            "Combien de lions y a-t-il sur lions.jpg ?",
            [
                (
                    "visual-question-answering",
                    {"image": "lions.jpg", "text": "Combien de lions y a-t-il sur l'image ?"},
                )
            ],
        ),
        (
            "De quelle couleur est la voiture sur rue.jpg ?",
            [
                (
                    "visual-question-answering",
                    {"image": "rue.jpg", "text": "De quelle couleur est la voiture sur l'image ?"},
                )
            ],
        ),
        (
            "La voiture sur rue.jpg est-elle rouge ?",
            [
                (
                    "visual-question-answering",
                    {"image": "rue.jpg", "text": "La voiture sur l'image est-elle rouge ?"},
                )
            ],
        ),
        (
            "Quel est le montant total de la facture facture.png ?",
            [
                (
                    "document-question-answering",
                    {"image": "facture.png", "text": "Quel est le montant total de la facture ?"},
                )
            ],
        ),
        (
            "Réponds à la question « Qui dort ? » d'après ce texte : Le chat dort.",
            [("question-answering", {"question": "Qui dort ?", "context": "Le chat dort."})],
        ),
        (
            "Est-ce que cet avis est positif : « Quel film magnifique » ?",
            [("text-classification", {"text": "Quel film magnifique"})],
        ),
        (
            "Classe ce message comme urgent, normal ou spam : « Gagnez un vélo ! »",
            [("zero-shot-classification", {"text": "Gagnez un vélo !", "labels": "urgent, normal, spam"})],
        ),
        (
            "Ces deux phrases sont-elles similaires : « il pleut » et « la pluie tombe » ?",
            [("sentence-similarity", {"text1": "il pleut", "text2": "la pluie tombe"})],
        ),
        (
            "Écris un poème sur l'automne et lis-le-moi",
            [("text-generation", {"text": "Écris un poème sur l'automne"}), SAY_0],
        ),
        (
            "Corrige les fautes : je suis aller au marché",
            [("text2text-generation", {"text": "je suis aller au marché"})],
        ),
        (
            "N'écris pas de poème, décris seulement a.png",
            [("image-to-text", {"image": "a.png"})],
        ),
        (
            "Fais une vidéo d'un chien qui court sur la plage",
            [("text-to-video", {"text": "un chien qui court sur la plage"})],
        ),
    ],
)
def test_plans(text: str, steps: list[Step]) -> None:
    assert steps_of(text) == steps


def test_pictures_that_come_along_are_meant() -> None:
    both = (attached(Modality.IMAGE, "/images/1.png"), attached(Modality.IMAGE, "/images/2.png"))
    captions = [("image-to-text", {"image": f"/images/{number}.png"}) for number in (1, 2)]
    assert steps_of("Décris cette image", both[0]) == captions[:1]
    assert steps_of("Décris ces images", *both) == captions
    assert steps_of("Lis le texte à voix haute", both[0])[0] == (
        "image-to-text:ocr",
        {"image": "/images/1.png"},
    )


def test_an_earlier_turn_is_followed_up() -> None:
    context = (
        Message(role="user", content="Dessine un chat"),
        Message(role="assistant", content="Voici l'image demandée : /images/cat.png"),
    )
    assert steps_of("Maintenant décris-la", context=context) == [
        ("image-to-text", {"image": "/images/cat.png"})
    ]


@pytest.mark.parametrize("text", ["Bonjour !", "Merci beaucoup", "Que sais-tu faire ?", "Commande une pizza"])
def test_talk_and_what_cannot_be_done_are_answered_in_french(text: str) -> None:
    (reply,) = ask(text)
    assert isinstance(reply, Reply)
    assert "Dites-moi quoi faire" in reply.text


def test_a_missing_file_is_asked_for_in_french() -> None:
    (reply,) = ask("Décris l'image, s'il te plaît")
    assert isinstance(reply, Reply)
    assert reply.text.startswith("Pour cela, il me faudrait l'image.")


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Décris cette image", "French"),
        ("Describe this image", "English"),
        ("Bonjour", "French"),
        ("", "English"),
        ("photo.png ?", "English"),
        ("image", "English"),
        ("Translate 'le chat est sur la table avec les autres' into German", "English"),
        ("Traduis « the cat is on the table with the others » en allemand", "French"),
        ("Describe /le/chat/est/dans/la/maison.png", "English"),
        ("Describe https://fr.example.org/le/chat/est/dans/la/maison", "English"),
        ("Translate into German: le chat est sur la table dans la maison", "English"),
        ("Traduis en allemand : the cat is on the table in the house", "French"),
        ("Summarize\n\nLe chat est sur la table dans la maison de la dame", "English"),
        ("photo.png :\nle chat est sur la table", "French"),
        ("RÉSUME LE TEXTE S’IL TE PLAÎT", "French"),
    ],
)
def test_which_language_a_request_is_in(text: str, language: str) -> None:
    assert language_of(text).language == language


def test_earlier_turns_decide_where_a_request_does_not() -> None:
    french = [
        Message(role="user", content="Describe this picture, please"),
        Message(role="assistant", content="Here it is, as you can see"),
        Message(role="user", content="Décris cette image"),
        Message(role="assistant", content="The picture is of the sea"),
        Message(role="user", content="b.png ?"),
    ]
    assert language_of("c.png ?", french).language == "French"
    assert language_of("c.png ?", french[:2]).language == "English"
    assert language_of("what is in this one?", french).language == "English"
    assert (
        language_of("c.png ?", [Message(role="system", content="Tu es un assistant")]).language == "English"
    )


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
        "J'ai laissé de côté la tâche « summarization » : « it needs a text ».",
    ]
