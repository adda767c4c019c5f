"""The edge between our programs and the terminal: Ctrl-C, and an output that is closed, full or ASCII, is no traceback.

Imports little: until `guarded` runs, Ctrl-C is a traceback all the same.
"""

from __future__ import annotations

import errno
import os
import signal
import sys

TYPE_CHECKING = False  # of `typing`, without importing it
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

OUTPUT_CLOSED = 141  # as a shell says of a program that SIGPIPE ended
UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF)


def guarded(name: str, run: Callable[[], int]) -> int:
    """The exit code of `run`, or of what went wrong between it and the terminal, in one sentence on stderr."""
    _open_what_is_closed()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # an ASCII terminal gets ? for a bar
    interrupted: list[int] = []
    before = _note_interrupts(interrupted)
    _show_warnings_as_sentences(name)
    try:
        code = run()
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        _say_no_more()
        return OUTPUT_CLOSED
    except OSError as error:
        if error.errno not in UNWRITABLE or error.filename is not None:
            raise
        _say_no_more()
        print(f"{name}: the output cannot be written: {error.strerror}", file=sys.stderr)
        return 1
    except BaseException as error:
        if not interrupted and not isinstance(error, KeyboardInterrupt):
            raise  # NumPy and others make an ImportError of a Ctrl-C while they are imported
        print(f"{name}: interrupted", file=sys.stderr)
        return 128 + signal.SIGINT
    finally:
        signal.signal(signal.SIGINT, before)


def tell_of_compiling(name: str) -> None:
    """Somebody who waits at a terminal is told what for."""
    if sys.stderr.isatty():
        import logging

        logging.basicConfig(format=f"{name}: %(message)s")
        logging.getLogger("dvs_run").setLevel(logging.INFO)


def _note_interrupts(seen: list[int]) -> Any:
    """Ctrl-C raises KeyboardInterrupt as before and is noted, too, for those who turn that into something else."""

    def note(number: int, frame: object) -> None:
        seen.append(number)
        raise KeyboardInterrupt

    before = signal.getsignal(signal.SIGINT)
    if before is signal.default_int_handler:  # else it is ignored, as in the background, or somebody's own
        signal.signal(signal.SIGINT, note)
    return before


def _show_warnings_as_sentences(name: str) -> None:
    """A warning is for whoever reads the terminal: what is the matter, not the line of code that says so."""
    import warnings

    warnings.formatwarning = lambda message, *where, **more: f"{name}: {message}\n"


def _open_what_is_closed() -> None:
    """A program started with a closed stdout would give that number to its first socket; so would its children."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # takes the lowest free number, which is this one
    for stream in ("stdout", "stderr"):
        if getattr(sys, stream) is None:
            setattr(sys, stream, open(os.devnull, "w"))  # noqa: SIM115  (open as long as the program)


def _say_no_more() -> None:
    """Nothing that is still buffered may fail once more when the interpreter ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
