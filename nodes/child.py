"""One node in this process, for the launcher: `python -m dvs_run.nodes.child`, its work on standard input."""

import json
import os
import signal
import sys
import threading
from pathlib import Path

from .config import Document, check_config
from .host import StopRequest, run_in_threads
from .wire import Wire


def main() -> int:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the launcher decides, and says so by closing the pipe
    line = sys.stdin.buffer.readline()
    if not line:
        return 1
    work = json.loads(line)
    config = check_config(Document(Path(work["path"]), work["values"], {}))
    request = StopRequest()

    def wait_for_end_of_pipe() -> None:
        sys.stdin.buffer.read()
        request.reason = "the launcher stopped the run"

    threading.Thread(target=wait_for_end_of_pipe, daemon=True).start()
    wire = Wire(threading.Event())
    news = wire.news_out(work["control"])
    outcome = run_in_threads(
        config, [work["node"]], request, lambda edge, _: str(work["addresses"][str(edge)]), news.tell
    )
    wire.close()
    return 1 if outcome.failures or outcome.stuck else 0


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)  # a thread that is stuck must not keep the process
