"""Ask something of a running training, and wait for the answer.

Without RUN it goes to the run that is live; where several are, to none. A run
that is called like a request is named by its path or its whole name.

The exit code is 0 for a request that was applied, 1 for one that was rejected,
2 for bad input, 3 where nobody answers: the run that is named is over, no run
is live, or no answer came in time. The request is then withdrawn, and a line
says whether that was in time.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TypeVar

import msgspec

from tuimon.cli.common import send_orders
from tuimon.cli.common.choice import NO_ANSWER, named_or_live
from tuimon.cli.common.left_out_run import LEFT_OUT, let_run_be_left_out
from tuimon.cli.common.options import add_run
from tuimon.cli.common.safe_stream import ascii_json
from tuimon.errors import UsageError
from tuimon.protocol import commands, events, values
from tuimon.protocol.validation import what_is_wrong
from tuimon.runs import facts_in_words
from tuimon.runs.log.session_log import LogChangedError, Tail, encoder, newest_start, whole_end
from tuimon.runs.run_directory import RunDirectory
from tuimon.runs.state import RunState
from tuimon.text import plain

REJECTED = 1
DEFAULT_SECONDS = 60.0
"""Long enough for the trace that the first use of a mode costs a large model."""
WORKING_SECONDS = 600.0
"""For requests that the trainer works on before it answers."""
LOOK_SECONDS = 0.05
GONE_SECONDS = 1.0
"""How often to check that a trainer is left to answer."""
LATE_SECONDS = 1.0
"""How long an answer may take to be in the log when its request is gone from the directory."""

Value = TypeVar("Value")
Answer = events.CommandApplied | events.CommandRejected
Result = events.Probe | events.Recalibrated | events.Evaluated | events.CheckpointSaved | events.RolledBack
"""Facts that a request leads to, written right before its answer."""

_RESULTS: dict[type[commands.AnyRequest], type[Result]] = {
    commands.Probe: events.Probe,
    commands.Recalibrate: events.Recalibrated,
    commands.Evaluate: events.Evaluated,
    commands.Checkpoint: events.CheckpointSaved,
    commands.Rollback: events.RolledBack,
}
_WORKED_ON = (commands.Recalibrate, commands.Evaluate, commands.Probe)
_OF_A_MODE = (
    commands.Freeze | commands.Unfreeze | commands.Phase | commands.Momentum | commands.LearningRate | commands.Rollback
)
"""Requests whose effect the next step may show."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    run = add_run(parser, "the live run, if there is one alone")
    # Between an optional word and a request, argparse would guess.
    run.nargs, run.required, run.metavar = None, True, "[RUN]"
    let_run_be_left_out(parser)
    _add_common(parser, f"{DEFAULT_SECONDS:g}; recalibrate, evaluate and probe: {WORKING_SECONDS:g}")
    parser.set_defaults(timeout=None, json=False)
    requests = parser.add_subparsers(dest="request", metavar="REQUEST", required=True)
    for kind in (commands.Freeze, commands.Unfreeze):
        _add_freeze(_add_request(requests, kind), kind)
    _add_request(requests, commands.Phase).add_argument(
        "phase",
        choices=("auto", "train", "inference"),
        help="auto: as Keras does it; train: 1 everywhere; inference: 0 everywhere",
    )
    momentum = _add_request(requests, commands.Momentum)
    momentum.add_argument(
        "momentum", metavar="MOMENTUM", type=_spelled(values.momentum), help="from 0 (the last batch alone) to 1"
    )
    _add_layers(momentum)
    recalibrate = _add_request(requests, commands.Recalibrate)
    recalibrate.add_argument(
        "--batches", metavar="N", type=int, default=200, help="training batches to use (default: 200)"
    )
    recalibrate.add_argument(
        "--dry-run", action="store_true", help="only say what validation would give before and after"
    )
    _add_request(requests, commands.LearningRate).add_argument(
        "learning_rate",
        metavar="RATE",
        type=_spelled(values.learning_rate),
        help=f"a number above 0, or the word {values.SCHEDULE}: back to the optimizer's own",
    )
    for simple in (commands.Pause, commands.Resume, commands.Checkpoint, commands.Evaluate, commands.Probe):
        _add_request(requests, simple)
    _add_request(requests, commands.Snapshot)
    _add_request(requests, commands.Stop).add_argument(
        "--after", choices=("batch", "epoch"), default="batch", help="when (default: batch)"
    )
    _add_request(requests, commands.Rollback).add_argument(
        "checkpoint", metavar="NAME", nargs="?", default="", help="of the checkpoint (default: the newest)"
    )
    _add_request(requests, commands.Note).add_argument("text", metavar="TEXT", help="any text")
    send_orders.add_requests(partial(_add_request, requests))
    for request in requests.choices.values():
        # After the arguments of the request itself.
        seconds = _default_seconds(request.get_default("kind"))
        _add_common(request, f"{seconds:g}")


def execute(options: argparse.Namespace) -> int:
    """Send the request, print its answer, and return the exit code."""
    if options.timeout is not None and not options.timeout >= 0:
        raise UsageError("--timeout: expected a number of seconds")
    options.run = None if options.run == LEFT_OUT else options.run
    if send_orders.prepare(options):
        with closing(named_or_live(options, "tuimon send RUN order")) as run:
            return send_orders.list_orders(run, as_json=options.json)
    request = _request(options)
    with closing(named_or_live(options, f"tuimon send RUN {options.request}")) as run:
        return _send(run, request, options)


def _send(run: RunDirectory, request: commands.AnyRequest, options: argparse.Namespace) -> int:
    newest = newest_start(run.session_log)
    is_others = newest is not None and bool(newest.source)
    if is_others or run.is_gone(newest):
        why = "its log is another program's" if is_others else "its training is over"
        print(f"tuimon: {run.name}: {why}, nobody takes requests", file=sys.stderr)
        return NO_ANSWER
    seconds = _default_seconds(type(request)) if options.timeout is None else options.timeout
    request = commands.signed(request, attempt=newest.attempt if newest else None)
    answers = _Answers(run, request, newest)
    path = run.put_request(request)
    deadline = time.monotonic() + seconds
    try:
        run.require_arrived(path)
        answer = answers.wait(deadline) or _withdraw(run, path, answers, seconds)
    except KeyboardInterrupt:
        run.withdraw(path)
        raise
    if answer is None:
        return NO_ANSWER
    if answers.result is not None:
        _print(answers.result, as_json=options.json)
    _print(answer, as_json=options.json)
    if isinstance(answer, events.CommandRejected):
        return REJECTED
    if isinstance(request, _OF_A_MODE) and (verified := answers.wait_verified(deadline)):
        _print(verified, as_json=options.json)
    return 0


class _Answers:
    """Reads the answer to one request from the log, from now on.

    Args:
        run: The run.
        request: The request, before it is put.
        started: The attempt that takes it; None where that is not known.
    """

    def __init__(self, run: RunDirectory, request: commands.AnyRequest, started: events.RunStarted | None) -> None:
        self.result: Result | None = None
        """The fact that the request led to."""
        self.is_gone = False
        """True once it is proven that no trainer is left to answer."""
        self.trouble = ""
        """Why no answer can be read; empty while it can."""
        self._run, self._started = run, started
        self._request = request
        self._result_kind = _RESULTS.get(type(request))
        self._answer: Answer | None = None
        self._verified: events.CommandVerified | None = None
        self._is_verifiable = True
        self._tail = Tail(run.session_log)
        end, self._is_paused = whole_end(run.session_log)
        self._tail.skip_to(end)
        self._next_gone = time.monotonic() + GONE_SECONDS

    @property
    def is_paused(self) -> bool:
        """Whether training is paused, as the log says."""
        return self._is_paused

    def wait(self, deadline: float) -> Answer | None:
        """Return the answer, None where there is none by ``deadline``, a `time.monotonic`, or can be none."""
        self._read_until(lambda: self._answer is not None, deadline)
        return self._answer

    def wait_verified(self, deadline: float) -> events.CommandVerified | None:
        """Return the verification of the next step; None where there is none by ``deadline``."""
        # A paused run makes no next step until it is resumed.
        self._read_until(lambda: self._verified is not None or self._is_paused or not self._is_verifiable, deadline)
        return self._verified

    def _read_until(self, condition: Callable[[], bool], deadline: float) -> None:
        while not condition():
            # Asked before the log is read: the last look comes after the deadline and the trainer's last line.
            is_last = time.monotonic() >= deadline or self._look_whether_gone()
            try:
                for event in self._tail.read_all():
                    self._take(event)
            except LogChangedError as changed:
                self.trouble = changed.words
                return
            if is_last:
                return
            if not condition():
                time.sleep(LOOK_SECONDS)

    def _take(self, event: events.AnyEvent) -> None:
        match event:
            case events.CommandApplied() | events.CommandRejected() if event.id == self._request.id:
                self._answer = event
            case events.CommandVerified() if event.id == self._request.id:
                self._verified = event
            case events.StateChanged():
                self._is_paused = event.state == "paused"
            case events.Batches() if isinstance(self._answer, events.CommandApplied):
                # What the first step under the new mode showed is written before its numbers are.
                self._is_verifiable = event.first_step + event.batches <= self._answer.first_step
            case events.RunEnded():
                self._is_verifiable = False
            case (
                events.Probe()
                | events.Recalibrated()
                | events.Evaluated()
                | events.CheckpointSaved()
                | events.RolledBack()
            ):
                # The newest before the answer: others of its kind are of other requests.
                if self._answer is None and type(event) is self._result_kind:
                    self.result = event

    def _look_whether_gone(self) -> bool:
        if time.monotonic() >= self._next_gone:
            self._next_gone = time.monotonic() + GONE_SECONDS
            self.is_gone = self._run.is_gone(self._started)
        return self.is_gone


def _default_seconds(kind: type[commands.AnyRequest]) -> float:
    return WORKING_SECONDS if kind in _WORKED_ON else DEFAULT_SECONDS


def _add_common(parser: argparse.ArgumentParser, default: str) -> None:
    # Before or after the request: neither place may overwrite the other with its default.
    parser.add_argument(
        "--timeout",
        type=float,
        metavar="S",
        default=argparse.SUPPRESS,
        help=f"seconds to wait for the answer (default: {default})",
    )
    parser.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="print the facts, one a line")


def _add_request(
    requests: "argparse._SubParsersAction[argparse.ArgumentParser]", kind: type[commands.AnyRequest]
) -> argparse.ArgumentParser:
    text = (kind.__doc__ or "").strip()
    parser = requests.add_parser(str(kind.__struct_config__.tag), help=text.rstrip("."), description=text)
    parser.set_defaults(
        kind=kind, fields=[name for name in kind.__struct_fields__ if name not in commands.Request.__struct_fields__]
    )
    return parser


def _add_freeze(request: argparse.ArgumentParser, kind: type[commands.Freeze | commands.Unfreeze]) -> None:
    _add_layers(request)
    which = request.add_mutually_exclusive_group()
    undone = kind is commands.Unfreeze
    which.add_argument(
        "--statistics",
        action="store_true",
        help="only what --statistics froze"
        if undone
        else "hold only the moving statistics; gamma and beta go on learning",
    )
    which.add_argument(
        "--weights",
        action="store_true",
        help="any layers, not BatchNormalization alone" + ("" if undone else "; needs --layer"),
    )


def _add_layers(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--layer",
        metavar="GLOB",
        dest="layers",
        action="append",
        default=[],
        help="a layer, by its path or the last part of it; may be repeated (default: all of BatchNormalization)",
    )


def _spelled(read: Callable[[str], Value]) -> Callable[[str], Value]:
    """Return ``read`` with its errors as argparse's."""

    def argument(text: str) -> Value:
        try:
            return read(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return argument


def _request(options: argparse.Namespace) -> commands.AnyRequest:
    fields = {name: getattr(options, name) for name in options.fields}
    if options.kind is commands.Freeze and options.weights and not options.layers:
        raise UsageError("freeze: argument --weights: needs --layer GLOB")
    try:
        request: commands.AnyRequest = msgspec.convert({"command": options.request, **fields}, options.kind)
        commands.encode(request)
    except msgspec.ValidationError as error:
        place, words = what_is_wrong(error)
        argument = _TYPED_AS.get(place.partition("[")[0])
        raise UsageError(f"{options.request}: {f'argument {argument}: ' if argument else ''}{words}") from None
    except UnicodeError as error:
        raise UsageError(f"{options.request}: {error}") from None
    return request


_TYPED_AS = {"layers": "--layer", "batches": "--batches", "text": "TEXT", "checkpoint": "NAME"}
"""Fields of requests, and the arguments that give them."""


def _withdraw(run: RunDirectory, path: Path, answers: _Answers, seconds: float) -> Answer | None:
    why = "its training is over" if answers.is_gone else f"no answer in {seconds:g} s"
    if answers.is_paused and not answers.is_gone:
        why += "; training is paused, and this request waits for it to go on (`resume`)"
    if answers.trouble:
        why = f"{answers.trouble}: no answer can be read"
    if not run.withdraw(path):
        if answers.trouble:
            print(f"tuimon: {why}; whether the request comes into force is not known", file=sys.stderr)
            return None
        # The trainer was quicker. Its answer is in the log, or about to be.
        answer = answers.wait(time.monotonic() + LATE_SECONDS)
        if answer is None:
            taken = "the trainer has taken the request"
            # A trainer on another machine is never known to be gone.
            taken += " and was gone before it answered" if answers.is_gone else ", it may still come into force"
            print(f"tuimon: {why}; {taken}", file=sys.stderr)
        return answer
    print(f"tuimon: {why}; the request is withdrawn, it will not come into force", file=sys.stderr)
    return None


def _print(fact: Answer | Result | events.CommandVerified, *, as_json: bool) -> None:
    if as_json:
        print(ascii_json(json.loads(encoder.encode(fact)), indent=None), flush=True)
        return
    match fact:
        case events.CommandApplied():
            said = facts_in_words.applied(fact.traced_seconds, fact.detail, at_step=fact.first_step)
        case events.CommandRejected():
            said = facts_in_words.rejected(fact.reason)
        case events.CommandVerified():
            said = facts_in_words.verified(fact)
        case _:
            said = facts_in_words.of(fact, RunState())
    print(plain(said, limit=2000), flush=True)
