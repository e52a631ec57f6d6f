"""Ask something of a running training, and wait for the answer.

The exit code is 0 for a request that was applied, 1 for one that was rejected, 2 for bad input, 3 where no
answer came in time: the request is then withdrawn, and it is said whether that won.
"""

import argparse
import sys
import time
from collections import deque
from pathlib import Path

import msgspec

from tuimon import commands, events, liveness
from tuimon.cli.options import add_run
from tuimon.errors import UsageError
from tuimon.run_directory import RunDirectory
from tuimon.session_log import Tail, encoder
from tuimon.text import plain

REJECTED = 1
NO_ANSWER = 3
DEFAULT_SECONDS = 60.0
"""Long enough for the trace that the first use of a mode costs a large model."""
LOOK_SECONDS = 0.05
LATE_SECONDS = 1.0
"""How long an answer may take to be in the log when its request is gone from the directory."""
_END_BYTES = 1024 * 1024

Answer = events.CommandApplied | events.CommandRejected | events.CommandVerified


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_run(parser)
    _add_common(parser)
    parser.set_defaults(timeout=DEFAULT_SECONDS, json=False)
    requests = parser.add_subparsers(dest="request", metavar="REQUEST", required=True)
    for kind in (commands.Freeze, commands.Unfreeze):
        request = _add_request(requests, kind)
        request.add_argument(
            "--layer",
            metavar="GLOB",
            dest="layers",
            action="append",
            default=[],
            help="a layer, by its path or the last part of it; may be repeated (default: all)",
        )
    _add_request(requests, commands.Phase).add_argument("phase", choices=("auto", "train", "inference"))
    _add_request(requests, commands.Stop).add_argument(
        "--after", choices=("batch", "epoch"), default="batch", help="when (default: batch)"
    )
    _add_request(requests, commands.Snapshot)
    _add_request(requests, commands.Note).add_argument("text", metavar="TEXT")


def execute(options: argparse.Namespace) -> int:
    """Send the request, print its answer, and return the exit code."""
    if not options.timeout >= 0:
        raise UsageError("--timeout: expected a number of seconds")
    run = RunDirectory.find(options.run, options.runs_dir)
    request = _request(options)
    newest = _newest_start(run)
    if liveness.is_gone(run.session_log, newest):
        print(f"tuimon: {run.name}: its training is over, nobody takes requests", file=sys.stderr)
        return NO_ANSWER
    request = commands.signed(request, attempt=newest.attempt if newest else None)
    answers = _Answers(run.session_log, request.id)
    path = run.put_request(request)
    deadline = time.monotonic() + options.timeout
    try:
        answer = answers.wait(deadline) or _withdraw(path, answers, options.timeout)
    except KeyboardInterrupt:
        path.unlink(missing_ok=True)
        raise
    if answer is None:
        return NO_ANSWER
    _print(answer, as_json=options.json)
    if isinstance(answer, events.CommandRejected):
        return REJECTED
    if isinstance(request, commands.Freeze | commands.Unfreeze | commands.Phase):
        verified = answers.wait(deadline)
        if verified is not None:
            _print(verified, as_json=options.json)
    return 0


class _Answers:
    """What the log says of one request, from now on."""

    def __init__(self, session_log: Path, identity: str) -> None:
        self._tail = Tail(session_log)
        self._tail.offset = _whole_bytes(session_log)
        self._identity = identity
        self._waiting: deque[Answer] = deque()

    def wait(self, deadline: float) -> Answer | None:
        """Return the next one, None where none is there by ``deadline``, a `time.monotonic`."""
        while not self._waiting:
            # Asked before the log is read: the last look is after the deadline.
            late = time.monotonic() >= deadline
            for event in self._tail.read_all():
                if isinstance(event, Answer) and event.id == self._identity:
                    self._waiting.append(event)
            if late:
                break
            if not self._waiting:
                time.sleep(LOOK_SECONDS)
        return self._waiting.popleft() if self._waiting else None


def _whole_bytes(path: Path) -> int:
    """Return the size of a log, without its last line where that is not whole yet."""
    try:
        with path.open("rb") as file:
            start = file.seek(max(0, file.seek(0, 2) - _END_BYTES))
            return start + file.read().rfind(b"\n") + 1
    except FileNotFoundError:
        return 0


def _add_common(parser: argparse.ArgumentParser) -> None:
    # Before or after the request: neither place may overwrite the other with its default.
    parser.add_argument(
        "--timeout",
        type=float,
        metavar="S",
        default=argparse.SUPPRESS,
        help=f"seconds to wait for the answer (default: {DEFAULT_SECONDS:g})",
    )
    parser.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="print the facts, one a line")


def _add_request(
    requests: "argparse._SubParsersAction[argparse.ArgumentParser]", kind: type[commands.AnyRequest]
) -> argparse.ArgumentParser:
    text = (kind.__doc__ or "").strip()
    parser = requests.add_parser(events.snake_case(kind.__name__), help=text.rstrip("."), description=text)
    parser.set_defaults(
        kind=kind, fields=[name for name in kind.__struct_fields__ if name not in commands.Request.__struct_fields__]
    )
    _add_common(parser)
    return parser


def _request(options: argparse.Namespace) -> commands.AnyRequest:
    fields = {name: getattr(options, name) for name in options.fields}
    try:
        request: commands.AnyRequest = msgspec.convert({"command": options.request, **fields}, options.kind)
    except (msgspec.ValidationError, UnicodeError) as error:
        raise UsageError(f"{options.request}: {str(error).replace('`', '')}") from None
    return request


def _newest_start(run: RunDirectory) -> events.RunStarted | None:
    newest = None
    tail = Tail(run.session_log)
    while True:
        before = tail.offset
        for event in tail.read():
            newest = event if isinstance(event, events.RunStarted) else newest
        if newest is not None or tail.offset == before:
            return newest


def _withdraw(path: Path, answers: _Answers, timeout: float) -> Answer | None:
    try:
        path.unlink()
    except FileNotFoundError:
        # The trainer was quicker. Its answer is in the log, or about to be.
        answer = answers.wait(time.monotonic() + LATE_SECONDS)
        if answer is None:
            print(
                f"tuimon: no answer in {timeout:g} s; the trainer has taken the request, it may still come into force",
                file=sys.stderr,
            )
        return answer
    print(f"tuimon: no answer in {timeout:g} s; the request is withdrawn, it will not come into force", file=sys.stderr)
    return None


def _print(answer: Answer, *, as_json: bool) -> None:
    if as_json:
        print(encoder.encode(answer).decode(), flush=True)
        return
    match answer:
        case events.CommandApplied():
            traced = f", {answer.traced_seconds:.1f} s to trace" if answer.traced_seconds else ""
            detail = f" ({answer.detail})" if answer.detail else ""
            words = f"applied at step {answer.first_step}{traced}{detail}"
        case events.CommandRejected():
            words = f"rejected: {answer.reason}"
        case events.CommandVerified():
            words = f"{'verified' if answer.held else 'NOT in force'}: {answer.detail}"
    print(plain(words, limit=2000), flush=True)
