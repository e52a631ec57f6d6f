"""The output of the training process, whole lines wrapped: its end, or the place that was scrolled to."""

import re

from tuimon.numbers import percent
from tuimon.runs.facts_in_words import size
from tuimon.text import is_tensorflow_information, plain
from tuimon.ui.drawing.cell_view import draw_panel
from tuimon.ui.drawing.cells import Cells, cell_width, wrap
from tuimon.ui.drawing.lines_view import LinesView
from tuimon.ui.screens.trainer_log.log_reader import LogChanged, LogRead, LogReader, LogSearched
from tuimon.ui.screens.trainer_log.log_window import BLOCK_BYTES, LogWindow, pattern_of
from tuimon.ui.viewer.meanings import SELECTED, Meaning
from tuimon.ui.viewer.moment import Moment

_NEAR = 200
"""With fewer lines at hand before or after the visible ones, more are read."""
_MARGIN = 2


class LogView(LinesView):
    """The lines. The view reads no file: it asks a reader for lines that it lacks."""

    def __init__(self) -> None:
        super().__init__()
        self._reader: LogReader | None = None
        self._window = LogWindow()
        self._log_bytes: int | None = None
        self._reason = ""
        self._waits = False
        self._follows = True
        self._has_older = False
        self._wants_begin = False
        self._top = (0, 0)
        self._words = ""
        self._pattern: re.Pattern[str] | None = None
        self._found: int | None = None
        self._said = ""

    def read_with(self, reader: LogReader) -> None:
        """Ask this reader for lines from now on."""
        self._reader = reader

    def changed(self, message: LogChanged) -> None:
        """Take in the new size of the log."""
        if message.is_other or message.size is None:
            self._window, self._follows, self._found, self._waits = LogWindow(), True, None, False
        self._log_bytes, self._reason, self._has_older = message.size, message.reason, message.has_older
        self._ask_for_more()
        self.redraw()

    def take(self, message: LogRead) -> None:
        """Show lines that were read."""
        self._waits = False
        if message.is_end and not self._follows:
            return
        self._window.take(message.block)
        if self._wants_begin and self._window.start == 0:
            self._wants_begin, self._top = False, (0, 0)
        self._ask_for_more()
        self.redraw()

    def found(self, message: LogSearched) -> None:
        """Go to the line that was searched for."""
        if message.words != self._words:
            return
        if message.offset is None and message.back and self._found is None:
            # The first search found nothing above: search below.
            self.next_match(1)
            return
        where = "above" if message.back else "below"
        self._said = "" if message.offset is not None else "not found" if self._found is None else f"no more {where}"
        if message.offset is not None:
            self._found, self._follows = message.offset, False
            index = self._window.index_at(message.offset)
            first = self._back(index, 0, self.page // 2)
            self._top = self._window.lines[first[0]].offset, first[1]
            self._ask_for_more()
        self.redraw()

    def search(self, words: str) -> None:
        """Mark ``words`` in the visible lines."""
        self._words, self._found, self._said = words, None, ""
        self._pattern = pattern_of(words) if words else None
        if self._reader is not None:
            self._reader.give_up()
        self.redraw()

    def next_match(self, by: int) -> None:
        """Go to the next line that holds the words; with -1, to the one before."""
        if not self._words or self._reader is None or not self._window.lines:
            return
        back = by < 0
        if self._found is not None:
            line = self._window.lines[self._window.index_at(self._found)]
            offset = line.offset if back else line.end
        else:
            index, _ = self._place(self._top)
            shown = self._rows(index, 0, self.page)
            offset = self._window.lines[shown[-1][0]].end if back else self._window.lines[index].offset
        self._said = "searching…"
        self._reader.search(self._words, offset, back=back)
        self.redraw()

    def move(self, by: int) -> None:
        """Scroll by rows. Scrolled back, it no longer follows the end; at the end it follows again."""
        if not self._window.lines or not by:
            return
        index, part = self._place(self._top)
        if by < 0:
            self._follows = False
            index, part = self._back(index, part, -by)
        elif not self._follows:
            rows = self._rows(index, part, by + self.page)
            if len(rows) < by + self.page and self._window.end >= (self._log_bytes or 0):
                self._follows = True
            elif rows:
                index, part = rows[max(0, min(by, len(rows) - self.page))][:2]
        self._top = self._window.lines[index].offset, part
        self._ask_for_more()
        self.redraw()

    def to_first(self) -> None:
        """Go to the beginning of the log."""
        self._follows = False
        self._top = (0, 0)
        if self._window.start > 0 and self._reader is not None:
            self._wants_begin = self._waits = True
            self._reader.read_from(0)
        self.redraw()

    def to_last(self) -> None:
        """Go to the end of the log and follow it."""
        self._follows, self._wants_begin = True, False
        self._ask_for_more()
        self.redraw()

    def draw(self, cells: Cells, moment: Moment) -> None:
        """Draw the visible lines, with the words that were searched for."""
        draw_panel(cells, "trainer.log", self._extra(moment))
        if not self._window.lines:
            for row, text in enumerate(wrap(self._empty_words(moment), max(1, cells.width - 8)), start=2):
                if row < cells.height - 1:
                    cells.put(row, 4, text, Meaning.DIM)
            return
        if self._follows:
            first = self._back(len(self._window.lines), 0, self.page)
            self._top = self._window.lines[first[0]].offset, first[1]
        shown = self._rows(*self._place(self._top), max(0, cells.height - 2))
        for row, (index, _, begin, text) in enumerate(shown, start=1):
            line = self._window.lines[index]
            code = SELECTED if line.offset == self._found else 0
            cells.codes[row, 1:-1] = code
            if code and begin == 0:
                cells.put(row, 1, "›", Meaning.STRONG | code)
            meaning = Meaning.DIM if is_tensorflow_information(line.text) else Meaning.TEXT
            cells.put(row, _MARGIN, text, meaning | code)
            for match in self._pattern.finditer(line.text) if self._pattern is not None else ():
                left, right = max(match.start(), begin), min(match.end(), begin + len(text))
                if left < right:
                    column = _MARGIN + cell_width(text[: left - begin])
                    cells.put(row, column, text[left - begin : right - begin], Meaning.MATCH)

    def _extra(self, moment: Moment) -> list[tuple[str, int]]:
        # Where not all fit, the first ones are left out.
        extra: list[tuple[str, int]] = []
        if _console(moment) == "python":
            extra.append(("Python's output, not that of C libraries", int(Meaning.DIM)))
        if self._log_bytes and self._window.lines:
            if self._follows:
                extra.append((f"{size(self._log_bytes)}, following", int(Meaning.DIM)))
            else:
                share = percent(self._top[0] / self._log_bytes, 0)
                extra.append((f"at {share} of {size(self._log_bytes)}, end follows", int(Meaning.DIM)))
        if self._has_older:
            extra.append(("older lines are in trainer.log.1", int(Meaning.WARNING)))
        if self._words:
            extra.append((f"“{plain(self._words, 40)}” {self._said}".rstrip(), int(Meaning.COMMAND)))
        return extra

    def _empty_words(self, moment: Moment) -> str:
        if self._reason:
            return f"trainer.log cannot be read: {plain(self._reason)}"
        if self._log_bytes is None:
            if self._reader is None or self._waits:
                return "Reading…"
            return _missing_words(moment)
        return "The training process has printed nothing yet." if self._log_bytes == 0 else "Reading…"

    def _ask_for_more(self) -> None:
        """Ask for the lines that are about to be shown."""
        if self._reader is None or self._waits or not self._log_bytes:
            return
        end, is_behind = self._window.end, self._window.end < self._log_bytes
        if not self._window.lines or (self._follows and self._log_bytes - end > 2 * BLOCK_BYTES):
            self._waits = True
            self._reader.read_end()
            return
        index, _ = self._place(self._top)
        last = len(self._window.lines) - index
        if is_behind and (self._follows or last < _NEAR + self.page):
            self._waits = True
            # From the last line on: it may have been read without its end.
            self._reader.read_from(self._window.lines[-1].offset)
        elif self._window.start > 0 and index < _NEAR:
            self._waits = True
            self._reader.read_before(self._window.start)

    def _place(self, top: tuple[int, int]) -> tuple[int, int]:
        """Return line and row within it, of an offset in the file and a row."""
        index = self._window.index_at(top[0])
        return index, top[1] if self._window.lines and self._window.lines[index].offset == top[0] else 0

    def _back(self, index: int, part: int, by: int) -> tuple[int, int]:
        """Return line and row within it, ``by`` rows before these; the first ones if there are fewer."""
        while by > 0 and (part > 0 or index > 0):
            if part == 0:
                index -= 1
                part = len(self._parts(index))
            step = min(by, part)
            part, by = part - step, by - step
        return index, part

    def _rows(self, index: int, part: int, count: int) -> list[tuple[int, int, int, str]]:
        """Return rows: line, row within it, where its text begins in the line, text."""
        rows: list[tuple[int, int, int, str]] = []
        while index < len(self._window.lines) and len(rows) < count:
            rows += [(index, number, *row) for number, row in enumerate(self._parts(index)) if number >= part]
            index, part = index + 1, 0
        return rows[:count]

    def _parts(self, index: int) -> list[tuple[int, str]]:
        """Return the rows of a line: where each begins in the line, and its text."""
        return rows_of(self._window.lines[index].text, max(2, self.size.width - 2 * _MARGIN))


def _console(moment: Moment) -> str:
    """Return what the run's log says that `trainer.log` holds."""
    return moment.state.run.console if moment.state.run is not None else ""


def _missing_words(moment: Moment) -> str:
    """Return why there is no `trainer.log`."""
    if moment.remote:
        return f"What the trainer printed is not copied from the other machine: {moment.remote}/trainer.log"
    no_file = f"There is no {moment.run_path / 'trainer.log'}"
    match _console(moment):
        case "off":
            return f"{no_file}: the script has Monitor(console=False), and prints to its own terminal alone."
        case "python":
            return (
                f"{no_file}: the script has printed nothing while it trained. Libraries in C, such as TensorFlow's own "
                "messages, print to its terminal alone."
            )
        case "process":
            return f"{no_file}, though tuimon started this run: it was removed, or not copied."
    return (
        f"{no_file}. Runs that tuimon starts have one; a script of your own that an older tuimon watched prints to the "
        "terminal in which it was started."
    )


def rows_of(text: str, width: int) -> list[tuple[int, str]]:
    """Return ``text`` in rows of at most ``width`` cells, broken between words where that leaves them half full.

    Returns:
        Where each row begins in the text, and its text; at least one.

    Example:
        >>> rows_of("loss: 0.25 acc: 0.5", 12)
        [(0, 'loss: 0.25 '), (11, 'acc: 0.5')]
    """
    rows, begin = [], 0
    while begin < len(text):
        end = begin + width
        while end > begin + 1 and cell_width(text[begin:end]) > width:
            end -= 1
        if end < len(text):
            end = text.rfind(" ", begin + (end - begin) // 2, end) + 1 or end
        rows.append((begin, text[begin:end]))
        begin = end
    return rows or [(0, "")]
