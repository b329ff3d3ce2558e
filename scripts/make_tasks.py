"""Write the table of tasks: what each takes and gives, by which runner, proven on which model classes.

    python -m scripts.make_tasks

The classes are read from the very models that the tests build and run, so that the table cannot promise more
than was run.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

from deployments.runners.routing import runner_of
from model_catalog.catalog import Catalog
from model_catalog.tasks import TASKS, Argument, TaskType
from tests.experts.models import FURTHER, MODELS
from tests.support.tiny import Builder, tiny

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "tasks.md"

HEAD = """\
# Tasks

Every task type of the registry (`model_catalog/tasks.py`), what it takes and gives, and the runner that
serves it (`deployments/runners/`). Made by `python -m scripts.make_tasks`; a test compares it with the code.

**Arguments** in brackets may be left out; those after the bar only tune the result. **Outputs** are what a
later task can use. **Model classes** are those whose models were loaded and run by the tests, with random
weights: the first from a model hub, through the fleet, Ray Serve and the controller (two of the six groups of
them by `make test`, all by `make soak`), the others through the runner alone; models of the same classes on
the Hub load in the same way. Where a model does not fit its task, loading it fails with the weights or the
class named. **On a CPU** means a machine without torchvision.

"""

TAIL = """
What holds for all of them:

- Knobs: `seed` makes a result repeatable; without one a fresh seed is drawn. What a card's `defaults` say
  holds where a call says nothing.
- Calls that come together and fit together (same task, same shape, same knobs) run as one batch of the
  model, up to the card's `batch_size`.
- A model of the Hub is fetched when it is deployed, at one commit, safetensors only;
  [SECURITY.md](../SECURITY.md) has the rules.
- A GPU machine with torchvision also runs what is marked with it: `hugginggpt-serve[annotators]` brings it.
"""

TORCHVISION = "no: it needs torchvision; `pip install 'hugginggpt-serve[annotators]'` on a GPU machine"

ELSEWHERE = {
    "hed-control": ("annotator", "HEDdetector of controlnet_aux", TORCHVISION),
    "mlsd-control": ("annotator", "MLSDdetector of controlnet_aux", TORCHVISION),
    "openpose-control": ("annotator", "OpenposeDetector of controlnet_aux", TORCHVISION),
    "canny-control": ("canny", "Canny of OpenCV", "yes"),
}
"""Tasks that no model of the tests' hub serves."""

REMARKS = {
    "mask-generation": "yes, SAM; SAM 2 needs torchvision",
    "depth-estimation": "yes; DepthPro needs torchvision",
    "image-text-to-text": "yes; some models' processors need torchvision, and say so when they are deployed",
    "document-question-answering": "yes; LayoutLM needs `hugginggpt-serve[embedded]` to read the page",
    "tabular-classification": "yes, with `hugginggpt-serve[models]`",
    "table-question-answering": "yes, with `hugginggpt-serve[models]`",
}
"""What is to be known of a task on a CPU."""


def classes_of(builder: Builder) -> Iterator[str]:
    """The names of the classes whose model a builder makes."""
    folder = tiny(builder)
    for name in ("model_index.json", "config.json"):
        file = folder / name
        if file.is_file():
            config = json.loads(file.read_text(encoding="utf-8"))
            if found := config.get("_class_name") or config.get("architectures"):
                yield from [found] if isinstance(found, str) else found
                return
    for stored in folder.glob("*.skops"):
        import skops.io

        model = skops.io.load(stored, trusted=skops.io.get_untrusted_types(file=stored))
        yield type(getattr(model, "steps", [("", model)])[-1][1]).__name__


def row(task: TaskType) -> str:
    """One line of the table."""
    arguments = ", ".join(map(_argument, task.arguments))
    knobs = ", ".join(f"`{knob.name}`" for knob in task.knobs)
    cells = [
        task.name,
        f"{arguments} \\| {knobs}" if knobs else arguments,
        ", ".join(task.outputs),
        *_proof(task.name),
        str(len(Catalog.shipped().cards_for(task.name))),
    ]
    return f"| {' | '.join(cells)} |"


def _proof(task: str) -> tuple[str, str, str]:
    """The runner, the classes that were run, and whether a CPU will do."""
    if task in ELSEWHERE:
        runner, proven, where = ELSEWHERE[task]
        return f"`{runner}`", proven, where
    model = MODELS[task]
    names = dict.fromkeys(
        name for builder in (model.builder, *FURTHER.get(task, ())) for name in classes_of(builder)
    )
    return f"`{runner_of(model.card)}`", ", ".join(names), REMARKS.get(task, "yes")


def _argument(argument: Argument) -> str:
    told = f"`{argument.name}` ({argument.modality})"
    return told if argument.required else f"[{told}]"


def document() -> str:
    """The whole document."""
    head = "| task | arguments | outputs | runner | model classes | on a CPU | models in the catalog |"
    lines = [head, "|---|---|---|---|---|---|---|", *map(row, TASKS.values())]
    return HEAD + "\n".join(lines) + "\n" + TAIL


def main() -> None:
    """Write the document."""
    argparse.ArgumentParser(description="Write docs/tasks.md.").parse_args()
    DOCUMENT.write_text(document(), encoding="utf-8")
    print(f"{len(TASKS)} tasks in {DOCUMENT}")


if __name__ == "__main__":
    main()
