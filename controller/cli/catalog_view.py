"""How the command line shows the catalog: rankings, models, what a sync would change, checks."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console, Group, JustifyMethod, RenderableType
from rich.table import Table
from rich.text import Text

from controller.cli.view import literal
from controller.sizes import size
from deployments.checking import Verdict, runner_name
from model_catalog.card import Figure, ModelCard
from model_catalog.catalog import Catalog
from model_catalog.changes import Change, Changes, Reranked
from model_catalog.facts import count
from model_catalog.tasks import TASKS

_BYTES = {"F64": 8, "I64": 8, "U64": 8, "F32": 4, "I32": 4, "U32": 4, "F16": 2, "BF16": 2, "I16": 2, "U16": 2}
_MARKS = {"ok": ("✓", "green"), "cannot": ("✗", "red"), "unchecked": ("?", "yellow")}
_LEFT_OUT = 5  # models told that a sync left out


def task_rows(known: Catalog, task: str) -> list[dict[str, Any]]:
    """A task's models in rank order, those that are blocked at the end, in a form for programs."""
    ranked = known.cards_for(task)
    blocked = [card for card in known if card.blocked and task in card.tasks]
    return [_row(card, rank) for rank, card in enumerate(ranked, 1)] + [_row(card, None) for card in blocked]


def _row(card: ModelCard, rank: int | None) -> dict[str, Any]:
    return {
        "rank": rank,
        "id": card.id,
        "downloads": card.usual_downloads,
        "likes": card.likes.value if card.likes else None,
        "license": card.license,
        "params": card.params,
        "bytes": _bytes(card),
        "gated": card.gated,
        "runner": runner_name(card),
        "providers": list(card.providers),
        "pinned": card.pinned,
        "blocked": card.blocked,
        "gone": card.gone,
    }


def _bytes(card: ModelCard) -> int | None:
    """Bytes of its safetensors, where they were counted."""
    if not card.weights:
        return None
    return sum(number * _BYTES.get(kind, 1) for kind, number in card.weights.items())


def task_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """A task's models."""
    names = ("", "model", "downloads", "likes", "licence", "size", "gated", "runner", "providers", "")
    table = _table(*names, right=("downloads", "likes", "size"))
    for row in rows:
        held = [count(row["params"] or 0), size(row["bytes"]) if row["bytes"] else ""]
        mark = "blocked" if row["blocked"] else "pinned" if row["pinned"] else "gone" if row["gone"] else ""
        table.add_row(
            str(row["rank"] or "–"),
            Text(row["id"], "cyan" if row["runner"] else "dim"),
            _number(row["downloads"]),
            _number(row["likes"]),
            literal(row["license"] or "?"),
            ", ".join(filter(None, held)) or "?",
            "gated" if row["gated"] else "",
            row["runner"] or Text("none", "yellow"),
            literal(", ".join(row["providers"])),
            Text(mark, "yellow"),
        )
    return table


def overview_rows(known: Catalog) -> list[dict[str, Any]]:
    """Every task with how many models it has, how many of them have a runner, and the first of those."""
    rows = []
    for task in TASKS:
        cards = known.cards_for(task)
        runs = [card for card in cards if runner_name(card)]
        rows.append(
            {"task": task, "models": len(cards), "run": len(runs), "first": runs[0].id if runs else None}
        )
    return rows


def overview_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """All tasks."""
    table = _table("task", "models", "with a runner", "first", right=("models", "with a runner"))
    for row in rows:
        first = Text(row["first"] or "none", "cyan" if row["first"] else "yellow")
        table.add_row(row["task"], str(row["models"]), str(row["run"]), first)
    return table


def model_account(known: Catalog, card: ModelCard) -> dict[str, Any]:
    """Everything that is known of a model, in a form for programs."""
    ranks = {}
    for task in card.tasks:
        ids = [each.id for each in known.cards_for(task)]
        ranks[task] = {"rank": ids.index(card.id) + 1 if card.id in ids else None, "of": len(ids)}
    return {
        **card.model_dump(mode="json", exclude_defaults=True),
        "usual_downloads": card.usual_downloads,
        "bytes": _bytes(card),
        "runner": runner_name(card),
        "ranks": ranks,
    }


def model_view(known: Catalog, card: ModelCard) -> Table:
    """Everything that is known of a model."""
    account = model_account(known, card)
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_row(Text(card.id, "bold cyan"), literal(card.description))
    for name, told in _lines(card, account):
        table.add_row(Text(name, "dim"), literal(told))
    return table


def _lines(card: ModelCard, account: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for task, place in account["ranks"].items():
        rank = f"{place['rank']} of {place['of']}" if place["rank"] else "never a candidate: it is blocked"
        yield "task", f"{task} ({rank})"
    terms = "its terms are to be accepted on its page at the Hub"
    kinds = ", ".join(f"{count(number) or number} {kind}" for kind, number in card.weights.items())
    lines = (
        ("yields", card.yields),
        ("runner", account["runner"] or "none in this release"),
        ("downloads", _figures(card)),
        ("of all time", card.downloads_all and _figure(card.downloads_all)),
        ("likes", card.likes and _figure(card.likes)),
        ("licence", card.license or "unknown"),
        ("gated", f"yes: {terms}" if card.gated else "no"),
        ("weights", card.weights and f"{size(account['bytes'])} ({kinds})"),
        ("parameters", "" if card.weights else count(card.params or 0)),
        ("repository", card.repo_bytes and f"{size(card.repo_bytes)} with all its files"),
        ("revision", card.revision or "main, as it is when it is first deployed"),
        ("providers", ", ".join(card.providers)),
        *card.parts.items(),
        *((f"default {name}", value) for name, value in card.defaults.items()),
        ("pinned", card.pinned and "the first candidate of its tasks"),
        ("blocked", card.blocked and "never a candidate"),
        ("gone", card.gone and f"the Hub had it no longer on {card.gone}"),
        ("source", card.source),
    )
    yield from ((name, str(told)) for name, told in lines if told)


def _figures(card: ModelCard) -> str:
    if card.downloads is None:
        return "not counted"
    dated = (*card.history, card.downloads)
    told = ", ".join(_figure(figure) for figure in sorted(dated, key=lambda each: each.date, reverse=True))
    return told if len(dated) == 1 else f"{_number(card.usual_downloads)} as the median of {told}"


def _figure(figure: Figure) -> str:
    source = f", {figure.source}" if figure.source else ""
    return f"{figure.value:,} ({figure.date}{source})"


def changes_view(told: Changes, moved: Mapping[str, str], left_out: Mapping[str, str]) -> RenderableType:
    """What a sync would change."""
    lines: list[Text] = []
    for card in told.added:
        downloads = f"{_number(card.usual_downloads)} downloads"
        lines.append(_line("new", card.id, f"{', '.join(card.tasks)}; {downloads}", "green"))
    lines += [_line("gone", model, "the Hub has it no longer; it goes behind the others", "red")
              for model in told.gone]  # fmt: skip
    lines += [_line("back", model, "the Hub has it again", "green") for model in told.back]
    lines += [_line("moved", model, f"is now {name}", "yellow") for model, name in moved.items()]
    kinds: Mapping[str, tuple[Change, ...]] = {
        "licence": told.licenses,
        "access": told.gates,
        "revision": told.revisions,
        "providers": told.providers,
    }
    lines += [
        _line(kind, one.id, f"{one.old} → {one.new}", "yellow") for kind in kinds for one in kinds[kind]
    ]
    for one in told.ranks:
        lines += _ranks(one)
    reasons = list(left_out.items())
    lines += [_line("left out", model, why, "dim") for model, why in reasons[:_LEFT_OUT]]
    if more := len(reasons) - _LEFT_OUT:
        lines += [_line("left out", f"{more} more", "", "dim")] if more > 0 else []
    lines.append(Text(f"{told.figures} cards have new figures." if told.figures else "No figure is new."))
    return Group(*lines)


def _ranks(one: Reranked) -> Iterator[Text]:
    yield Text.assemble(("rank      ", "yellow"), (one.task, "bold"))
    for place, model in enumerate(one.new, 1):
        was = one.old.index(model) + 1 if model in one.old else None
        told = "" if was == place else f"  (was {was})" if was else "  (was further behind, or is new)"
        yield Text.assemble(f"          {place} ", (model, "cyan"), told)


def _line(kind: str, model: str, told: str, style: str) -> Text:
    name = literal(model)
    name.stylize("cyan")
    return Text.assemble((f"{kind:<10}", style), name, "  ", literal(told))


def show_verdicts(console: Console, verdicts: Sequence[Verdict]) -> None:
    """One line for each check, those that are all right first, and how many there are of each."""
    order = list(_MARKS)
    for verdict in sorted(verdicts, key=lambda each: (order.index(each.status), each.id.casefold())):
        mark, style = _MARKS[verdict.status]
        line = Text.assemble((mark, style), " ", (verdict.id, "cyan"), "  ", literal(verdict.why))
        console.print(line, soft_wrap=True)
    counts = {status: sum(verdict.status == status for verdict in verdicts) for status in order}
    told = {"ok": "can be loaded", "cannot": "cannot", "unchecked": "could not be checked here"}
    console.print(", ".join(f"{number} {told[status]}" for status, number in counts.items() if number) + ".")


def _table(*names: str, right: Sequence[str] = ()) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in names:
        whole = name in ("", "model")  # so that a name can be copied
        justify: JustifyMethod = "right" if name in right else "left"
        table.add_column(name, justify=justify, overflow="fold", no_wrap=whole)
    return table


def _number(value: int | None) -> str:
    return "?" if value is None else f"{value:,}"
