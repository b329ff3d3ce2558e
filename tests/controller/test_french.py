"""French: requests become the same plans as in English."""

import pytest

from controller.planner import Reply
from controller.request import Message
from controller.rules.language import language_of
from model_catalog.tasks import Modality
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
            "Regarde chien.png et dis-moi la race du chien",
            [("visual-question-answering", {"image": "chien.png", "text": "La race du chien ?"})],
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
        (
            "Quelqu'un parle dans memo.mp3, que dit-il ?",
            [("automatic-speech-recognition", {"audio": "memo.mp3"})],
        ),
        (
            "Raconte une histoire à partir de l'image foret.jpg et lis-la à voix haute",
            [
                ("image-to-text", {"image": "foret.jpg"}),
                ("text-generation", {"text": "<GENERATED>-0"}),
                SAY_1,
            ],
        ),
        (
            "Prends la pose de danse.jpg et dessine un robot dans la même pose",
            [
                ("openpose-control", {"image": "danse.jpg"}),
                ("openpose-text-to-image", {"text": "un robot dans la même pose", "image": "<GENERATED>-0"}),
            ],
        ),
        ("Crée une musique calme pour dormir", [("text-to-audio", {"text": "musique calme pour dormir"})]),
        (
            "Traduis bonjour en anglais et en espagnol",
            [_into("English", "bonjour"), _into("Spanish", "bonjour")],
        ),
        (
            "Génère une image d'un chat et une autre d'un chien",
            [("text-to-image", {"text": "un chat"}), ("text-to-image", {"text": "un chien"})],
        ),
        (
            "Est-ce qu'il y a un chien sur parc.jpg ?",
            [
                (
                    "visual-question-answering",
                    {"image": "parc.jpg", "text": "Est-ce qu'il y a un chien sur l'image ?"},
                )
            ],
        ),
        (
            "bonjour pourriez vous svp me decrire l'image vacances.jpg merci",
            [("image-to-text", {"image": "vacances.jpg"})],
        ),
    ],
)
def test_plans(text: str, steps: list[Step]) -> None:
    assert steps_of(text) == steps
    assert not any(isinstance(step, Reply) for step in ask(text))


def test_pictures_that_come_along_are_meant() -> None:
    both = (attached(Modality.IMAGE, "/images/1.png"), attached(Modality.IMAGE, "/images/2.png"))
    captions = [("image-to-text", {"image": f"/images/{number}.png"}) for number in (1, 2)]
    assert steps_of("Décris cette image", both[0]) == captions[:1]
    assert steps_of("Décris ces images", *both) == captions
    assert steps_of("Lis le texte à voix haute", both[0])[0] == (
        "image-to-text:ocr",
        {"image": "/images/1.png"},
    )


@pytest.mark.parametrize(
    ("text", "step"),
    [
        ("Et b.png ?", ("image-to-text", {"image": "b.png"})),
        ("Fais pareil pour b.png", ("image-to-text", {"image": "b.png"})),
        ("Traduis-le en anglais", _into("English", "un bateau")),
        ("Lis-le à voix haute", ("text-to-speech", {"text": "un bateau"})),
        ("Dessine-la en aquarelle", ("text-to-image", {"text": "un bateau en aquarelle"})),
        (
            "Combien de bateaux y a-t-il ?",
            ("visual-question-answering", {"image": "a.png", "text": "Combien de bateaux y a-t-il ?"}),
        ),
    ],
)
def test_an_earlier_turn_is_followed_up(text: str, step: Step) -> None:
    context = (
        Message(role="user", content="Décris a.png"),
        Message(role="assistant", content="L'image montre : « un bateau »."),
    )
    assert steps_of(text, context=context) == [step]


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
        ("Draw le Tour de France", "English"),
        ("Dessine the Rolling Stones", "French"),
        ("Bonjour, can you describe this picture?", "English"),
        ("Hello, peux-tu décrire cette image ?", "French"),
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
