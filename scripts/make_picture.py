"""The picture of a real answer in the README: runs a request and draws what the terminal showed.

python -m scripts.make_picture docs/answer.svg
"""

import re
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import MONOKAI

from controller.cli.ask import run
from controller.cli.session import connected
from controller.cli.view import View
from controller.request import Message
from controller.settings import load

REQUEST = "Read the text in /examples/sign.png aloud, and show me the edges of /examples/sign.png"


def main() -> None:
    """Run the request and write the picture to the path given."""
    target = Path(sys.argv[1])
    console = Console(record=True, width=118, highlight=False)
    console.print(f'[bold]$ hugginggpt ask "{REQUEST}"[/]')
    with (
        tempfile.TemporaryDirectory() as out,
        connected(load(), None, Console(stderr=True), REQUEST) as client,
    ):
        told = run(client, [Message(role="user", content=REQUEST)], [], Path(out), View(console).show)
    console.print("", told.account()["answer"], "", sep="\n", markup=False)
    for file in told.files:
        console.print(f"/home/you/outputs/{file.name}", markup=False)
    svg = console.export_svg(title="HuggingGPT on Ray Serve", theme=MONOKAI)
    # No font from elsewhere: the reader's own monospace does.
    svg = re.sub(r"@font-face\s*\{.*?\}\s*", "", svg, flags=re.DOTALL)
    target.write_text("\n".join(line.rstrip() for line in svg.splitlines()) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
