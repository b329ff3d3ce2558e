"""How well requests in plain words are planned: TaskBench's scores, for its tools from Hugging Face.

    python -m benchmarks.taskbench GOLD.jsonl [--plans PLANS.jsonl] [--brain embedded|llm] [--json FILE]

GOLD.jsonl has one object a line: ``id``, ``user_request``, ``type`` (single, chain, dag) and ``task_nodes``,
each with ``task`` and ``arguments``, as in TaskBench's data (microsoft/JARVIS, ``taskbench``). The embedded
brain plans the requests, or the LLM of the settings as ``hugginggpt plan`` asks it; or PLANS.jsonl, which
``hugginggpt plan --jsonl GOLD.jsonl PLANS.jsonl`` writes, has the plans.

Printed are the scores by TaskBench's definitions and by a stricter variant (see ``taskbench_scores``), over
all requests and by type; each tool's precision and recall; which tool was planned for which; the scores of
five folds of the requests, with 95 % intervals of a bootstrap; and of the embedded brain the time that a plan
takes, the best of three runs, how many plans it would ask back about, and the scores where each request is
planned without the phrases that no other one uses (``taskbench_unseen``). Nothing is fitted to a fold: the
rules stay as they are, and the folds show how far the scores of so many requests go apart by chance.
"""

import argparse
import json
import random
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy

from benchmarks.taskbench_scores import METRICS, Scored, compare, f1, gold_nodes, plan_nodes, summed
from benchmarks.taskbench_unseen import unseen
from controller.cli.planning import plan_lines
from controller.plan import Plan
from controller.rules.confidence import THRESHOLD, confidence
from controller.rules.planner import guess, plan_text
from controller.rules.reading import read
from controller.settings import Settings

FOLDS = 5
DRAWS = 2_000
RUNS = 3
KINDS = ("single", "chain", "dag")
VARIANTS = {"TaskBench's definitions": False, "stricter variant": True}
PUBLISHED = {
    "GPT-4, published": (81.54, 54.70, 77.31, 60.86),
    "gpt-3.5-turbo, published": (69.49, 33.36, 55.88, 36.32),
}
"""By TaskBench's definitions, on all its requests (arXiv 2311.18760)."""
NOTHING = "nothing"

Plans = dict[str, list[dict[str, Any]]]


def embedded(gold: Sequence[Mapping[str, Any]]) -> tuple[Plans, list[float]]:
    """Plans by the embedded brain, and the milliseconds that each took, the best of a few runs."""
    guess("Draw a cat.")  # reads the vocabularies
    plans, times = {}, []
    for row in gold:
        runs = []
        for _ in range(RUNS):
            began = time.perf_counter()
            raws = guess(str(row["user_request"]))
            runs.append(1000 * (time.perf_counter() - began))
        times.append(min(runs))
        plans[str(row["id"])] = Plan.parse(raws, max_tasks=len(raws)).wire()
    return plans, times


def questioned(gold: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """How many requests the embedded brain has a plan for, and how many it would rather ask back about.

    A plan is taken as good where its tools are those of the gold plan.
    """
    planned = good = doubted = doubted_good = 0
    for row in gold:
        text = str(row["user_request"])
        reading, drafts = read(text), plan_text(text)
        if drafts:
            doubts = confidence(reading, drafts).understood < THRESHOLD
            right = _tools(gold_nodes(row)) == _tools(plan_nodes(drafts))
            planned, good = planned + 1, good + right
            doubted, doubted_good = doubted + doubts, doubted_good + (doubts and right)
    return {"planned": planned, "questioned": doubted, "good": good, "good and questioned": doubted_good}


def without_own(gold: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The stricter scores where each request is planned without the phrases that only it uses."""
    plans, phrases = unseen(gold)
    return summed([compare(row, plans[str(row["id"])]) for row in gold], strict=True) | phrases


def by_llm(source: Path) -> Plans:
    """Plans by the LLM of the settings."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "plans.jsonl"
        plan_lines(source, target, "llm", Settings())
        return read_plans(target)


def read_plans(path: Path) -> Plans:
    """The plans of a file, without those that could not be made."""
    return {str(row["id"]): row["plan"] for row in _rows(path) if "error" not in row}


def _rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def per_tool(scored: Sequence[Scored]) -> dict[str, dict[str, float]]:
    """For each tool how often it was wanted and planned, its precision and its recall."""
    wanted = Counter(tool for one in scored for tool in _tools(one.wanted))
    planned = Counter(tool for one in scored for tool in _tools(one.planned))
    right = Counter(tool for one in scored for tool in _tools(one.wanted) & _tools(one.planned))
    return {
        tool: {
            "wanted": wanted[tool],
            "planned": planned[tool],
            "precision": round(100 * right[tool] / max(1, planned[tool]), 1),
            "recall": round(100 * right[tool] / max(1, wanted[tool]), 1),
            "F1": round(f1(right[tool], planned[tool] - right[tool], wanted[tool] - right[tool]), 1),
        }
        for tool in sorted(wanted | planned, key=lambda tool: (-wanted[tool], tool))
    }


def confusions(scored: Sequence[Scored]) -> list[tuple[str, str, int]]:
    """Which tool was planned for which wanted one, most frequent first.

    In each request the missing tools are set beside the surplus ones in their order; where one side is
    longer, its rest is set beside nothing.
    """
    found: Counter[tuple[str, str]] = Counter()
    for one in scored:
        missing = [tool for tool in _in_order(one.wanted) if tool not in _tools(one.planned)]
        surplus = [tool for tool in _in_order(one.planned) if tool not in _tools(one.wanted)]
        longest = max(len(missing), len(surplus))
        found.update(zip(_padded(missing, longest), _padded(surplus, longest), strict=True))
    return [(*pair, count) for pair, count in sorted(found.items(), key=lambda item: (-item[1], item[0]))]


def _tools(nodes: Sequence[Any]) -> set[str]:
    return {node.tool for node in nodes}


def _in_order(nodes: Sequence[Any]) -> list[str]:
    return list(dict.fromkeys(node.tool for node in nodes))


def _padded(tools: list[str], length: int) -> list[str]:
    return tools + [NOTHING] * (length - len(tools))


def folds(scored: Sequence[Scored], seed: int, count: int = FOLDS) -> list[list[Scored]]:
    """The requests in parts of one size, drawn by chance, with as many of each type."""
    drawn = random.Random(seed).sample(list(scored), len(scored))  # noqa: S311
    drawn.sort(key=lambda one: one.kind)
    return [drawn[first::count] for first in range(count)]


def spread(scored: Sequence[Scored], strict: bool, seed: int) -> dict[str, dict[str, Any]]:
    """For each metric the folds' scores, their mean and standard deviation, and the bootstrap's interval."""
    parts = [summed(part, strict) for part in folds(scored, seed) if part]
    intervals = bootstrap(scored, strict, seed)
    found: dict[str, dict[str, Any]] = {}
    for metric in (*METRICS, "exact"):
        values = [part[metric] for part in parts]
        found[metric] = {
            "folds": values,
            "mean": round(statistics.mean(values), 2),
            "deviation": round(statistics.stdev(values), 2) if len(values) > 1 else 0.0,
            "interval": intervals[metric],
        }
    return found


def bootstrap(scored: Sequence[Scored], strict: bool, seed: int) -> dict[str, tuple[float, float]]:
    """The 95 % interval of each metric: of as many requests drawn with replacement, over and over."""
    taken = [one for one in scored if strict or not one.missing]
    if not taken:
        return dict.fromkeys((*METRICS, "exact"), (0.0, 0.0))
    counts = numpy.array([one.strict if strict else one.counts for one in taken])
    exact = numpy.array([one.exact for one in taken])
    random_numbers = numpy.random.default_rng(seed)
    drawn: list[list[float]] = []
    for _ in range(DRAWS):
        places = random_numbers.integers(len(taken), size=len(taken))
        sums = counts[places].sum(axis=0)
        drawn.append([*(f1(*map(int, row)) for row in sums), 100 * float(exact[places].mean())])
    low, high = numpy.percentile(numpy.array(drawn), [2.5, 97.5], axis=0)
    return {
        name: (round(float(low[place]), 2), round(float(high[place]), 2))
        for place, name in enumerate((*METRICS, "exact"))
    }


def figures(
    gold: Sequence[Mapping[str, Any]], plans: Mapping[str, Sequence[Mapping[str, Any]]], seed: int
) -> dict[str, Any]:
    """Every figure of a report but the times."""
    scored = [compare(row, plans.get(str(row["id"]))) for row in gold]
    scores = {
        name: {"all": summed(scored, strict)}
        | {kind: summed([one for one in scored if one.kind == kind], strict) for kind in KINDS}
        for name, strict in VARIANTS.items()
    }
    return {
        "scores": scores,
        "tools": per_tool(scored),
        "confusions": confusions(scored),
        "folds": {name: spread(scored, strict, seed) for name, strict in VARIANTS.items()},
    }


def timing(times: Sequence[float]) -> dict[str, float]:
    """The median and the 99th percentile."""
    return {
        "median": round(statistics.median(times), 2),
        "p99": round(float(numpy.percentile(numpy.array(times), 99)), 2),
    }


def main() -> None:
    """Score the plans and print tables, then one line of JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("gold", type=Path, metavar="GOLD.jsonl")
    parser.add_argument(
        "--plans", type=Path, metavar="PLANS.jsonl", help="plans to score instead of making any"
    )
    parser.add_argument("--brain", choices=("embedded", "llm"), default="embedded", help="who plans")
    parser.add_argument("--seed", type=int, default=0, help="of the folds and the bootstrap")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    options = parser.parse_args()
    gold = _rows(options.gold)
    times: list[float] = []
    if options.plans:
        plans = read_plans(options.plans)
    elif options.brain == "llm":
        plans = by_llm(options.gold)
    else:
        plans, times = embedded(gold)
    found = figures(gold, plans, options.seed)
    if times:
        found |= {"milliseconds": timing(times), "asking back": questioned(gold), "unseen": without_own(gold)}
    _print(found)
    written = json.dumps(found, ensure_ascii=False)
    if options.json:
        options.json.write_text(written + "\n", encoding="utf-8")
    print(written)


def _print(found: Mapping[str, Any]) -> None:
    names = (*METRICS, "exact", "samples")
    for variant, parts in found["scores"].items():
        print(f"{variant:28}" + "".join(f"{name:>10}" for name in names))
        for part, values in parts.items():
            print(f"  {part:26}" + "".join(f"{values[name]:>10}" for name in names))
        print()
    if "unseen" in found:
        print(f"{'without own phrases *':28}" + "".join(f"{found['unseen'][name]:>10}" for name in names))
    for who, values in PUBLISHED.items():
        print(f"{who:28}" + "".join(f"{value:>10.2f}" for value in values))
    for variant, metrics in found["folds"].items():
        print(f"\n{f'{FOLDS} folds, {variant}':40}{'mean':>8}{'stdev':>8}{'95 %':>18}   folds")
        for metric, values in metrics.items():
            low, high = values["interval"]
            told = " ".join(f"{value:.1f}" for value in values["folds"])
            between = f"{low:.1f} to {high:.1f}"
            print(f"  {metric:38}{values['mean']:>8}{values['deviation']:>8}{between:>18}   {told}")
    _print_tools(found)
    if "unseen" in found:
        told = (
            "* {phrases} phrases, {used} of them used, {used once} by one request only; see taskbench_unseen"
        )
        print("\n" + told.format(**found["unseen"]))
    if "milliseconds" in found:
        print("\nmilliseconds a request: median {median}, p99 {p99}".format(**found["milliseconds"]))
        told = "{questioned} of {planned} plans, {good and questioned} of the {good} with the right tools"
        print(f"would be asked back about: {told.format(**found['asking back'])}\n")


def _print_tools(found: Mapping[str, Any]) -> None:
    print(f"\n{'tool':32}{'wanted':>8}{'planned':>9}{'precision':>11}{'recall':>8}{'F1':>8}")
    for tool, row in found["tools"].items():
        print(
            f"{tool:32}{row['wanted']:>8}{row['planned']:>9}{row['precision']:>11}{row['recall']:>8}{row['F1']:>8}"
        )
    print(f"\n{'wanted':32}{'planned':32}{'times':>6}")
    for wanted, planned, count in found["confusions"]:
        print(f"{wanted:32}{planned:32}{count:>6}")


if __name__ == "__main__":
    main()
