"""What goes wrong becomes one line and an exit code; secrets stay out of it."""

from __future__ import annotations

import re
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import typer
from rich.console import Console
from rich.text import Text

from xprep.errors import EmptyChannelWarning, PercentileWarning
from xprep.io.store.urls import redact_text

FAILED: Final = 1
BAD_INPUT: Final = 2
INTERRUPTED: Final = 130
# What the user can put right by other arguments. Corrupt chunks, full disks and refused credentials are other OSErrors.
_INPUT_ERRORS: Final = (ValueError, KeyError, TypeError, ImportError, FileExistsError, FileNotFoundError)


@contextmanager
def reported(console: Console, *, debug: bool = False, secrets: Any = None) -> Iterator[None]:
    """Say errors, warnings and Ctrl-C in a line each.

    Parameters
    ----------
    console : rich.console.Console
        Where.
    debug : bool
        Let errors through, with their traceback; one with a secret in it is printed without.
    secrets : mapping or list, optional
        Options of stores, and URLs: nothing of them is printed that is a secret (`xprep.redaction.redact_text`).
    """

    def say(text: str, style: str) -> None:
        console.print(Text(redact_text(text, secrets), style=style), soft_wrap=True)

    with warnings.catch_warnings():
        _show_warnings(lambda text: say(f"warning: {text}", "yellow"))
        try:
            yield
        except KeyboardInterrupt as interrupt:
            say(f"interrupted: {in_command_words(str(interrupt)) or 'nothing was begun.'}", "yellow")
            raise typer.Exit(INTERRUPTED) from None
        except typer.Exit:
            raise
        except Exception as error:
            if debug:
                trace = traceback.format_exc()
                if redact_text(trace, secrets) == trace:
                    raise
                say(trace, "red")
                raise typer.Exit(FAILED) from None
            wrong_input = isinstance(error, _INPUT_ERRORS)
            say(f"error: {describe(error)}", "red")
            raise typer.Exit(BAD_INPUT if wrong_input else FAILED) from None


def describe(error: BaseException) -> str:
    """Return what an error and its notes say, in a line.

    A KeyError's text is in its arguments, and some errors say nothing but their name.

    Examples
    --------
    >>> describe(KeyError("no channel 'CD3'")), describe(MemoryError())
    ("no channel 'CD3'", 'MemoryError (more with --debug)')
    """
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    known = isinstance(error, (*_INPUT_ERRORS, OSError))
    said = text if known and text else f"{type(error).__name__}{': ' * bool(text)}{text} (more with --debug)"
    return in_command_words(" ".join([said, *getattr(error, "__notes__", [])]))


def in_command_words(text: str) -> str:
    """Return a message of the library in the words of the command.

    Examples
    --------
    >>> in_command_words("overwrite=True replaces it, or intermediates='recompute'.")
    '--overwrite replaces it, or --intermediates recompute.'
    """
    text = re.sub(r"\bxprep\.set_options\(scratch_url=\.\.\.\)", "--scratch URL", text)
    text = re.sub(r"\b(overwrite|resume)=True\b", r"--\1", text)
    return re.sub(r"\b(intermediates|fingerprint|compression|version)='([^']*)'", r"--\1 \2", text)


def _show_warnings(say: Any) -> None:
    # These two are in the writer's report, whichever worker met them.
    for known in (EmptyChannelWarning, PercentileWarning):
        warnings.simplefilter("ignore", known)
    warnings.showwarning = lambda message, *_args, **_more: say(str(message))
