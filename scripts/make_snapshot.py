"""Turn a file of facts about models into the snapshot of model cards that ships.

    python -m scripts.make_snapshot FACTS.jsonl scripts/more_models.jsonl model_catalog/data/snapshot.jsonl

A facts file has one model and one task a line, with figures, their dates and their sources. What no
source tells (what a model is good for, which further tasks it serves, which models cannot do the task
they are filed under) stands in ``snapshot_notes.jsonl`` beside this script.
"""

import argparse
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from model_catalog.card import Figure, ModelCard
from model_catalog.facts import BATCHES, CHAT_TASKS
from model_catalog.tasks import TASKS

Row = Mapping[str, Any]

NOTES = Path(__file__).with_name("snapshot_notes.jsonl")

SHORT_SOURCES = (
    ("winml-cli", "winml-cli"),
    ("radar", "radar"),
    ("nevescloud/pulse", "pulse"),
    ("llmfit", "llmfit"),
    ("ai-labor-predictions", "ai-labor-predictions"),
    ("modelrepo", "modelrepo"),
    ("p0.jsonl", "jarvis"),
    ("ai-hub-models", "ai-hub-models"),
    ("InvokeAI", "invokeai"),
    ("huggingface.js", "huggingface.js"),
    ("2026-08-27", "survey-2026-08"),
    ("2026-09-15", "survey-2026-09"),
    ("topaitools", "topaitools"),
    ("gigarouter", "gigarouter"),
    ("mixpeek", "mixpeek"),
    ("promptlayer", "promptlayer"),
    ("paper", "paper"),
    ("README", "model card"),
    ("OpenCLIP model table", "model card"),
    ("model card", "model card"),
    ("model name", "model name"),
    ("file index", "public notes"),
)
"""What a source's text holds, and the short name that cards give it; ``data/README.md`` explains them."""

_COUNTED = ("winml-cli", "radar", "nevescloud/pulse", "llmfit", "ai-labor-predictions")
"""Sources of earlier counts that were read from the Hub's API, and not rounded."""

_YEAR = "2026-"
"""Of older figures none tells how much a model is used today, nor of those without a month."""

SOFT_EDGES = {"softedge": "hed"}
CONTROLS = tuple(name.removesuffix("-control") for name in TASKS if name.endswith("-control"))


class Note(BaseModel):
    """What the project itself says of a model.

    Attributes:
        id: the model.
        says: what it is good for, the beginning of its description.
        also: tasks it serves beyond those the facts file it under.
        union: the maps a ControlNet takes, where it takes several.
        yields: see ``ModelCard.yields``.
        library: the library that runs it, where the facts are silent or mistaken.
        license: its license's short name, where the facts spell it out.
        gated: whether it is gated, where the facts are silent.
        chat: whether a text generator takes instructions.
        revision: see ``ModelCard.revision``.
        requires: see ``ModelCard.requires``.
        parts: see ``ModelCard.parts``.
        defaults: see ``ModelCard.defaults``.
        spare_weights: see ``ModelCard.spare_weights``.
        dtype: see ``ModelCard.dtype``.
        left_out: why it gets no card.

    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    says: str = ""
    also: tuple[str, ...] = ()
    union: tuple[str, ...] = CONTROLS
    yields: str | None = None
    library: str | None = None
    license: str | None = None
    gated: bool | None = None
    chat: bool = True
    revision: str | None = None
    requires: tuple[str, ...] = ()
    parts: dict[str, str] = Field(default_factory=dict)
    defaults: dict[str, str] = Field(default_factory=dict)
    spare_weights: tuple[str, ...] = ()
    dtype: Literal["float32", "float16", "bfloat16"] | None = None
    left_out: str = ""


def read_rows(path: Path) -> Iterator[dict[str, Any]]:
    """The JSON objects of a file with one a line."""
    with path.open(encoding="utf-8") as lines:
        yield from (json.loads(line) for line in lines if line.strip())


def read_notes(path: Path = NOTES) -> dict[str, Note]:
    """The project's notes by model id."""
    notes = (Note.model_validate(row) for row in read_rows(path))
    return {note.id: note for note in notes}


def make_cards(rows: Iterable[Row], notes: Mapping[str, Note]) -> list[ModelCard]:
    """One card for each model of ``rows`` that serves a task of the registry, by id."""
    grouped: dict[str, list[Row]] = {}
    for row in rows:
        grouped.setdefault(row["id"], []).append(row)
    cards = []
    for model_id, its_rows in grouped.items():
        note = notes.get(model_id, Note(id=model_id))
        tasks = _tasks(its_rows, note)
        if tasks and not note.left_out:
            cards.append(_card(_merged(its_rows), tasks, note))
    return sorted(cards, key=lambda card: (card.id.casefold(), card.id))


def to_json(card: ModelCard) -> str:
    """A card as a compact line of JSON, without what is unknown or as usual."""
    fields = card.model_dump(mode="json", exclude_defaults=True)
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":"))


def short_source(text: str) -> str:
    """The short name of a source.

    Raises:
        ValueError: ``SHORT_SOURCES`` does not have it.

    """
    for part, name in SHORT_SOURCES:
        if part in text:
            return name
    raise ValueError(f"The source {text!r} has no short name; add one to SHORT_SOURCES and data/README.md.")


def _tasks(rows: Sequence[Row], note: Note) -> tuple[str, ...]:
    served = {task for row in rows for task in _tasks_of(row, note)} | set(note.also)
    return tuple(name for name in TASKS if name in served)


def _tasks_of(row: Row, note: Note) -> Iterable[str]:
    """The registry's tasks behind the task a row names; none where the registry has no such task."""
    task = row["task"]
    if task == "controlnet":
        condition = row["condition"]
        conditions = note.union if condition == "union" else (condition,)
        return (f"{SOFT_EDGES.get(name, name)}-text-to-image" for name in conditions)
    if task == "controlnet-detector":
        condition = row["condition"]
        return (f"{SOFT_EDGES.get(condition, condition)}-control",)
    if task == "text-generation":
        return CHAT_TASKS if note.chat else (task,)
    if task == "depth-estimation":
        return (task, "depth-control", "normal-control")
    if task == "any-to-any":
        return ("image-text-to-text",)
    return (task,)


def _merged(rows: Sequence[Row]) -> dict[str, Any]:
    """One row from a model's rows: of each field the first value that is known."""
    merged: dict[str, Any] = {}
    for row in rows:
        merged.update({key: value for key, value in row.items() if merged.get(key) is None})
    return merged


def _card(row: Row, tasks: tuple[str, ...], note: Note) -> ModelCard:
    gated = row["gated"] if note.gated is None else note.gated
    return ModelCard(
        id=row["id"],
        tasks=tasks,
        yields=note.yields,
        description=_description(row, tasks, note),
        downloads=_downloads(row),
        history=_history(row),
        likes=_likes(row),
        license=note.license or row["license"] or row.get("license_recalled"),
        gated=bool(gated),
        library=note.library or row["library"],
        params=row["params"],
        repo_bytes=row.get("repo_bytes"),
        safetensors=row["safetensors"],
        source=_source(row),
        revision=note.revision,
        requires=note.requires,
        parts=note.parts,
        defaults=note.defaults,
        spare_weights=note.spare_weights,
        dtype=note.dtype,
        batch_size=BATCHES.get(TASKS[tasks[0]].family, 1),
    )


def _downloads(row: Row) -> Figure | None:
    # The Hub counts requests of certain files only, so that 0 tells nothing of how much a model is used.
    if not row["downloads"]:
        return None
    return Figure(value=row["downloads"], date=_date(row["snapshot"]), source=short_source(row["source"]))


def _history(row: Row) -> tuple[Figure, ...]:
    """Counts of other months of the same year, the newest of each."""
    newest = _downloads(row)
    if newest is None:
        return ()
    dated = sorted(
        (_date(other["date"]), other["downloads"], other["source"])
        for other in row.get("downloads_other_dates") or ()
        if other["downloads"] and any(part in other["source"] for part in _COUNTED)
    )
    monthly = {date[:7]: (date, value, source) for date, value, source in dated if date.startswith(_YEAR)}
    return tuple(
        Figure(value=value, date=date, source=short_source(source))
        for month, (date, value, source) in monthly.items()
        if month != newest.date[:7]
    )


def _likes(row: Row) -> Figure | None:
    if row["likes"] is None:
        return None
    day = row.get("likes_date")
    if day is None:
        return Figure(value=row["likes"], date=_date(row["snapshot"]), source=short_source(row["source"]))
    source = next(other["source"] for other in row["downloads_other_dates"] if other["date"] == day)
    return Figure(value=row["likes"], date=_date(day), source=short_source(source))


def _date(text: str) -> str:
    """The part of a date that is sure: ``2026 (undated)`` is 2026, ``2026-09..10`` begins in 2026-09."""
    found = re.match(r"\d{4}(-\d{2}(-\d{2})?)?", text)
    if found is None:
        raise ValueError(f"{text!r} does not begin with a date.")
    return found.group()


def _source(row: Row) -> str:
    """Where license and parameter count come from; figures carry their own sources."""
    parts = []
    if row["license"]:
        parts.append(f"license: {short_source(row['license_source'])}")
    elif row.get("license_recalled"):
        parts.append("license: recalled")
    if row["params"] and row.get("params_source"):
        parts.append(f"params: {short_source(row['params_source'])}")
    if row.get("listed_by"):
        parts.append(f"listed by {short_source(row['listed_by'])}")
    return "; ".join(parts)


def _description(row: Row, tasks: tuple[str, ...], note: Note) -> str:
    says = note.says or TASKS[tasks[0]].description.removesuffix(".")
    if not row["params"]:
        return f"{says}."
    part = " in the denoiser" if "denoiser" in row.get("params_scope", "") else ""
    return f"{says} ({_size(row['params'])} parameters{part})."


def _size(params: int) -> str:
    """A count as people write it, in three digits: ``24.7M``, ``1B``."""
    rounded = float(f"{params:.3g}")
    unit, letter = (1e9, "B") if rounded >= 1e9 else (1e6, "M")
    return f"{rounded / unit:.3g}{letter}"


def main() -> None:
    """Read the facts, write the cards, and tell how many there are."""
    parser = argparse.ArgumentParser(description="Turn facts about models into the snapshot that ships.")
    parser.add_argument("facts", type=Path, nargs="+", help="JSON lines, one model and task each")
    parser.add_argument("snapshot", type=Path, help="where the cards go")
    paths = parser.parse_args()
    rows = [row for facts in paths.facts for row in read_rows(facts)]
    cards = make_cards(rows, read_notes())
    paths.snapshot.write_text("".join(f"{to_json(card)}\n" for card in cards), encoding="utf-8")
    print(f"{len(cards)} cards in {paths.snapshot}")


if __name__ == "__main__":
    main()
