"""``catalog``: how models rank, what the Hub tells of them, and whether they can be loaded."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from controller.cli.output import Config, Json, Yes, console, notes, print_json
from controller.errors import RequestError
from controller.settings import Settings, load
from model_catalog import overlay
from model_catalog.card import ModelCard
from model_catalog.catalog import Catalog, read_cards
from model_catalog.tasks import TASKS, task_type

if TYPE_CHECKING:
    from deployments.checking import Checker, Verdict
    from model_catalog.hub import Hub
    from model_catalog.sync import Progress, Synced

LIMIT = 5
"""The first models of each task that a sync sees to by default."""

app = typer.Typer(
    name="catalog",
    help="Models: how they rank, what the Hub tells of them, whether they can be loaded.",
    no_args_is_help=True,
)

Model = Annotated[str, typer.Argument(help="A model, as owner/name.")]


@app.command()
def show(
    what: Annotated[
        str | None, typer.Argument(help="A task, or a model as owner/name.", show_default=False)
    ] = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Show a task's models in rank order, all that is known of one model, or all tasks."""
    from controller.cli import catalog_view as view

    known = _known(load(config))
    if what is None:
        rows = view.overview_rows(known)
        _out(rows, view.overview_table(rows), as_json)
    elif "/" in what:
        card = known.get(what)
        _out(view.model_account(known, card), view.model_view(known, card), as_json)
    else:
        rows = view.task_rows(known, task_type(what).name)
        _out(rows, view.task_table(rows), as_json)


@app.command()
def sync(
    task: Annotated[list[str] | None, typer.Option("--task", help="Only this task; repeatable.")] = None,
    limit: Annotated[
        int, typer.Option(min=0, max=100, help="See that the first N of each task are there; 0 adds none.")
    ] = LIMIT,
    revisions: Annotated[
        bool, typer.Option("--revisions", help="Move each card to the newest commit.")
    ] = False,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Use no answer of an earlier, unfinished sync.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would change, and write nothing.")
    ] = False,
    yes: Yes = False,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Read figures, licences and new models from the Hugging Face Hub; shows what changes, then writes it."""
    from controller.cli import catalog_view as view
    from model_catalog.changes import changes
    from model_catalog.sync import JOURNAL, Journal, Wish

    asks = not (yes or dry_run)
    if asks and (as_json or not _can_ask()):
        raise RequestError("There is no terminal to ask on; give --yes to write, or --dry-run to look only.")
    settings = load(config)
    own = frozenset(card.id for card in read_cards(settings.catalog)) if settings.catalog else frozenset()
    wish = Wish(tuple(task_type(name).name for name in task or TASKS), limit, revisions, own)
    hub = _hub(settings)
    path = settings.data_dir / JOURNAL
    if fresh:
        path.unlink(missing_ok=True)
    journal = Journal(path, hub.address)
    try:
        done = _synced(settings, wish, hub, journal)
    finally:
        journal.close()
    known = _known(settings)
    told = changes(known, _with(known, done, settings))
    if as_json:
        print_json({**told.as_json(), "moved": done.moved, "left_out": done.left_out, "written": not dry_run})
    else:
        console().print(view.changes_view(told, done.moved, done.left_out), soft_wrap=True)
    if dry_run or (asks and not typer.confirm("Write this?", default=True)):
        return
    overlay.write_synced(settings.data_dir, done.cards)
    journal.remove()
    if not as_json:
        console().print(f"Written to {settings.data_dir / overlay.CARDS}.", soft_wrap=True)


@app.command()
def share(
    model: Model,
    gpu: Annotated[
        list[str] | None,
        typer.Option(
            "--gpu", help="A GPU, as 24GB or by its type (L4); repeatable.", show_default="usual sizes"
        ),
    ] = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Show how much memory a model needs, line by line, and what share of a GPU that is."""
    from controller.cli.share import run

    settings = load(config)
    run(_known(settings), settings, model, gpu or [], as_json)


def _can_ask() -> bool:
    """Whether a person sits at a terminal."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def _synced(settings: Settings, wish: Any, hub: "Hub", journal: Any) -> "Synced":
    """What the Hub tells; what it told before an error is kept for the next time."""
    from deployments.checking import Checker
    from model_catalog.sync import JOURNAL
    from model_catalog.sync import sync as ask

    cards = [card for card in overlay.with_synced(settings.data_dir) if _of_hub(card)]
    if journal.resumed:
        notes().print(f"Going on with {journal.resumed} answers of before; --fresh asks anew.", style="dim")
    try:
        with _progress() as told:
            return ask(hub, cards, wish, journal, Checker(hub), told)
    except BaseException:
        if (settings.data_dir / JOURNAL).exists():
            notes().print("What the Hub has told is kept: the same command goes on from there.", style="dim")
        raise


def _with(known: Catalog, done: "Synced", settings: Settings) -> Catalog:
    """The catalog as it would be."""
    shipped = {card.id: card for card in Catalog.shipped()}
    choices = overlay.read_choices(settings.data_dir)
    laid = [choices.applied(overlay.laid(card, shipped)) for card in done.cards]
    return Catalog([*known, *laid])


@app.command()
def add(
    model: Model,
    task: Annotated[
        list[str] | None,
        typer.Option("--task", help="A task it serves; repeatable.", show_default="as the Hub files it"),
    ] = None,
    revision: Annotated[
        str | None, typer.Option(help="A commit, tag or branch.", show_default="the newest commit")
    ] = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Add a model of the Hub, once it is known that it can be loaded."""
    from controller.cli import catalog_view as view
    from deployments.checking import Checker
    from model_catalog.facts import found

    settings = load(config)
    known = _known(settings)
    if any(card.id == model for card in known):
        raise RequestError(
            f"The catalog has {model} already; to serve it otherwise, give a card of your own in the file of "
            "the setting catalog."
        )
    hub = _hub(settings)
    told = hub.model(model, revision)
    tasks = tuple(name for name in TASKS if name in {task_type(each).name for each in task or ()})
    try:
        card = found(told, datetime.now(UTC).date().isoformat(), tasks)
    except ValueError:
        filed = f"under {told.task}" if told.task else "nowhere"
        raise RequestError(f"The Hub files {model} {filed}; say what it serves with --task.") from None
    verdict = Checker(hub).check(card)
    if verdict.status == "cannot":
        raise RequestError(f"{card.id} is not added: {verdict.why}")
    overlay.write_synced(settings.data_dir, [card])
    now = _known(settings)
    if as_json:
        print_json({"added": view.model_account(now, now.get(card.id)), "check": asdict(verdict)})
        return
    console().print(view.model_view(now, now.get(card.id)))
    if verdict.why:
        notes().print(verdict.why, style="yellow", markup=False, soft_wrap=True)


@app.command()
def check(
    model: Annotated[
        list[str] | None, typer.Argument(help="Models, as owner/name.", show_default="all")
    ] = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Tell which models their runners can load, by their configuration; no weights are fetched.

    Ends with 2 where a model that was named cannot be loaded.
    """
    from controller.cli import catalog_view as view
    from deployments.checking import Checker

    settings = load(config)
    known = _known(settings)
    cards = [known.get(name) for name in model] if model else list(known)
    with _progress() as told:
        verdicts = _verdicts(Checker(_hub(settings)), cards, told)
    if as_json:
        print_json([asdict(verdict) for verdict in verdicts])
    else:
        view.show_verdicts(console(), verdicts)
    if model and any(verdict.status == "cannot" for verdict in verdicts):
        raise typer.Exit(2)


def _verdicts(checker: "Checker", cards: list[ModelCard], progress: "Progress") -> "list[Verdict]":
    from deployments.checking import Verdict, gather_all

    found = []
    for start in range(0, len(cards), 16):  # so that not all files are held at once
        some = cards[start : start + 16]
        for card, gathered in zip(some, gather_all(checker, some), strict=True):
            verdict = gathered if isinstance(gathered, Verdict) else checker.judged(card, gathered)
            found.append(verdict)
            progress("checking", len(found), len(cards))
    return found


@app.command()
def pin(model: Model, config: Config = None, as_json: Json = False) -> None:
    """Make a model the first candidate of its tasks, whatever its figures."""
    _choose(model, config, as_json, f"{model} is the first candidate of its tasks.", pinned=True)


@app.command()
def unpin(model: Model, config: Config = None, as_json: Json = False) -> None:
    """Let a model's figures tell its rank again."""
    _choose(model, config, as_json, f"{model} is ranked by its figures.", pinned=False)


@app.command()
def block(model: Model, config: Config = None, as_json: Json = False) -> None:
    """Never take a model."""
    _choose(model, config, as_json, f"{model} is never a candidate.", blocked=True)


@app.command()
def unblock(model: Model, config: Config = None, as_json: Json = False) -> None:
    """Let a model be a candidate again."""
    _choose(model, config, as_json, f"{model} may be a candidate.", blocked=False)


def _choose(model: str, config: Any, as_json: bool, said: str, **choice: bool) -> None:
    settings = load(config)
    if any(choice.values()):
        _known(settings).get(model)
    made = overlay.choose(settings.data_dir, model, **choice)
    if as_json:
        print_json({"pinned": sorted(made.pinned), "blocked": sorted(made.blocked)})
    else:
        console().print(f"{said} A server that runs learns of it when it starts anew.", soft_wrap=True)


# What the commands share ----------------------------------------------------------------------------------


def _known(settings: Settings) -> Catalog:
    """The catalog of this machine; where models run plays no part."""
    return overlay.layered(settings.data_dir, settings.catalog)


def _of_hub(card: ModelCard) -> bool:
    """Whether the Hub knows a card's model."""
    return not card.embedded and card.path is None


def _hub(settings: Settings) -> "Hub":
    from model_catalog.hub import Hub

    token = settings.huggingface_access_token
    said = notes()
    return Hub(
        token.get_secret_value() if token else None,
        lambda line: said.print(line, style="dim", markup=False, soft_wrap=True),
    )


def _out(value: Any, shown: Any, as_json: bool) -> None:
    if as_json:
        print_json(value)
    else:
        console().print(shown)


@contextmanager
def _progress() -> "Iterator[Progress]":
    """A bar for each stage on a terminal, else a line for each stage that ends; on standard error."""
    said = notes()
    if not said.is_terminal:
        yield (
            lambda stage, done, total: (
                said.print(f"{stage}: {total} done") if done == total and total else None
            )
        )
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description:<10}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=said, transient=True) as bars:
        stages: dict[str, Any] = {}

        def told(stage: str, done: int, total: int) -> None:
            if stage not in stages:
                stages[stage] = bars.add_task(stage, total=total)
            bars.update(stages[stage], completed=done, total=total)

        yield told
