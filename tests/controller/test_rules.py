"""The embedded planner: requests in plain words, and the very plans they must give."""

import pytest

from tests.support.plans import CAPTION_A, NOISY, OCR_SIGN, REVIEW, SAY_0, Step, steps_of


@pytest.mark.parametrize(
    ("request_text", "steps"),
    [
        ("Read the text in /examples/sign.png aloud", [OCR_SIGN, SAY_0]),
        ("hello, please read /examples/sign.png aloud, thanks", [OCR_SIGN, SAY_0]),
        (
            "Show me the edges of /examples/sign.png and tell me what it says",
            [("canny-control", {"image": "/examples/sign.png"}), OCR_SIGN],
        ),
        ("What does /examples/sign.png say?", [OCR_SIGN]),
        ("What is written on the sign in /examples/sign.png?", [OCR_SIGN]),
        (
            "summarize the text in /examples/sign.png",
            [OCR_SIGN, ("summarization", {"text": "<GENERATED>-0"})],
        ),
        (
            "Translate the text in /examples/sign.png into Spanish and read it out loud",
            [
                OCR_SIGN,
                ("translation", {"text": "<GENERATED>-0", "target_language": "Spanish"}),
                ("text-to-speech", {"text": "<GENERATED>-1"}),
            ],
        ),
        (
            "What is written in /examples/sign.png? Translate it into German.",
            [OCR_SIGN, ("translation", {"text": "<GENERATED>-0", "target_language": "German"})],
        ),
    ],
)
def test_reading_what_pictures_say(request_text: str, steps: list[Step]) -> None:
    assert steps_of(request_text) == steps


@pytest.mark.parametrize(
    ("request_text", "steps"),
    [
        ("What is in /examples/a.jpg?", [CAPTION_A]),
        ("What's in this picture: /examples/a.jpg?", [CAPTION_A]),
        ("Tell me about /examples/a.jpg", [CAPTION_A]),
        ("What do you see in /examples/a.jpg and say it aloud", [CAPTION_A, SAY_0]),
        (
            "Describe /examples/a.jpg in French",
            [CAPTION_A, ("translation", {"text": "<GENERATED>-0", "target_language": "French"})],
        ),
        ("classify /examples/a.jpg", [("image-classification", {"image": "/examples/a.jpg"})]),
        ("Detect the objects in /examples/a.jpg", [("object-detection", {"image": "/examples/a.jpg"})]),
        ("segment /examples/a.jpg", [("image-segmentation", {"image": "/examples/a.jpg"})]),
        ("Estimate the depth of /examples/a.jpg", [("depth-estimation", {"image": "/examples/a.jpg"})]),
        ("Find the pose in /examples/a.jpg", [("openpose-control", {"image": "/examples/a.jpg"})]),
        ("Show the straight lines in /examples/a.jpg", [("mlsd-control", {"image": "/examples/a.jpg"})]),
        ("Show the soft edges of /examples/a.jpg", [("hed-control", {"image": "/examples/a.jpg"})]),
        ("Make a normal map of /examples/a.jpg", [("normal-control", {"image": "/examples/a.jpg"})]),
        ("Animate /examples/a.jpg", [("image-to-video", {"image": "/examples/a.jpg"})]),
        (
            "Classify /examples/a.jpg as cat, dog or bird",
            [("zero-shot-image-classification", {"image": "/examples/a.jpg", "labels": "cat, dog, bird"})],
        ),
        (
            "classify and describe /examples/a.jpg",
            [("image-classification", {"image": "/examples/a.jpg"}), CAPTION_A],
        ),
        (
            "Make a depth map of /examples/a.jpg and describe it",
            [("depth-estimation", {"image": "/examples/a.jpg"}), CAPTION_A],
        ),
        (
            "Estimate the depth of /examples/a.jpg and describe the depth map",
            [
                ("depth-estimation", {"image": "/examples/a.jpg"}),
                ("image-to-text", {"image": "<GENERATED>-0"}),
            ],
        ),
    ],
)
def test_looking_at_pictures(request_text: str, steps: list[Step]) -> None:
    assert steps_of(request_text) == steps


@pytest.mark.parametrize(
    ("request_text", "steps"),
    [
        (
            "How many people are in /examples/a.jpg?",
            [
                (
                    "visual-question-answering",
                    {"image": "/examples/a.jpg", "text": "How many people are in the picture?"},
                )
            ],
        ),
        (
            "Is there a dog in /examples/a.jpg?",
            [
                (
                    "visual-question-answering",
                    {"image": "/examples/a.jpg", "text": "Is there a dog in the picture?"},
                )
            ],
        ),
        (
            "how many people are there in /examples/a.jpg and read the answer aloud",
            [
                (
                    "visual-question-answering",
                    {"image": "/examples/a.jpg", "text": "How many people are there in the picture?"},
                ),
                SAY_0,
            ],
        ),
        (
            "Look at /examples/a.jpg. What is the man doing? How many dogs are there?",
            [
                ("visual-question-answering", {"image": "/examples/a.jpg", "text": "What is the man doing?"}),
                (
                    "visual-question-answering",
                    {"image": "/examples/a.jpg", "text": "How many dogs are there?"},
                ),
            ],
        ),
        (
            "Please answer the question 'What colour is the car?' based on the image 'car.png'.",
            [("visual-question-answering", {"image": "car.png", "text": "What colour is the car?"})],
        ),
        (
            "What is the total on the invoice /images/i.png?",
            [
                (
                    "document-question-answering",
                    {"image": "/images/i.png", "text": "What is the total on the invoice?"},
                )
            ],
        ),
        (
            "I have a document image (scan.png) and want to find the answer to the question 'Who signed it?'",
            [("document-question-answering", {"image": "scan.png", "text": "Who signed it?"})],
        ),
        (
            "Which city has the highest sales in sales.csv?",
            [
                (
                    "table-question-answering",
                    {"table": "sales.csv", "text": "Which city has the highest sales in the table?"},
                )
            ],
        ),
        (
            "Answer the question 'Who wrote it?' using the text 'Hamlet was written by Shakespeare.'",
            [
                (
                    "question-answering",
                    {"question": "Who wrote it?", "context": "Hamlet was written by Shakespeare."},
                )
            ],
        ),
        (
            "I have a recording, talk.wav. What is the talk about?",
            [
                ("automatic-speech-recognition", {"audio": "talk.wav"}),
                ("question-answering", {"question": "What is the talk about?", "context": "<GENERATED>-0"}),
            ],
        ),
    ],
)
def test_questions(request_text: str, steps: list[Step]) -> None:
    assert steps_of(request_text) == steps


@pytest.mark.parametrize(
    ("request_text", "steps"),
    [
        (
            f"Is this review positive: '{REVIEW}'? And read it aloud",
            [("text-classification", {"text": REVIEW}), ("text-to-speech", {"text": REVIEW})],
        ),
        ("What's the sentiment of 'I hate this'?", [("text-classification", {"text": "I hate this"})]),
        (
            "Classify 'The team won the cup' as sport, politics or art",
            [
                (
                    "zero-shot-classification",
                    {"text": "The team won the cup", "labels": "sport, politics, art"},
                )
            ],
        ),
        (
            "How similar are 'I like cats' and 'I love dogs'?",
            [("sentence-similarity", {"text1": "I like cats", "text2": "I love dogs"})],
        ),
        (
            "Compare 'a b c' with 'a b d' and tell me how similar they are",
            [("sentence-similarity", {"text1": "a b c", "text2": "a b d"})],
        ),
        (
            "Translate 'good morning' to French, then read it aloud",
            [("translation", {"text": "good morning", "target_language": "French"}), SAY_0],
        ),
        (
            "Translate good morning to French and read it aloud",
            [("translation", {"text": "good morning", "target_language": "French"}), SAY_0],
        ),
        (
            "Say 'hello' in French",
            [("translation", {"text": "hello", "target_language": "French"}), SAY_0],
        ),
        (
            "Translate 'hi' from English to German and Spanish",
            [
                ("translation", {"text": "hi", "target_language": "German"}),
                ("translation", {"text": "hi", "target_language": "Spanish"}),
            ],
        ),
        ("Summarize this: 'The cat sat. It slept.'", [("summarization", {"text": "The cat sat. It slept."})]),
        (
            "Summarize this article: The cat sat on the mat. Then it went home.",
            [("summarization", {"text": "The cat sat on the mat. Then it went home."})],
        ),
        (
            "Summarize the following text:\n\nThe cat sat.\n\nIt slept.",
            [("summarization", {"text": "The cat sat.\n\nIt slept."})],
        ),
        (
            "Summarize the text below\n\nThe cat sat.\nIt slept.",
            [("summarization", {"text": "The cat sat.\nIt slept."})],
        ),
        (
            "Translate this to German: Good night. Then read it aloud.",
            [("translation", {"text": "Good night.", "target_language": "German"}), SAY_0],
        ),
        ("Say hello world", [("text-to-speech", {"text": "hello world"})]),
        ("Convert 'Hello there' to speech", [("text-to-speech", {"text": "Hello there"})]),
        ("Text to speech: Hello there my friend", [("text-to-speech", {"text": "Hello there my friend"})]),
        (
            "find the named entities in 'John lives in Paris'",
            [("token-classification", {"text": "John lives in Paris"})],
        ),
        (
            "Fill in the blank: Paris is the [MASK] of France.",
            [("fill-mask", {"text": "Paris is the [MASK] of France."})],
        ),
        ("Embed the sentence 'hello world'", [("feature-extraction", {"text": "hello world"})]),
        ("Rewrite 'he go to school'", [("text2text-generation", {"text": "he go to school"})]),
        (
            "Don't translate it, just summarize 'so long a text'",
            [("summarization", {"text": "so long a text"})],
        ),
        (
            "Write a poem about autumn and read it aloud",
            [("text-generation", {"text": "Write a poem about autumn"}), SAY_0],
        ),
    ],
)
def test_working_with_texts(request_text: str, steps: list[Step]) -> None:
    assert steps_of(request_text) == steps


@pytest.mark.parametrize(
    ("request_text", "steps"),
    [
        (f"Clean the noise from {NOISY}", [("audio-to-audio", {"audio": NOISY})]),
        ("remove the background noise of /audios/x.wav", [("audio-to-audio", {"audio": "/audios/x.wav"})]),
        ("denoise /audios/x.wav", [("audio-to-audio", {"audio": "/audios/x.wav"})]),
        ("Transcribe /audios/x.wav", [("automatic-speech-recognition", {"audio": "/audios/x.wav"})]),
        ("What is said in /audios/x.wav?", [("automatic-speech-recognition", {"audio": "/audios/x.wav"})]),
        ("Transcribe /videos/x.mp4", [("automatic-speech-recognition", {"audio": "/videos/x.mp4"})]),
        ("What kind of sound is in /audios/x.wav?", [("audio-classification", {"audio": "/audios/x.wav"})]),
        (
            "Summarize /audios/x.wav",
            [
                ("automatic-speech-recognition", {"audio": "/audios/x.wav"}),
                ("summarization", {"text": "<GENERATED>-0"}),
            ],
        ),
        (
            "Clean the noise from x.wav, transcribe it, and translate the transcript to German",
            [
                ("audio-to-audio", {"audio": "x.wav"}),
                ("automatic-speech-recognition", {"audio": "<GENERATED>-0"}),
                ("translation", {"text": "<GENERATED>-1", "target_language": "German"}),
            ],
        ),
    ],
)
def test_working_with_recordings(request_text: str, steps: list[Step]) -> None:
    assert steps_of(request_text) == steps


@pytest.mark.parametrize(
    ("request_text", "steps"),
    [
        ("draw a cat", [("text-to-image", {"text": "a cat"})]),
        (
            "I'd like a picture of a red fox in the snow.",
            [("text-to-image", {"text": "a red fox in the snow"})],
        ),
        (
            "Create a black and white picture of a dog",
            [("text-to-image", {"text": "a black and white picture of a dog"})],
        ),
        ("make a video of a dog on the beach", [("text-to-video", {"text": "a dog on the beach"})]),
        (
            "describe /examples/a.jpg then draw what you described",
            [CAPTION_A, ("text-to-image", {"text": "<GENERATED>-0"})],
        ),
        (
            "Describe /examples/a.jpg and then draw it as a watercolor painting",
            [CAPTION_A, ("text-to-image", {"text": "<GENERATED>-0 as a watercolor painting"})],
        ),
        (
            "Draw the Eiffel Tower, then find the edges of it and describe the picture",
            [
                ("text-to-image", {"text": "the Eiffel Tower"}),
                ("canny-control", {"image": "<GENERATED>-0"}),
                ("image-to-text", {"image": "<GENERATED>-0"}),
            ],
        ),
        (
            "Draw something like what is said in x.wav",
            [
                ("automatic-speech-recognition", {"audio": "x.wav"}),
                ("text-to-image", {"text": "something like"}),
            ],
        ),
        (
            "Make the sky in /examples/a.jpg purple",
            [("image-to-image", {"image": "/examples/a.jpg", "text": "Make the sky in the picture purple"})],
        ),
        ("Upscale /examples/a.jpg", [("image-to-image", {"image": "/examples/a.jpg"})]),
    ],
)
def test_making_pictures(request_text: str, steps: list[Step]) -> None:
    assert steps_of(request_text) == steps
