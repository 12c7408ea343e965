"""The reference of the command line, made of the commands themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from xprep.cli.app import app
from xprep.cli.examples import EXAMPLES


def write(path: Path) -> None:
    """Write the page."""
    path.write_text(page(), encoding="utf-8")


def page() -> str:
    """Return every command with its arguments, options and examples."""
    group: Any = typer.main.get_command(app)
    parts = ["# Commands and their options", "What `xprep COMMAND --help` says, of all commands."]
    for name, command in group.commands.items():
        context = command.context_class(command, info_name=f"xprep {name}")
        usage = " ".join(command.collect_usage_pieces(context))
        example = "\n".join(EXAMPLES[name])
        parts += [f"## xprep {name}", f"{command.help}", f"```text\nxprep {name} {usage}\n```", f"```bash\n{example}\n```"]
        rows = [row for one in command.params if (row := _row(one, context))]
        if rows:
            parts.append("\n".join(["| | |", "|---|---|", *rows]))
    return "\n\n".join(parts) + "\n"


def _row(parameter: Any, context: Any) -> str:
    name, told = parameter.get_help_record(context) or ("", "")
    if not name:
        return ""
    told = told.replace("[", "\\[")
    return "| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in (f"`{name}`", told)) + " |"
