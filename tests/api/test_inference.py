"""The unchanged client of Hugging Face's inference protocol, each of its tasks against a model of ours."""

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from deployments.encode import encode
from deployments.media import Audio, Image, Video
from tests.api.desk import URL, Desk, desk
from tests.deployments.samples import FILMS, PICTURES, SOUNDS, gradient

PNG, WAV, MP4 = PICTURES["image/png"], SOUNDS["audio/wav"], FILMS["video/mp4"]
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # of the client's own

LABELS = [{"label": "good", "score": 0.9}, {"label": "bad", "score": 0.1}]
BOX = {"xmin": 1, "ymin": 2, "xmax": 3, "ymax": 4}
SOUND = Audio(np.zeros(1600, np.float32), 16_000)

Case = tuple[str, tuple[Any, ...], dict[str, Any], dict[str, Any], dict[str, Any], Any]

CASES: dict[str, Case] = {
    # task: method's arguments, its options, what the model says, what it is asked, what the client gets
    "text-classification": ("text_classification", ("hi",), {"top_k": 2},
        {"data": LABELS}, {"text": "hi", "top_k": "2"}, LABELS),
    "token-classification": ("token_classification", ("Bo in Rome",), {"ignore_labels": ["PER"]},
        {"data": [{"entity": "PER", "word": "Bo", "score": 0.9, "start": 0, "end": 2},
                  {"entity": "LOC", "word": "Rome", "score": 0.8, "start": 6, "end": 10}]},
        {"text": "Bo in Rome"},
        [{"entity_group": "LOC", "word": "Rome", "score": 0.8, "start": 6, "end": 10, "entity": None}]),
    "fill-mask": ("fill_mask", ("a [MASK]",), {"top_k": 1},
        {"data": [{"gap": 1, "word": "cat", "score": 0.7, "text": "a cat", "token": 9}]},
        {"text": "a [MASK]", "top_k": "1"},
        [{"score": 0.7, "sequence": "a cat", "token": 9, "token_str": "cat",
          "fill_mask_output_token_str": None}]),
    "zero-shot-classification": ("zero_shot_classification", ("hi", ["good", "b, a d"]), {},
        {"data": LABELS}, {"text": "hi", "labels": '["good", "b, a d"]'}, LABELS),
    "question-answering": ("question_answering", ("who?", "Bo was."), {},
        {"data": {"answer": "Bo", "score": 0.5, "start": 0, "end": 2}},
        {"question": "who?", "context": "Bo was."},
        {"answer": "Bo", "score": 0.5, "start": 0, "end": 2}),
    "summarization": ("summarization", ("long",), {"generate_parameters": {"max_new_tokens": 5}},
        {"text": "short"}, {"text": "long", "max_new_tokens": "5"}, {"summary_text": "short"}),
    "translation": ("translation", ("hello",), {"src_lang": "en", "tgt_lang": "fr"},
        {"text": "bonjour"}, {"text": "hello", "source_language": "en", "target_language": "fr"},
        {"translation_text": "bonjour"}),
    "text-generation": ("text_generation", ("Once",),
        {"max_new_tokens": 7, "temperature": 0.5, "seed": 3, "stop": ["END"]},
        {"text": "Once upon a time.END and on"},
        {"text": "Once", "max_new_tokens": "7", "temperature": "0.5", "seed": "3"}, " upon a time."),
    "sentence-similarity": ("sentence_similarity", ("a", ["b", "c"]), {},
        {"data": {"scores": [0.25, 0.5]}}, {"text1": "a", "text2": '["b", "c"]'}, [0.25, 0.5]),
    "feature-extraction": ("feature_extraction", ("a",), {"normalize": True},
        {"data": [3.0, 4.0]}, {"text": "a"}, np.array([[0.6, 0.8]], "float32")),
    "table-question-answering": ("table_question_answering", ({"n": ["1", "x,y"]}, "how many?"), {},
        {"data": {"answer": "2", "cells": ["1"], "coordinates": [[0, 0]], "aggregator": "COUNT"}},
        {"table": b'n\r\n1\r\n"x,y"\r\n', "text": "how many?"},
        {"answer": "2", "cells": ["1"], "coordinates": [[0, 0]], "aggregator": "COUNT"}),
    "tabular-classification": ("tabular_classification", ({"a": [1, 2], "b": ["x", None]},), {},
        {"data": [{"row": 1, "label": "big"}, {"row": 2, "label": "small"}]},
        {"table": b"a,b\r\n1,x\r\n2,\r\n"}, ["big", "small"]),
    "image-classification": ("image_classification", (PNG,), {}, {"data": LABELS}, {"image": PNG}, LABELS),
    "zero-shot-image-classification": ("zero_shot_image_classification", (PNG, ["good", "bad"]), {},
        {"data": LABELS}, {"image": PNG, "labels": '["good", "bad"]'}, LABELS),
    "object-detection": ("object_detection", (PNG,), {"threshold": 0.25},
        {"data": [{"label": "cat", "score": 0.9, "box": BOX}], "image": Image(gradient())},
        {"image": PNG, "threshold": "0.25"}, [{"label": "cat", "score": 0.9, "box": BOX}]),
    "image-to-text": ("image_to_text", (PNG,), {}, {"text": "a cat", "data": {"caption": "a cat"}},
        {"image": PNG}, {"generated_text": "a cat", "image_to_text_output_generated_text": None}),
    "visual-question-answering": ("visual_question_answering", (PNG, "what?"), {"top_k": 2},
        {"data": [{"answer": "a cat", "score": 0.9}]}, {"image": PNG, "text": "what?", "top_k": "2"},
        [{"answer": "a cat", "score": 0.9}]),
    "document-question-answering": ("document_question_answering", (PNG, "what?"), {},
        {"data": {"answer": "42", "score": 0.9}}, {"image": PNG, "text": "what?"},
        [{"answer": "42", "score": 0.9, "start": None, "end": None}]),
    "automatic-speech-recognition": ("automatic_speech_recognition", (WAV,),
        {"extra_body": {"return_timestamps": True, "generation_parameters": {"language": "en"}}},
        {"text": "hi", "data": {"text": "hi", "chunks": [{"text": "hi", "start": 0.0, "end": 1.5}]}},
        {"audio": WAV, "language": "en"},
        {"text": "hi", "chunks": [{"text": "hi", "timestamp": [0.0, 1.5]}]}),
    "audio-classification": ("audio_classification", (WAV,), {"top_k": 3}, {"data": LABELS},
        {"audio": WAV, "top_k": "3"}, LABELS),
    "audio-to-audio": ("audio_to_audio", (WAV,), {}, {"audio": SOUND}, {"audio": WAV},
        [{"label": "audio to audio", "content_type": "audio/wav", "blob": encode(SOUND).data}]),
    "text-to-speech": ("text_to_speech", ("hi",), {"extra_body": {"voice": "alto"}}, {"audio": SOUND},
        {"text": "hi", "voice": "alto"}, encode(SOUND).data),
}  # fmt: skip


@pytest.mark.parametrize("task", CASES)
async def test_a_task(task: str, tmp_path: Path) -> None:
    method, args, options, says, asked, told = CASES[task]
    async with desk(tmp_path) as here:
        here.says(**says)
        found = await getattr(here.model(task), method)(*args, **options)
        assert here.asked == [asked]
        assert here.calls[0].call.task == task
        assert (
            _plain(found) == pytest.approx(told) if isinstance(found, np.ndarray) else _plain(found) == told
        )
        assert here.kept() == [], "what a call stored is gone after it"


def _plain(found: Any) -> Any:
    """An answer without the client's own classes."""
    if isinstance(found, list):
        return [_plain(item) for item in found]
    return json.loads(json.dumps(found)) if isinstance(found, dict) and "blob" not in found else found


def _pixels(found: Pillow.Image) -> Any:
    return np.asarray(found.convert("RGB"))


async def test_a_picture_of_a_description(tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        here.says(image=Image(gradient()))
        found = await here.model("text-to-image").text_to_image(
            "a cat", negative_prompt="dogs", num_inference_steps=4, guidance_scale=7.5, width=64, seed=1
        )
        assert (_pixels(found) == gradient()).all()
        assert here.asked == [
            {
                "text": "a cat",
                "negative_prompt": "dogs",
                "steps": "4",
                "guidance": "7.5",
                "width": "64",
                "seed": "1",
            }
        ]
        assert here.kept() == []


async def test_a_picture_changed_and_one_in_motion(tmp_path: Path) -> None:
    film = Video(np.zeros((4, 32, 32, 3), np.uint8), 8.0)
    async with desk(tmp_path) as here:
        here.says(image=Image(gradient()), video=film)
        found = await here.model("image-to-image").image_to_image(PNG, "make it red", strength=0.5)
        assert (_pixels(found) == gradient()).all()
        assert here.asked[-1] == {"image": PNG, "text": "make it red", "strength": "0.5"}
        await here.model("image-to-image").image_to_image(PNG)
        assert here.asked[-1] == {"image": PNG}
        body = {"inputs": base64.b64encode(PNG).decode(), "parameters": {"prompt": "wave", "num_frames": 4}}
        moving = await here.client.post("/pipeline/image-to-video", json=body)  # its client asks no address
        assert (moving.headers["content-type"], moving.content[4:8]) == ("video/mp4", b"ftyp")
        assert here.asked[-1] == {"image": PNG, "text": "wave", "frames": "4"}
        assert here.kept() == []


async def test_parts_have_masks_of_the_pictures_size(tmp_path: Path) -> None:
    runs = {"size": [2, 3], "counts": [1, 2, 3]}  # down the columns: out, in, in, out, out, out
    part = {"label": "sky", "score": None, "area": 0.3, "box": BOX, "mask": runs}
    async with desk(tmp_path) as here:
        here.says(data=[part], image=Image(gradient()))
        (found,) = await here.model("image-segmentation").image_segmentation(PNG, threshold=0.5)
        assert (found.label, found.score) == ("sky", None)
        assert isinstance(found.mask, Pillow.Image)
        assert np.asarray(found.mask).tolist() == [[0, 255, 0], [255, 0, 0]]


async def test_many_texts_become_vectors_in_their_order(tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        here.stage.cluster.script = lambda called: _vector(here, called)
        found = await here.model("feature-extraction").feature_extraction(["a", "bbb", "cc"])
        assert found.tolist() == [[1.0, 0.0], [3.0, 0.0], [2.0, 0.0]]
        assert (await here.model("feature-extraction").feature_extraction("a")).shape == (1, 2)


def _vector(here: Desk, called: Any) -> Any:
    here.says(data=[float(len(called.call.args["text"])), 0.0])
    return here.script(called)


async def test_labels_may_be_asked_one_by_one(tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        here.stage.cluster.script = lambda called: _label(here, called)
        found = await here.model("zero-shot-classification").zero_shot_classification(
            "hi", ["a", "bbb"], multi_label=True, hypothesis_template="This example is {}."
        )
        assert [(entry.label, entry.score) for entry in found] == [("bbb", 0.3), ("a", 0.1)]


def _label(here: Desk, called: Any) -> Any:
    (label,) = json.loads(called.call.args["labels"])
    here.says(data=[{"label": label, "score": len(label) / 10}])
    return here.script(called)


async def test_the_client_leaves_out_what_a_writer_does_not_know(tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        here.says(text="Once more")
        client = here.model("text-generation")
        with pytest.warns(UserWarning, match="Ignoring following parameters: top_k, typical_p"):
            told = await client.text_generation("Once", top_k=3, typical_p=0.5, top_p=0.9, do_sample=False)
        assert told == " more"
        assert here.asked == [{"text": "Once", "top_p": "0.9", "temperature": "0"}]
        whole = await client.text_generation("Once", return_full_text=True)
        assert whole == "Once more"


async def test_a_stream_of_text_is_refused_in_the_clients_own_words(tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        here.says(text="Once more")
        with pytest.raises(ValueError, match="Please pass `stream=False`"):
            await here.model("text-generation").text_generation("Once", stream=True)
        assert here.calls == []


async def test_several_gaps_have_a_list_each(tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        entry = {"word": "x", "score": 0.5, "text": "x x"}
        here.says(data=[{"gap": 1, **entry}, {"gap": 2, **entry}])
        answer = await here.client.post("/pipeline/fill-mask", json={"inputs": "[MASK] [MASK]"})
        assert [[item["token_str"] for item in gap] for gap in answer.json()] == [["x"], ["x"]]


async def test_depth_is_a_picture_in_base64_or_as_it_is(tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        here.says(image=Image(gradient()))
        told = (await here.client.post("/pipeline/depth-estimation", content=PNG)).json()
        picture = Pillow.open(io.BytesIO(base64.b64decode(told["depth"])))
        assert (_pixels(picture) == gradient()).all()
        plain = await here.client.post("/models/test/near", content=PNG, headers={"accept": "image/png"})
        assert plain.headers["content-type"] == "image/png"
        assert here.calls[-1].call.task == "depth-estimation"


async def test_tasks_that_the_protocol_does_not_know(tmp_path: Path) -> None:
    picture = base64.b64encode(PNG).decode()
    async with desk(tmp_path) as here:
        here.says(image=Image(gradient()))
        edges = await here.client.post("/pipeline/canny-control", content=PNG)
        assert edges.headers["content-type"] == "image/png"
        body = {"inputs": {"image": picture, "text": "a cat", "mask": f"data:image/png;base64,{picture}"}}
        assert (await here.client.post("/pipeline/inpainting", json=body)).status_code == 200
        assert here.asked[-1] == {"image": PNG, "text": "a cat", "mask": PNG}
        drawn = {"inputs": picture, "parameters": {"prompt": "a cat"}}
        lacking = await here.client.post("/pipeline/canny-text-to-image", json=drawn)
        assert lacking.status_code == 400
        assert "'text' and 'image'" in lacking.json()["error"]
        here.says(data=LABELS)
        assert (await here.client.post("/pipeline/video-classification", content=MP4)).json() == LABELS


async def test_of_a_language_model_it_is_meant_to_go_on_with_a_text(tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        here.says(text="said")
        for inputs in ("hello", {"text": "hello"}):
            answer = await here.client.post("/models/test/llm", json={"inputs": inputs})
            assert answer.json() == [{"generated_text": "said"}]
            assert here.calls[-1].call.task == "text-generation"
        named = await here.client.post("/models/test/llm/pipeline/conversational", json={"inputs": "hello"})
        assert (named.json(), here.calls[-1].call.task) == ([{"generated_text": "said"}], "conversational")


async def test_a_model_that_looks_is_asked_with_words_or_without(tmp_path: Path) -> None:
    picture = base64.b64encode(PNG).decode()
    async with desk(tmp_path) as here:
        here.says(text="a cat")
        body = {"inputs": {"image": picture, "text": "what is it?"}}
        told = (await here.client.post("/models/test/looks", json=body)).json()
        assert told == [{"input_text": "what is it?", "generated_text": "a cat"}]
        assert here.asked[-1] == {"image": PNG, "text": "what is it?"}
        assert (await here.client.post("/models/test/looks", content=PNG)).json() == [
            {"generated_text": "a cat"}
        ]


async def test_files_of_this_server_are_named_by_path_or_url(tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        here.says(data=LABELS)
        path = (await here.client.post("/v1/files", files={"file": ("a.png", PNG)})).json()["path"]
        for name in (path, path[1:], f"public{path}", f"{URL}{path}"):
            answer = await here.client.post("/pipeline/image-classification", json={"inputs": name})
            assert answer.json() == LABELS
        assert here.asked == [{"image": PNG}] * 4
        assert len(here.kept()) == 1, "an upload stays"


async def test_words_that_look_like_a_reference_are_words(tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        here.says(text="said")
        words = "what is <GENERATED>-0, or <node-1>?"
        told = await here.client.post("/pipeline/summarization", json={"inputs": words})
        assert told.json() == [{"summary_text": "said"}]
        assert here.asked == [{"text": words.encode()}]
        assert here.kept() == []
