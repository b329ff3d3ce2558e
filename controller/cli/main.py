"""The commands: up, ask, chat, plan, ps, down, deploy, undeploy, and those of other modules.

Imports that take long (Ray, the HTTP client) wait until a command needs them, so that ``plan`` is quick.
"""

import asyncio
import io
import json
import os
import shutil
import signal
import sys
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console

from controller.cli.catalog import app as catalog_commands
from controller.cli.doctor import doctor
from controller.cli.fleet import pin, ps, stop, unpin, wake
from controller.cli.history import app as history_commands
from controller.cli.keys import app as key_commands
from controller.cli.models import list_models, profiles, rm
from controller.cli.pull import pull
from controller.errors import ControllerError, PlanError, RequestError
from controller.settings import Settings, load
from model_catalog.errors import HuggingGPTError

app = typer.Typer(
    name="hugginggpt",
    help="Ask in plain words; a plan of expert models answers, with files.",
    no_args_is_help=True,
    invoke_without_command=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(catalog_commands)
app.add_typer(key_commands)
app.add_typer(history_commands)

Config = Annotated[Path | None, typer.Option("--config", help="A settings file (TOML).", show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Url = Annotated[str | None, typer.Option("--url", help="The server to use.", show_default=False)]
Port = Annotated[int | None, typer.Option("--port", help="Port of the HTTP endpoint.", show_default="8000")]
Out = Annotated[Path, typer.Option("--out", help="Where files are saved.")]
OUTPUTS = Path("outputs")


def main() -> None:
    """Run the command line; what goes wrong is one line on standard error."""
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(130)
    except HuggingGPTError as error:
        _notes().print(f"hugginggpt: {error.message}", style="red", markup=False, soft_wrap=True)
        sys.exit(1)


def _console() -> Console:
    return Console(highlight=False, emoji=False)


def _notes() -> Console:
    """Standard error."""
    return Console(stderr=True, highlight=False, emoji=False)


def _print(value: Any) -> None:
    """JSON on standard output, unwrapped."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")


@app.callback()
def _options(
    version: Annotated[bool, typer.Option("--version", help="Print the version.", is_eager=True)] = False,
) -> None:
    if version:
        sys.stdout.write(metadata.version("hugginggpt-serve") + "\n")
        raise typer.Exit


@app.command()
def up(
    config: Config = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.", show_default="127.0.0.1")] = None,
    port: Port = None,
    as_json: Json = False,
) -> None:
    """Serve until Ctrl-C."""
    from controller.app import catalog
    from controller.profile import absent
    from controller.server import announced, check, running, serving

    settings = load(config, host=host, port=port)
    if (found := running()) is not None:
        raise ControllerError(f"A server runs already at {found.url}; stop it with hugginggpt down.")
    check(settings)
    console = _console()
    if not as_json:
        console.print("[dim]Starting Ray and the experts …[/]")
    with serving(settings) as server, announced(server):
        if as_json:
            _print({"url": server.url, "dashboard": server.dashboard, "pid": server.pid})
            sys.stdout.flush()
        else:
            console.print(f"endpoint   [bold]{server.url}[/]{_guarded(settings)}")
            console.print(
                f"dashboard  [bold]{server.dashboard}[/]   its token: [bold]{_ray()} get-auth-token[/]"
            )
            for name, reason in server.failed.items():
                console.print(f"{name} did not become ready: {reason}", style="yellow", markup=False)
            console.print(f"brain      {_brain(settings)}", markup=False)
            for line in absent(settings, catalog(settings)):
                console.print(line, style="yellow", markup=False, soft_wrap=True)
            console.print(
                'Try: hugginggpt ask "Read the text in /examples/sign.png aloud"; Ctrl-C stops.', markup=False
            )
        asyncio.run(_told_to_stop())
        if not as_json:
            console.print("[dim]Stopping …[/]")


async def _told_to_stop() -> None:
    """Wait for Ctrl-C or SIGTERM."""
    told = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    await told.wait()


def _guarded(settings: Settings) -> str:
    """What is told behind the address of a server with keys."""
    return "   asks everybody for an API key (hugginggpt keys list)" if settings.keyed else ""


def _ray() -> str:
    """Ray's command, as this person can type it."""
    return "ray" if shutil.which("ray") else str(Path(sys.executable).parent / "ray")


def _brain(settings: Settings) -> str:
    """Who plans and who answers."""
    from controller.endpoints import endpoint

    planner, responder = endpoint(settings, "planner"), endpoint(settings, "responder")
    if planner is None and responder is None:
        return "embedded brain (with an LLM endpoint set, that one plans and answers)"
    plans, answers = (
        f"{asked.model} at {asked.host}" if asked else "the embedded brain" for asked in (planner, responder)
    )
    return f"{plans} plans and answers" if plans == answers else f"{plans} plans, {answers} answers"


@app.command()
def ask(
    request: Annotated[str, typer.Argument(help="What you want, in plain words.")],
    file: Annotated[
        list[Path] | None, typer.Option("--file", help="A file to send along; repeatable.")
    ] = None,
    out: Out = OUTPUTS,
    url: Url = None,
    config: Config = None,
    port: Port = None,
    as_json: Json = False,
) -> None:
    """Answer one request."""
    from controller.cli.ask import print_told, run
    from controller.cli.session import connected
    from controller.cli.view import View
    from controller.request import Message

    settings = load(config, port=port)
    request = _typed(request)
    _readable(request, file or [], out)
    console = _console()
    notes = _notes()
    with connected(settings, url, notes, request, file or []) as client:
        attached = [client.upload(path) for path in file or []]
        show = View(notes if as_json else console).show
        told = run(client, [Message(role="user", content=request)], attached, out, show)
    if as_json:
        _print(told.account())
    else:
        print_told(told, console)
    if told.done is not None and any(outcome.status != "done" for outcome in told.done.outcomes):
        raise typer.Exit(2)


def _typed(text: str) -> str:
    """What a person typed, with bytes that are no UTF-8 replaced."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _readable(request: str, files: list[Path], out: Path) -> None:
    """Refuse what cannot be read or written, before anything is started."""
    if not request.strip():
        raise RequestError("The request is empty; say what you want in plain words.")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RequestError(
            f"Files cannot be saved in {out}: {error.strerror}; choose another --out."
        ) from None
    for path in files:
        if not path.is_file():
            raise RequestError(f"There is no file {path}.")


@app.command()
def chat(
    out: Out = OUTPUTS, url: Url = None, config: Config = None, port: Port = None, as_json: Json = False
) -> None:
    """Talk for several turns; /resources shows what was made so far."""
    from controller.cli.ask import HELP, Chat
    from controller.cli.session import connected

    console = _console()
    notes = _notes()
    with connected(load(config, port=port), url, notes) as client:
        talk = Chat(client, out, console, as_json)
        if isinstance(sys.stdin, io.TextIOWrapper):
            sys.stdin.reconfigure(errors="replace")
        prompt = "" if as_json or not sys.stdin.isatty() else "> "
        if prompt:
            console.print(HELP)
        while True:
            try:
                line = input(prompt)
            except (EOFError, KeyboardInterrupt):
                return
            try:
                if not talk.turn(line):
                    return
            except KeyboardInterrupt:
                notes.print("Stopped.")
            except HuggingGPTError as error:
                notes.print(f"hugginggpt: {error.message}", style="red", markup=False, soft_wrap=True)


@app.command()
def plan(
    request: Annotated[str | None, typer.Argument(help="What you want.", show_default=False)] = None,
    jsonl: Annotated[
        tuple[Path, Path] | None,
        typer.Option(
            help="Plan every line of IN ({id, user_request}) into OUT ({id, plan}).",
            metavar="IN OUT",
            show_default=False,
        ),
    ] = None,
    brain: Annotated[
        Literal["embedded", "llm"],
        typer.Option(help="Who plans: the embedded brain, which costs nothing, or the LLM of the settings."),
    ] = "embedded",
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Show the plan of a request, without running it."""
    from controller.cli.planning import plan_lines, plan_one

    settings = load(config)
    if (request is None) == (jsonl is None):
        raise RequestError("Give either a request or --jsonl IN OUT.")
    if jsonl is not None:
        count, reasons = plan_lines(*jsonl, brain, settings)
        if as_json:
            _print({"planned": count, "failed": len(reasons), "out": str(jsonl[1])})
        else:
            _console().print(f"{count} plans written to {jsonl[1]}", soft_wrap=True)
        if reasons:
            raise PlanError(f"{len(reasons)} requests have no plan; the first: {reasons[0]}")
        return
    plan_one(_typed(request or ""), brain, settings, _console(), as_json)


@app.command()
def down(as_json: Json = False) -> None:
    """Stop the server that up started."""
    from controller.server import running, stop

    found = running()
    if found is not None and not stop(found):
        raise ControllerError(
            f"The server (process {found.pid}) does not stop; end it with kill -9 {found.pid}."
        )
    if as_json:
        _print({"stopped": found.pid if found else None})
    else:
        _console().print("Stopped." if found else "No server runs.")


@app.command()
def deploy(
    expert: Annotated[list[str] | None, typer.Option("--expert", help="Only this model; repeatable.")] = None,
    gpu: Annotated[
        float | None,
        typer.Option(min=0, help="Share of a GPU that each --expert holds.", show_default="its card's"),
    ] = None,
    address: Annotated[str, typer.Option(help="The Ray cluster.")] = "auto",
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Install the applications on a running Ray cluster, or add experts to them."""
    from controller.cluster import install

    deployed = install(load(config), address, expert or [], gpu)
    if as_json:
        _print({"experts": deployed})
    else:
        count = f"{len(deployed)} experts are" if len(deployed) != 1 else "1 expert is"
        _console().print(f"{count} deployed: {', '.join(deployed)}", soft_wrap=True)


@app.command()
def undeploy(
    expert: Annotated[list[str], typer.Option("--expert", help="The model to remove; repeatable.")],
    address: Annotated[str, typer.Option(help="The Ray cluster.")] = "auto",
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Remove experts from a running Ray cluster; their shares of GPUs are free again."""
    from controller.cluster import remove

    removed = remove(load(config), address, expert)
    if as_json:
        _print({"removed": removed})
    else:
        _console().print(f"Removed: {', '.join(removed)}", soft_wrap=True)


for _command in (ps, wake, stop, pin, unpin, pull):
    app.command()(_command)
app.command("list")(list_models)
app.command()(rm)
app.command()(profiles)
app.command()(doctor)


if os.environ.get("COLUMNS") is None and not sys.stdout.isatty():
    os.environ["COLUMNS"] = "120"  # logs and pipes have no width of their own
