"""The cards that ship, and the script that makes them."""

import json
import re
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from model_catalog.card import ModelCard
from model_catalog.catalog import Catalog
from model_catalog.tasks import TASKS
from scripts.make_snapshot import NOTES, Note, main, make_cards, read_notes, read_rows, short_source, to_json

DATA = files("model_catalog.data")
SNAPSHOT = DATA.joinpath("snapshot.jsonl").read_text(encoding="utf-8").splitlines()
EMBEDDED = DATA.joinpath("embedded.jsonl").read_text(encoding="utf-8").splitlines()
HUB_CARDS = [ModelCard.model_validate_json(line) for line in SNAPSHOT]
EMBEDDED_CARDS = [ModelCard.model_validate_json(line) for line in EMBEDDED]
CARDS = HUB_CARDS + EMBEDDED_CARDS


def test_no_model_has_two_cards() -> None:
    assert len({card.id.casefold() for card in CARDS}) == len(CARDS) == len(Catalog.shipped())


def test_the_snapshot_is_compact_and_sorted() -> None:
    assert [to_json(card) for card in HUB_CARDS] == SNAPSHOT
    assert sorted(HUB_CARDS, key=lambda card: card.id.casefold()) == HUB_CARDS


def test_descriptions_are_one_short_sentence() -> None:
    assert [card.id for card in CARDS if not re.fullmatch(r"[A-Z].{10,150}\.", card.description)] == []


def test_tasks_are_named_once_in_the_registrys_order() -> None:
    for card in CARDS:
        assert list(card.tasks) == [name for name in TASKS if name in card.tasks], card.id


def test_readers_and_captioners_are_told_apart() -> None:
    for card in CARDS:
        expected = TASKS["image-to-text"].wants if "image-to-text" in card.tasks else (None,)
        assert card.yields in expected, card.id


def test_figures_are_dated_and_sourced() -> None:
    for card in HUB_CARDS:
        if card.downloads is not None:
            assert card.downloads.value > 0, card.id
            assert card.downloads.date.startswith("2026"), card.id
            assert card.downloads.source, card.id
            months = [figure.date[:7] for figure in (*card.history, card.downloads)]
            assert all(figure.value > 0 for figure in card.history), card.id
            assert len(set(months)) == len(months), card.id
            assert months[:-1] == sorted(months[:-1]), card.id
        if card.likes is not None:
            assert card.likes.date >= "2024-05", card.id
            assert card.likes.source, card.id


def test_hub_models_leave_the_runner_to_their_library() -> None:
    assert [card.id for card in HUB_CARDS if card.embedded or card.runner] == []


def test_a_controlnet_names_its_base_model() -> None:
    for card in HUB_CARDS:
        if card.library == "diffusers" and card.tasks[0].endswith("-text-to-image"):
            assert set(card.parts) == {"base"}, card.id


def test_few_steps_where_a_model_was_made_for_few() -> None:
    turbo = Catalog.shipped().get("stabilityai/sd-turbo")
    assert turbo.defaults == {"steps": "1", "guidance": "0"}
    assert Catalog.shipped().get("stabilityai/stable-diffusion-xl-base-1.0").defaults == {}


def test_embedded_experts_run_anywhere() -> None:
    for card in EMBEDDED_CARDS:
        assert card.embedded, card.id
        assert card.runner, card.id
        assert card.requires, card.id
        assert card.license, card.id
        assert (card.gpu, card.cpus, card.downloads) == (0, 0, None), card.id
        assert card.batch_size == (16 if card.runner in {"vader", "tfidf"} else 1), card.id


def test_the_embedded_experts() -> None:
    assert {card.id.removeprefix("embedded/"): card.tasks for card in EMBEDDED_CARDS} == {
        "rapidocr": ("image-to-text",),
        "espeak-ng": ("text-to-speech",),
        "canny": ("canny-control",),
        "noisereduce": ("audio-to-audio",),
        "vader": ("text-classification",),
        "textrank": ("summarization",),
        "tfidf": ("sentence-similarity",),
    }


@pytest.mark.parametrize("task", TASKS)
def test_embedded_experts_come_last(task: str) -> None:
    embedded = [card.embedded for card in Catalog.shipped().cards_for(task)]
    assert embedded == sorted(embedded)


def test_tasks_with_fewer_than_three_models() -> None:
    catalog = Catalog.shipped()
    counts = {task: len(catalog.cards_for(task)) for task in TASKS}
    assert {task: count for task, count in counts.items() if count < 3} == {
        "canny-control": 1,
        "hed-control": 1,
        "mlsd-control": 1,
        "openpose-control": 1,
        "video-classification": 2,
    }


def test_every_source_is_explained() -> None:
    readme = DATA.joinpath("README.md").read_text(encoding="utf-8")
    figures = [figure for card in HUB_CARDS for figure in (card.downloads, card.likes, *card.history)]
    used = {figure.source for figure in figures if figure}
    for card in HUB_CARDS:
        for part in filter(None, card.source.split("; ")):
            used.add(re.sub(r"^(license: |params: |listed by )", "", part))
    assert used <= _first_column(readme)
    assert "CC BY 4.0" in readme


def _first_column(table: str) -> set[str]:
    cells = [line.split("|")[1] for line in table.splitlines() if line.startswith("|")]
    return {name for cell in cells for name in re.findall(r"`([^`]+)`", cell)}


RADAR = "github:686f6c61/radar-huggingface-dataset@95e4d933 data/ (CC BY 4.0)"
WINML = "github:microsoft/winml-cli scripts/e2e_eval/testsets/models_all.json (MIT)"
LLMFIT = "github:AlexsJones/llmfit@a3e0eb27 llmfit-core/data/hf_models.json"
INVOKE = "github:invoke-ai/InvokeAI (2026-08-19): starter model / detector, no figures"


def earlier(april: int, may: int | None = None, july: int | None = None) -> list[dict[str, Any]]:
    """Counts of other dates, as facts write them, and some that tell nothing of today."""
    dated = [("2026-04-27", april, WINML), ("2026-05-17", may, LLMFIT), ("2026-07-14", july, WINML)]
    dated += [("2023-04", 9, "p0.jsonl (JARVIS)"), ("2026 (undated)", 9, WINML), ("2026-03-01", 9, "a page")]
    return [{"date": date, "downloads": count, "source": source} for date, count, source in dated if count]


def fact(model_id: str, task: str, **fields: Any) -> dict[str, Any]:
    """A row of a facts file; what is not given is unknown."""
    names = (
        "library",
        "downloads",
        "likes",
        "params",
        "license",
        "gated",
        "safetensors",
        "snapshot",
        "source",
    )
    return {"id": model_id, "task": task, **dict.fromkeys(names), **fields}


DPT = {
    "library": "transformers",
    "downloads": 74316,
    "params": 343000000,
    "license": "apache-2.0",
    "snapshot": "2026-07-14",
    "source": WINML,
    "params_source": "paper (DPT-Large)",
    "license_source": "model card metadata 2023-04 (p0.jsonl)",
    "downloads_other_dates": earlier(66162),
}
ANNOTATORS = {"library": "controlnet_aux", "listed_by": INVOKE}

SAMPLE = [
    fact("lllyasviel/Annotators", "controlnet-detector", condition="hed", **ANNOTATORS),
    fact("lllyasviel/Annotators", "controlnet-detector", condition="lineart", **ANNOTATORS),
    fact("lllyasviel/Annotators", "controlnet-detector", condition="normal", **ANNOTATORS),
    fact("lllyasviel/Annotators", "controlnet-detector", condition="softedge", **ANNOTATORS),
    fact("lllyasviel/Annotators", "controlnet-detector", condition="openpose", **ANNOTATORS),
    fact("Intel/dpt-large", "depth-estimation", **DPT),
    fact("Intel/dpt-large", "controlnet-detector", condition="depth", **DPT),
    fact(
        "Qwen/Qwen3-0.6B",
        "text-generation",
        library="transformers",
        downloads=25235903,
        likes=1529,
        params=751632384,
        license="apache-2.0",
        gated=False,
        safetensors=True,
        snapshot="2026-08-22",
        source=RADAR,
        params_source="safetensors header via radar",
        license_source="radar",
        repo_bytes=4522815806,
        downloads_other_dates=earlier(18190697, 18554097, 28970803),
    ),
    fact(
        "openai-community/gpt2",
        "text-generation",
        library="transformers",
        downloads=14313440,
        likes=3411,
        params=137022720,
        license="mit",
        gated=False,
        safetensors=True,
        snapshot="2026-08-22",
        source=RADAR,
        params_source="safetensors header via radar",
        license_source="radar",
        repo_bytes=11977009063,
        downloads_other_dates=earlier(14968248, 16093449, 13957192),
    ),
    fact(
        "black-forest-labs/FLUX.1-dev",
        "text-to-image",
        library="diffusers",
        downloads=631339,
        likes=14222,
        params=11901408320,
        license="flux-1-dev-non-commercial-license",
        gated=True,
        safetensors=True,
        snapshot="2026-08-22",
        source=RADAR,
        params_source="safetensors header via radar",
        license_source="radar",
        repo_bytes=69256397749,
        params_scope="denoiser only (the Hub counts one component)",
    ),
    fact(
        "Salesforce/blip-image-captioning-large",
        "image-to-text",
        library="transformers",
        downloads=752900,
        likes=852,
        license="bsd-3-clause",
        gated=False,
        safetensors=True,
        snapshot="2026 (undated)",
        source="https://gigarouter.ai/models/Salesforce/blip-image-captioning-large",
        likes_date="2024-05",
        license_source="Hub tags 2024-05 (modelrepo)",
        downloads_other_dates=[
            {"date": "2024-05", "downloads": 738551, "source": "github:colored-dye/modelrepo metadata/likes"}
        ],
    ),
    fact(
        "stabilityai/sdxl-turbo",
        "text-to-image",
        downloads=879468,
        likes=2557,
        snapshot="2026-04-18",
        source="github:mz00m/ai-labor-predictions src/data/signals/huggingface_downloads.json",
        license_recalled="stabilityai community / nc (sai-nc-community at release)",
    ),
    fact(
        "ai-forever/Real-ESRGAN",
        "image-to-image",
        library="transformers",
        downloads=0,
        params=16700000,
        snapshot="2026-07-14",
        source=WINML,
        params_source="github:quic/ai-hub-models info.yaml (RealESRGAN_x4plus)",
        note="0 = repo has no counted query file, not zero use",
    ),
    fact("InstantX/FLUX.1-dev-Controlnet-Union", "controlnet", condition="union", listed_by=INVOKE),
    fact(
        "xinsir/controlnet-union-sdxl-1.0",
        "controlnet",
        library="diffusers",
        license="apache-2.0",
        license_source="file index ids 69706827632, 64031920729",
        condition="union",
    ),
    fact(
        "google/gemma-4-E4B-it",
        "any-to-any",
        library="transformers",
        downloads=5351536,
        likes=1496,
        params=7996156490,
        license="apache-2.0",
        gated=False,
        safetensors=True,
        snapshot="2026-08-22",
        source=RADAR,
        params_source="safetensors header via radar",
        license_source="radar",
        repo_bytes=48074311520,
        downloads_other_dates=earlier(3687101, 5581069, 5897050),
    ),
    # None of these gets a card: no task of the registry, or a note against it.
    fact("BAAI/bge-reranker-v2-m3", "text-ranking", downloads=18680122, snapshot="2026-08-22", source=RADAR),
    fact("lllyasviel/sd-controlnet-scribble", "controlnet", condition="scribble"),
    fact("pyannote/speaker-diarization-3.1", "automatic-speech-recognition", gated=True),
]
SAMPLE_IDS = {row["id"] for row in SAMPLE[:-3]}


@pytest.mark.parametrize("rows", [SAMPLE, SAMPLE[::-1]], ids=["in order", "reversed"])
def test_the_script_makes_what_ships(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: list[Any]
) -> None:
    facts, snapshot = tmp_path / "facts.jsonl", tmp_path / "snapshot.jsonl"
    facts.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    monkeypatch.setattr(sys, "argv", ["make_snapshot", str(facts), str(snapshot)])
    main()
    shipped = [line for line, card in zip(SNAPSHOT, HUB_CARDS, strict=True) if card.id in SAMPLE_IDS]
    assert len(shipped) == len(SAMPLE_IDS)
    assert snapshot.read_text(encoding="utf-8").splitlines() == shipped


def test_tasks_come_from_facts_and_notes() -> None:
    made = {card.id: card.tasks for card in make_cards(SAMPLE, read_notes())}
    assert made["lllyasviel/Annotators"] == ("hed-control", "normal-control", "openpose-control")
    assert made["Intel/dpt-large"] == ("depth-estimation", "depth-control", "normal-control")
    assert made["Qwen/Qwen3-0.6B"] == ("text2text-generation", "conversational", "text-generation")
    assert made["openai-community/gpt2"] == ("text-generation",)
    assert made["google/gemma-4-E4B-it"] == ("image-text-to-text",)
    assert len(made["xinsir/controlnet-union-sdxl-1.0"]) == 7
    assert set(made) == SAMPLE_IDS


def test_doubtful_figures() -> None:
    made = {card.id: card for card in make_cards(SAMPLE, read_notes())}
    assert made["ai-forever/Real-ESRGAN"].downloads is None
    blip = made["Salesforce/blip-image-captioning-large"]
    assert blip.downloads is not None
    assert (blip.downloads.date, blip.downloads.source) == ("2026", "gigarouter")
    assert blip.likes is not None
    assert (blip.likes.date, blip.likes.source) == ("2024-05", "modelrepo")
    turbo = made["stabilityai/sdxl-turbo"]
    assert (turbo.license, turbo.source) == ("sai-nc-community", "license: recalled")


def test_history_is_of_other_months_of_the_year() -> None:
    made = {card.id: card for card in make_cards(SAMPLE, read_notes())}
    gpt2 = made["openai-community/gpt2"]
    assert [(figure.date, figure.source) for figure in gpt2.history] == [
        ("2026-04-27", "winml-cli"),
        ("2026-05-17", "llmfit"),
        ("2026-07-14", "winml-cli"),
    ]
    same_month = fact(
        "lab/m",
        "translation",
        downloads=3,
        snapshot="2026-04-30",
        source=WINML,
        downloads_other_dates=earlier(5),
    )
    (card,) = make_cards([same_month], {})
    assert card.history == ()


def test_notes_add_tasks() -> None:
    note = Note(id="lab/reader", yields="ocr", also=("image-to-text",))
    (card,) = make_cards([fact("lab/reader", "image-text-to-text")], {"lab/reader": note})
    assert (card.tasks, card.yields) == (("image-to-text", "image-text-to-text"), "ocr")


def test_a_model_without_notes_is_described_by_its_task() -> None:
    (card,) = make_cards([fact("lab/new", "translation", params=999885952)], {})
    assert card.description == "Translate a text into another language (1B parameters)."


def test_an_unknown_source_stops_the_script() -> None:
    with pytest.raises(ValueError, match="'a friend' has no short name"):
        short_source("a friend")


def test_a_figure_without_a_date_stops_the_script() -> None:
    row = fact("lab/new", "translation", downloads=3, snapshot="lately", source=WINML)
    with pytest.raises(ValueError, match="'lately' does not begin with a date"):
        make_cards([row], {})


def test_notes_are_of_shipped_models_or_say_why_not() -> None:
    notes = [Note.model_validate(row) for row in read_rows(NOTES)]
    assert [note.id for note in notes] == sorted({note.id for note in notes})
    shipped = {card.id for card in HUB_CARDS}
    assert {note.id for note in notes if not note.left_out} == shipped
    assert not {note.id for note in notes if note.left_out} & shipped
