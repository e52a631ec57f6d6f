"""The page about a run, as lines. Values are those of the log; “–” stands for unknown ones."""

import shlex
import time
from collections.abc import Iterator

from tuimon.diagnosis import time_split
from tuimon.numbers import count, duration, learning_rate, number, percent, setting
from tuimon.protocol import events
from tuimon.protocol.wire import from_wire
from tuimon.runs.facts_in_words import size
from tuimon.text import plain
from tuimon.ui.drawing.scrolled_view import ScrolledView, TextLine, named, wrapped
from tuimon.ui.screens.run_info.run_files import RunFiles
from tuimon.ui.viewer.meanings import Meaning
from tuimon.ui.viewer.moment import Moment

_NAME_WIDTH = 28
_UNKNOWN = "–"
_MOST_TEXT = 4000

TextDialog = tuple[str, str, Meaning]
"""A name, its value, and the value's colour. Without a name it is a line of text."""


class RunView(ScrolledView):
    """The page, in sections."""

    def __init__(self) -> None:
        super().__init__()
        self._files: RunFiles | None = None

    def take(self, files: RunFiles) -> None:
        """Show the files of the run directory."""
        self._files = files
        self.redraw()

    def title(self, moment: Moment) -> str:
        """Return the run's name."""
        return plain(moment.state.run.name if moment.state.run else moment.run_path.name, 80)

    def lines(self, moment: Moment, width: int) -> list[TextLine]:
        """Return all sections."""
        shown: list[TextLine] = []
        for heading, entries in self._sections(moment):
            if shown:
                shown.append([])
            shown.append([(heading, int(Meaning.TITLE))])
            for name, value, meaning in entries:
                if name:
                    shown += named(f"  {name}", value, width, name_width=_NAME_WIDTH, code=meaning)
                else:
                    shown += [[(f"  {line}", int(meaning))] for line in wrapped(value, width - 2)]
        return shown

    def _sections(self, moment: Moment) -> Iterator[tuple[str, list[TextDialog]]]:
        yield "Run", list(self._run(moment))
        yield "Versions", list(_versions(moment))
        yield "Model", list(_model(moment))
        yield "Fit", list(_fit(moment))
        if moment.state.orders.all:
            yield "Standing orders", list(_orders(moment))
        yield "Best values", list(_best(moment))
        yield "Accepted requests", list(_can(moment))
        yield "Overhead of monitoring", list(_overhead(moment))
        yield "Checkpoints", list(_checkpoints(moment))
        yield "Attempts", list(_attempts(moment))
        yield "Log", list(_log(moment))
        yield "Config", list(self._config(moment))

    def _run(self, moment: Moment) -> Iterator[TextDialog]:
        run, files = moment.state.run, self._files
        yield _entry("name", run.name if run else None)
        yield _entry("path", moment.remote or str(moment.run_path))
        yield _entry("command line", shlex.join(files.command) if files and files.command else None)
        yield _entry("host", run.host if run else None)
        yield _entry("pid", str(run.pid) if run else None)
        yield _entry("user", files.user if files else None)
        yield _entry("state", moment.status)
        if run is not None and run.source:
            yield _entry("read from", run.source)
        yield _entry("started", _date(run.time) if run else None)

    def _config(self, moment: Moment) -> Iterator[TextDialog]:
        if self._files is None:
            yield "", "Reading…", Meaning.DIM
        elif self._files.config is not None:
            for line in self._files.config.splitlines():
                meaning = Meaning.TITLE if line.startswith("[") else Meaning.TEXT
                yield "", plain(line, _MOST_TEXT), meaning
        elif moment.state.run is not None and moment.state.run.config:
            yield from _table(moment.state.run.config)
        else:
            yield "", "None: a script of your own trains, without tuimon run.", Meaning.DIM


def _versions(moment: Moment) -> Iterator[TextDialog]:
    for name, version in (moment.state.run.versions if moment.state.run else {}).items():
        yield _entry(plain(name, 30), version)
    yield _entry("protocol", str(moment.state.run.protocol) if moment.state.run else None)


def _model(moment: Moment) -> Iterator[TextDialog]:
    state, model = moment.state, moment.state.model
    yield _entry("name", model.name if model else None)
    yield _entry("parameters", count(model.parameters) if model else None)
    yield _entry("trainable", count(model.trainable_parameters) if model else None)
    layers = model.batch_norm_layers if model else []
    yield _entry("BatchNormalization", count(len(layers)) if model else None)
    for layer in layers:
        momentum = state.momentum.get(layer.path, layer.momentum)
        marks = "" if layer.trainable else ", trainable=False"
        marks += ", synchronized" if layer.synchronized else ""
        words = (
            f"{count(layer.channels)} channels, momentum {setting(momentum)}, epsilon {setting(layer.epsilon)}{marks}"
        )
        yield "", f"  {plain(layer.path, 200)}: {words}", Meaning.TEXT
    others = model.other_layers if model else []
    yield _entry("other train-time layers", ", ".join(others) or ("none" if model else None))


def _fit(moment: Moment) -> Iterator[TextDialog]:
    state, fit = moment.state, moment.state.fit
    is_others = state.run is not None and bool(state.run.source)
    if fit is None or is_others:
        yield "", "The log of another program does not tell." if is_others else "Training has not begun.", Meaning.DIM
        return
    yield _entry("optimizer", fit.optimizer)
    epochs = _count(fit.epochs) + (f", from {fit.initial_epoch + 1}" if fit.initial_epoch else "")
    if state.fits.are_several and (planned := state.fits.epochs_planned(fit)) is not None:
        epochs += f" in the newest fit, {count(planned)} in all"
    yield _entry("epochs", epochs)
    yield _entry("steps per epoch", _count(fit.steps_per_epoch))
    last = f", the last one {count(fit.last_batch_size)}" if fit.last_batch_size else ""
    yield _entry("batch size", _count(fit.batch_size) + last)
    yield _entry("XLA", "yes" if fit.jit_compile else "no")
    yield _entry("learning rate", None if state.learning_rate is None else learning_rate(state.learning_rate))
    yield _entry("learning phase", state.phase)
    yield _entry("frozen", ", ".join(sorted(state.frozen)) or "none")
    yield _entry("statistics held", ", ".join(sorted(state.statistics_held)) or "none")
    yield _entry("weights frozen", ", ".join(sorted(state.frozen_weights)) or "none")
    if shares := state.time_split.shares:
        yield _entry("where the time goes", time_split.line(shares))


def _orders(moment: Moment) -> Iterator[TextDialog]:
    for given in moment.state.orders.all.values():
        meaning = Meaning.TEXT if given.stands else Meaning.DIM
        yield f"order {given.number}", plain(f"{given.text}: {given.words}", _MOST_TEXT), meaning
        if given.firings:
            yield "", f"  the last time, as {plain(given.firings[-1].why, 300)}", Meaning.DIM


def _best(moment: Moment) -> Iterator[TextDialog]:
    values = moment.state.best.values
    if not values:
        ended = "none of the metrics is known to be better higher, or better lower"
        yield "", f"None: {ended if moment.state.epochs_ended else 'no epoch has ended'}.", Meaning.DIM
    for name in [name for name in moment.state.epoch_metrics if name not in values]:
        if left_out := moment.state.best.left_out(name):
            yield _entry(plain(name, 100), f"–; {plain(left_out, 200)}")
    for name, best in values.items():
        where = f"{moment.state.fits.epoch_words(best.epoch, best.step)}, step {count(best.step)}"
        yield _entry(plain(name, 100), f"{number(best.value)}, {where}")
        if left_out := moment.state.best.left_out(name):
            yield "", f"  {plain(left_out, 200)}", Meaning.DIM


def _can(moment: Moment) -> Iterator[TextDialog]:
    if moment.state.fit is None:
        yield "", "They are known once training begins.", Meaning.DIM
        return
    for name, reason in moment.state.fit.can.items():
        yield plain(name, 20), f"no: {plain(reason)}" if reason else "yes", Meaning.WARNING if reason else Meaning.GOOD


def _overhead(moment: Moment) -> Iterator[TextDialog]:
    overhead = moment.state.overhead
    if overhead is None:
        yield "", "Not measured yet.", Meaning.DIM
        return
    yield _entry("share of time", f"{percent(from_wire(overhead.share), 2)}, without what comes once")
    for name, seconds in overhead.parts.items():
        once = ", once" if name in events.ONCE else ""
        yield _entry(plain(name, 30), f"{number(from_wire(seconds), 3)} s{once}")


def _checkpoints(moment: Moment) -> Iterator[TextDialog]:
    if not moment.state.checkpoints:
        yield "", "None.", Meaning.DIM
    for saved in reversed(moment.state.checkpoints.values()):
        words = f"step {count(saved.step)}, epoch {count(saved.epoch + 1)}, {size(saved.size_bytes)}"
        words += f", {_date(saved.time)}, {plain(saved.reason, 200)}"
        yield "", f"{plain(saved.name, 200)}: {words}", Meaning.TEXT


def _attempts(moment: Moment) -> Iterator[TextDialog]:
    starts = [entry for entry in moment.state.timeline if isinstance(entry, events.RunStarted)]
    if not starts:
        yield "", "None yet.", Meaning.DIM
    for started in starts:
        yield _entry(str(started.attempt + 1), f"{_date(started.time)}, {started.host}, pid {started.pid}")
    yield _entry("fits", count(len(moment.state.fits.all)))
    for name, words in moment.state.fits.described(moment.state.step):
        yield _entry(name, words)


def _log(moment: Moment) -> Iterator[TextDialog]:
    state = moment.state
    yield _entry("facts", count(state.last_seq + 1))
    yield _entry("newest fact", None if state.last_time is None else _date(state.last_time))
    if state.run is not None and state.last_time is not None:
        yield _entry("this attempt so far", duration(state.last_time - state.run.time))
    dropped = ", ".join(f"{count(number)} {plain(kind, 40)}" for kind, number in state.dropped.items())
    yield "dropped facts", dropped or "none", Meaning.WARNING if dropped else Meaning.TEXT
    for words in moment.unread:
        yield "", words, Meaning.WARNING


def _table(table: dict[str, object], indent: str = "") -> Iterator[TextDialog]:
    for name, value in table.items():
        if isinstance(value, dict):
            yield "", f"{indent}[{plain(name, 100)}]", Meaning.TITLE
            yield from _table(value, indent)
        else:
            yield "", f"{indent}{plain(name, 100)} = {plain(str(value), _MOST_TEXT)}", Meaning.TEXT


def _entry(name: str, value: str | None) -> TextDialog:
    return name, plain(value, _MOST_TEXT) if value else _UNKNOWN, Meaning.TEXT if value else Meaning.DIM


def _count(value: int | None) -> str:
    return _UNKNOWN if value is None else count(value)


def _date(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))
