"""A run directory with the facts of another program's log, and how it follows that log."""

import os
import threading
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import msgspec

from tuimon.atomic_file import whole_file
from tuimon.errors import UsageError
from tuimon.foreign.curves import ForeignLog
from tuimon.foreign.facts import Translator
from tuimon.foreign.fits import FitsTranslator
from tuimon.foreign.sources import Found, Source, Tell
from tuimon.foreign.tables import NotATableError
from tuimon.protocol.events import AnyEvent
from tuimon.runs.run_directory import RunDirectory
from tuimon.temporary import temporary_directory

LOOK_SECONDS = 0.5
"""How often a log is looked at that may grow."""
_LONGEST_NAME = 60
"""Characters of a directory's name: file systems limit the bytes."""
_encoder = msgspec.json.Encoder()


def import_run(found: Found, runs_directory: Path, name: str, tell: Tell | None = None) -> RunDirectory:
    """Make a run of a log, whole or not at all, and return it.

    Args:
        found: The log.
        runs_directory: Where the run is made.
        name: What it is called.
        tell: Is told how many bytes of how many are read, now and then.

    Raises:
        UsageError: the log holds no number, or the run cannot be made.
        OSError: the log cannot be read, or the run not be written.
    """
    source = _read(found, tell)
    translator = _translator(source.log, name)
    facts = [*translator.begin(), *translator.new(is_settled=True)]
    run = RunDirectory.create(runs_directory, name)
    try:
        _write(run.session_log, facts)
    except BaseException:
        run.remove_if_empty()
        raise
    # Lists sort by it: an old training is not the newest one because it was imported today.
    newest = max(fact.time for fact in facts)
    with suppress(OSError):
        os.utime(run.session_log, (newest, newest))
    return run


class Followed:
    """A log that is shown as a run: facts in a directory for a while, which follows the log as it grows.

    Args:
        found: The log.
        tell: Is told how many bytes of how many are read, now and then, before it is shown.

    Raises:
        UsageError: it holds no number.
        OSError: it cannot be read.

    Example:
        ```python
        followed = Followed(find_one(Path("logs"), "tuimon watch"))
        followed.begin()
        WatchApp(followed.run).run()
        followed.close()
        ```
    """

    def __init__(self, found: Found, tell: Tell | None = None) -> None:
        self._name = found.name
        self._source = _read(found, tell)
        self._directory = temporary_directory()
        self._translator = _translator(self._source.log, self._name)
        self._had_news = True
        self._times = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="foreign log", daemon=True)
        self.run = RunDirectory.at(Path(self._directory.name) / (found.name[:_LONGEST_NAME] or "log"))
        """The run with the facts so far."""
        self._write_whole(is_settled=True)

    def begin(self) -> None:
        """Follow the log from now on, in a thread."""
        self._thread.start()

    def close(self) -> None:
        """Follow no longer, and remove the directory."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        self._directory.cleanup()

    def look(self) -> None:
        """Translate what is new in the log.

        Raises:
            OSError: it cannot be written.
        """
        has_news = self._source.read()
        if not has_news and not self._had_news:
            return
        if self._translator.is_void:
            # What is shown must not stay: readers of the run see that its log is another one.
            self._translator = _translator(self._source.log, self._name)
            self._write_whole(is_settled=not has_news)
        else:
            self._append(self._translator.new(is_settled=not has_news))
        self._had_news = has_news

    def _write_whole(self, *, is_settled: bool) -> None:
        facts = [*self._translator.begin(), *self._translator.new(is_settled=is_settled)]
        _write(self.run.session_log, facts, begin="\n" * self._times)
        self._times += 1

    def _append(self, facts: Iterable[AnyEvent]) -> None:
        if lines := b"".join(_encoder.encode(fact) + b"\n" for fact in facts):
            with self.run.session_log.open("ab") as file:
                file.write(lines)

    def _follow(self) -> None:
        while not self._stop.wait(LOOK_SECONDS):
            # What cannot be read now may be readable later; what was read is shown.
            with suppress(OSError, NotATableError):
                self.look()


def _translator(log: ForeignLog, name: str) -> Translator | FitsTranslator:
    return FitsTranslator(log, name) if log.parts else Translator(log, name)


def _read(found: Found, tell: Tell | None = None) -> Source:
    source = found.open()
    try:
        source.read(tell)
    except NotATableError as error:
        raise UsageError(f"{found.path}: {error}") from error
    if source.log.is_empty:
        troubles = "".join(f" {path}: {words}." for path, words in sorted(source.log.troubles.items())[:3])
        raise UsageError(f"{found.path}: the {source.log.what} holds no number yet.{troubles}")
    return source


def _write(path: Path, facts: Iterable[AnyEvent], begin: str = "") -> None:
    """Write a log, whole or not at all.

    Args:
        path: The log.
        facts: Its facts.
        begin: Blank lines, as many as logs were there before: a reader knows a log by its first bytes.
    """
    with whole_file(path, permissions=0o600) as file:
        file.write(begin)
        for fact in facts:
            file.write(_encoder.encode(fact).decode() + "\n")
