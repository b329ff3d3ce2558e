"""TaskBench's scores of plans (arXiv 2311.18760), for its tools from Hugging Face, and a stricter variant.

A plan is compared with its gold plan as four sets, taken from its nodes:

- tools: the names of its nodes;
- edges: pairs of tools, the second of which takes the result of the first;
- types: each tool with the type of each of its arguments;
- values: the same with the argument's value, which is the tool whose result it takes, or the literal words.

The type of a result is the tool's first output by TaskBench's table; that of literal words is image, audio
or video where they hold the ending of such a file, else text. Right, surplus and missing members are counted
over all requests, and F1 is taken of the sums. ``exact``, which TaskBench does not have, is the share of
requests whose tools and edges are right.

TaskBench leaves out requests for which there is no plan, and tools outside its table cost no precision in the
F1 of tools. The stricter variant counts both as wrong. A reference to no node, or to its own node, is left
out; TaskBench's script takes the argument before it once more in the place of the former.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

METRICS = ("n-F1", "e-F1", "t-F1", "v-F1")
"""F1 of tools, of edges, of types and of values."""

OUTPUTS: Mapping[str, str] = json.loads(
    Path(__file__).with_name("taskbench_tools.json").read_text(encoding="utf-8")
)
"""TaskBench's 23 tools and what each makes."""

_ENDINGS = {
    "image": ("jpg", "png", "jpeg", "gif", "bmp", "tiff", "svg", "ico"),
    "audio": ("mp3", "wav", "wma", "ogg", "aac", "flac", "aiff", "au"),
    "video": ("mp4", "avi", "mov", "flv", "wmv", "mkv", "webm", "m4v", "mpg", "mpeg"),
}
_BY_TASK = {name.lower().replace(" ", "-"): name for name in OUTPUTS}
_NOWHERE = 10**6
_UNKNOWN_TO_TASKBENCH = frozenset({"target_language"})
_REFERENCE = re.compile(r"<GENERATED>-(\d+)")

Counts = tuple[tuple[int, int, int], ...]
"""For each metric how many members are right, surplus and missing."""


@dataclass(frozen=True, slots=True)
class Node:
    """A tool and the values of its arguments; ``<node-N>`` is the result of the N-th node."""

    tool: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Scored:
    """One request: its gold plan's kind, what was wanted and planned, and the counts of both variants."""

    id: str
    kind: str
    wanted: tuple[Node, ...]
    planned: tuple[Node, ...]
    exact: bool
    missing: bool
    counts: Counts
    strict: Counts


def gold_nodes(sample: Mapping[str, Any]) -> tuple[Node, ...]:
    """The nodes of a gold plan, whose arguments may be words, lists of words, or objects of one entry."""
    return tuple(
        Node(node["task"].replace("_", " "), tuple(_gold_values(node.get("arguments", []))))
        for node in sample["task_nodes"]
    )


def _gold_values(arguments: Any) -> Iterable[str]:
    for listed in arguments.values() if isinstance(arguments, dict) else arguments:
        value = next(iter(listed.values())) if isinstance(listed, dict) else listed
        yield " ".join(value) if isinstance(value, list) else str(value)


def plan_nodes(plan: Sequence[Mapping[str, Any]]) -> tuple[Node, ...]:
    """The nodes of a plan in wire form.

    TaskBench parts a change of a picture by words, Image Editing, from one without, and does not know the
    language that a translation aims at.
    """
    places = {task["id"]: place for place, task in enumerate(plan)}
    nodes = []
    for task in plan:
        tool = _BY_TASK.get(task["task"], task["task"])
        if tool == "Image-to-Image" and task["args"].get("text"):
            tool = "Image Editing"
        given = [
            item
            for name, value in task["args"].items()
            if value is not None and name not in _UNKNOWN_TO_TASKBENCH
            for item in (value if isinstance(value, list) else [value])
        ]
        nodes.append(Node(tool, tuple(_placed(str(item), places) for item in given)))
    return tuple(nodes)


def _placed(value: str, places: Mapping[int, int]) -> str:
    found = _REFERENCE.fullmatch(value.strip())
    return f"<node-{places.get(int(found[1]), _NOWHERE)}>" if found else value


def content_type(value: str) -> str:
    """The type of literal words."""
    return next(
        (kind for kind, endings in _ENDINGS.items() if any(f".{ending}" in value for ending in endings)),
        "text",
    )


def features(nodes: Sequence[Node]) -> tuple[set[Any], ...]:
    """The sets of tools, edges, types and values."""
    edges, types, values = set(), set(), set()
    for place, node in enumerate(nodes):
        for value in node.values:
            if "<node-" not in value:
                kind, said = content_type(value), value
            elif (maker := _maker(value, place, nodes)) is not None:
                kind, said = OUTPUTS.get(maker, "other"), maker
                edges.add((maker, node.tool))
            else:
                continue
            types.add((node.tool, kind))
            values.add((node.tool, kind, said))
    return {node.tool for node in nodes}, edges, types, values


def _maker(value: str, own: int, nodes: Sequence[Node]) -> str | None:
    """The tool whose result a value takes; None where the reference leads nowhere or to the node itself."""
    try:
        number = int(value[value.index("<node-") + len("<node-") : value.index(">")])
        return None if number == own else nodes[number].tool
    except (ValueError, IndexError):
        return None


def compare(sample: Mapping[str, Any], plan: Sequence[Mapping[str, Any]] | None) -> Scored:
    """Compare a plan with its gold plan; None where there is no plan."""
    wanted, planned = gold_nodes(sample), plan_nodes(plan or [])
    want, got = features(wanted), features(planned)
    known = want[0] & OUTPUTS.keys(), got[0] & OUTPUTS.keys()
    strict = tuple(_count(one, other) for one, other in zip(want, got, strict=True))
    return Scored(
        str(sample["id"]),
        str(sample.get("type", "")),
        wanted,
        planned,
        exact=want[:2] == got[:2],
        missing=plan is None,
        counts=(_count(*known), *strict[1:]),
        strict=strict,
    )


def _count(want: set[Any], got: set[Any]) -> tuple[int, int, int]:
    return len(want & got), len(got - want), len(want - got)


def f1(right: int, surplus: int, missing: int) -> float:
    """F1 in per cent; 0 where there is nothing to count."""
    return 200 * right / max(1, 2 * right + surplus + missing)


def summed(scored: Sequence[Scored], strict: bool) -> dict[str, float]:
    """The metrics, ``exact`` and the number of requests they were taken of."""
    taken = [one for one in scored if strict or not one.missing]
    rows = [one.strict if strict else one.counts for one in taken]
    sums = [[sum(row[place][part] for row in rows) for part in range(3)] for place in range(len(METRICS))]
    figures = {metric: round(f1(*counts), 2) for metric, counts in zip(METRICS, sums, strict=True)}
    exact = 100 * sum(one.exact for one in taken) / max(1, len(taken))
    return figures | {"exact": round(exact, 2), "samples": len(taken)}
