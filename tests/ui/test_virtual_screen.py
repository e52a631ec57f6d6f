"""Only the cells that differ are sent, not all at once, and what they add up to is the screen."""

import io
import unicodedata
from collections.abc import Sequence
from unittest.mock import patch

import numpy as np
import pyte
from hypothesis import example, given
from hypothesis import strategies as st
from pyte.screens import wcwidth
from rich.cells import get_character_cell_size, split_graphemes
from rich.color import ColorSystem
from rich.console import Console
from rich.segment import Segment
from rich.style import Style
from textual._compositor import ChopsUpdate, LayoutUpdate
from textual.geometry import Region
from textual.strip import Strip

from tuimon.ui.terminal.virtual_screen import Frame, VirtualScreen
from tuimon.ui.terminal.widths import WIDTHS

COLUMNS, ROWS = 12, 3
COLORS = ColorSystem.TRUECOLOR
RED, BLUE = Style(color="#ff0000"), Style(color="#0000ff")
STYLES = [None, RED, BLUE + Style(bold=True), Style(bgcolor="#00ff00", dim=True), Style(bold=True, underline=True)]
UNSURE = ["👍🏽", "🇩🇪", "❤\ufe0f", "क्ष", "☂"]
PIECES = ["a", "loss ", "é", "層", "⣿⡇", "█", " "]

Put = tuple[int, int, str, int]
"""Row, column, text, number of the style."""


class Terminal:
    """What a terminal shows of what it was sent."""

    def __init__(self) -> None:
        self.screen = pyte.Screen(COLUMNS, ROWS)
        self._stream = pyte.Stream(self.screen)

    def show(self, written: str) -> None:
        self._stream.feed(written)

    @property
    def cells(self) -> list[list[tuple[str, str, str, bool, bool]]]:
        return [
            [
                (cell.data, cell.fg, cell.bg, cell.bold, cell.underscore)
                for cell in (self.screen.buffer[row][column] for column in range(COLUMNS))
            ]
            for row in range(ROWS)
        ]


def screen_of(puts: Sequence[Put]) -> VirtualScreen:
    screen = VirtualScreen()
    screen.resize(COLUMNS, ROWS)
    for row, column, text, style in puts:
        screen.put(row, column, Strip([Segment(text, STYLES[style])]).crop(0, COLUMNS - column))
    return screen


def put_whole(screen: VirtualScreen, put: Put) -> None:
    row, column, text, style = put
    blank = Segment(" " * column)
    screen.put(row, 0, Strip([blank, Segment(text, STYLES[style])]).adjust_cell_length(COLUMNS))


def show_rest(screen: VirtualScreen, terminal: Terminal, size: int, *, pieces: int) -> None:
    """Send what is left, in so many pieces at most."""
    while screen.is_behind:
        assert pieces > 0
        terminal.show(screen.changes(COLORS, size))
        pieces -= 1


def puts_of(pieces: list[str]) -> st.SearchStrategy[list[Put]]:
    one = st.tuples(
        st.integers(0, ROWS - 1),
        st.integers(0, COLUMNS - 1),
        st.lists(st.sampled_from(pieces), max_size=8).map("".join),
        st.integers(0, len(STYLES) - 1),
    )
    return st.lists(one, max_size=12)


@given(puts_of(PIECES), st.lists(st.integers(1, 60), min_size=1, max_size=20))
@example([(0, 0, "層層層", 1), (0, 1, "層層層", 1)], [10])
@example([(0, 10, "層", 0), (0, 0, "a" * 12, 2)], [1])
def test_pieces_of_any_size_add_up_to_the_screen(puts: list[Put], sizes: list[int]) -> None:
    screen, terminal, whole = VirtualScreen(), Terminal(), Terminal()
    screen.resize(COLUMNS, ROWS)
    last: dict[int, Put] = {}
    for number, put in enumerate(puts):
        put_whole(screen, put)
        last[put[0]] = put
        terminal.show(screen.changes(COLORS, sizes[number % len(sizes)]))
    show_rest(screen, terminal, sizes[0], pieces=3 * COLUMNS * ROWS)
    fresh = VirtualScreen()
    fresh.resize(COLUMNS, ROWS)
    for put in last.values():
        put_whole(fresh, put)
    whole.show(fresh.changes(COLORS, 1_000_000))
    assert terminal.cells == whole.cells


@given(puts_of([*PIECES, *UNSURE]), st.lists(st.integers(1, 60), min_size=1, max_size=20), st.integers(0, 2))
def test_where_the_terminal_takes_other_widths_all_else_is_in_its_place(
    puts: list[Put], sizes: list[int], width: int
) -> None:
    def taken(character: str) -> int:
        """Return how many cells this terminal takes for it."""
        is_unsure = any(character in piece for piece in UNSURE) and unicodedata.category(character)[0] != "M"
        return width if is_unsure else wcwidth(character)

    screen, terminal = VirtualScreen(), Terminal()
    screen.resize(COLUMNS, ROWS)
    wanted = [" " * COLUMNS] * ROWS
    # Textual tells the terminal not to go on in the next line.
    terminal.show("\x1b[?7l")
    with patch.object(pyte.screens, "wcwidth", taken):
        for number, put in enumerate(puts):
            put_whole(screen, put)
            wanted[put[0]] = Strip([Segment(" " * put[1] + put[2])]).adjust_cell_length(COLUMNS).text
            terminal.show(screen.changes(COLORS, sizes[number % len(sizes)]))
        show_rest(screen, terminal, sizes[0], pieces=6 * COLUMNS * ROWS)
    for row, text in enumerate(wanted):
        column = 0
        for first, last, size in split_graphemes(text)[0]:
            if all(character not in piece for piece in UNSURE for character in text[first:last]):
                assert terminal.screen.buffer[row][column].data == text[first:last]
            column += size


def test_all_agree_about_widths_that_are_taken_for_sure() -> None:
    known = WIDTHS[: ord("\N{REPLACEMENT CHARACTER}")]
    for code in np.flatnonzero(known).tolist():
        assert wcwidth(chr(code)) == get_character_cell_size(chr(code)) == known[code], hex(code)
        assert chr(code).isprintable()
    for character in "👍🇩\u0301\u200d\ufe0f\x1b\n⚠❤":
        assert WIDTHS[ord(character)] == 0


def test_what_the_terminal_shows_already_is_not_sent() -> None:
    screen = screen_of([(0, 0, "epoch 7", 1)])
    screen.changes(COLORS, 1000)
    assert not screen.is_behind
    screen.put(0, 0, Strip([Segment("epoch 7", RED)]))
    assert screen.changes(COLORS, 1000) == ""
    screen.put(0, 0, Strip([Segment("epoch 8", RED)]))
    assert screen.changes(COLORS, 1000) == "\x1b[1;7H\x1b[38;2;255;0;0m8\x1b[0m"


def test_a_style_that_differs_only_in_what_is_not_seen_is_the_same() -> None:
    screen = screen_of([(0, 0, "epoch 7", 1)])
    screen.changes(COLORS, 1000)
    screen.put(0, 0, Strip([Segment("epoch 7", RED + Style.from_meta({"offset": (3, 4)}))]))
    assert not screen.is_behind


def test_text_comes_before_what_is_drawn_and_drawing_goes_on_where_it_was_left_off() -> None:
    screen = screen_of([(0, 0, "⣿" * COLUMNS, 0), (1, 0, "⣿" * COLUMNS, 0), (2, 0, "loss 0.1", 0)])
    terminal = Terminal()
    terminal.show(screen.changes(COLORS, 18))
    assert terminal.screen.display == [" " * COLUMNS, " " * COLUMNS, "loss 0.1    "]
    terminal.show(screen.changes(COLORS, 18))
    first = terminal.screen.display[0].count("⣿")
    assert 0 < first < COLUMNS
    # What was drawn changes again before all of it was sent.
    screen.put(0, 0, Strip([Segment("⡇" * COLUMNS)]))
    terminal.show(screen.changes(COLORS, 18))
    assert terminal.screen.display[0].startswith("⣿" * first + "⡇")


def test_text_goes_on_where_it_was_left_off() -> None:
    screen, terminal = screen_of([(row, 0, "a" * COLUMNS, 0) for row in range(ROWS)]), Terminal()
    terminal.show(screen.changes(COLORS, 1000))
    for letter in "bcdef":
        # Each time all of it changes, and there is room for one line.
        for row in range(ROWS):
            screen.put(row, 0, [Segment(letter * COLUMNS)])
        terminal.show(screen.changes(COLORS, COLUMNS + 6))
    assert terminal.screen.display == ["e" * COLUMNS, "f" * COLUMNS, "d" * COLUMNS]


def test_what_is_far_down_does_not_wait_for_ever_for_what_is_long_to_say() -> None:
    screen, terminal = VirtualScreen(), Terminal()
    screen.resize(COLUMNS, ROWS)
    for letter in "abcdef":
        # Few cells, but each has another style than the one before it.
        for row in range(ROWS):
            screen.put(row, 0, [Segment(letter, STYLES[column % 2 + 1]) for column in range(COLUMNS)])
        terminal.show(screen.changes(COLORS, 4 * COLUMNS * ROWS))
    assert "a" not in "".join(terminal.screen.display)
    assert " " not in "".join(terminal.screen.display)


def test_a_mark_stays_with_its_character() -> None:
    screen, terminal = screen_of([(0, 0, "e\u0301t\u00e9 層\u0301", 0)]), Terminal()
    written = screen.changes(COLORS, 1000)
    assert "e\u0301" in written
    assert "層\u0301" in written
    terminal.show(written)
    screen.put(0, 1, [Segment("T")])
    terminal.show(screen.changes(COLORS, 1000))
    assert terminal.screen.display[0].startswith("éTé 層")
    # Without its mark it is another character.
    screen.put(0, 0, [Segment("e")])
    terminal.show(screen.changes(COLORS, 1000))
    assert terminal.screen.display[0].startswith("eTé 層")


def test_what_the_terminal_lost_is_sent_again() -> None:
    screen, terminal = screen_of([(0, 0, "epoch 7", 1)]), Terminal()
    screen.changes(COLORS, 1000)
    screen.forget()
    terminal.show(screen.changes(COLORS, 1000))
    assert terminal.screen.display[0].rstrip() == "epoch 7"


def test_no_character_is_obeyed() -> None:
    screen = screen_of([(0, 0, "a\x1b[2J\rb\x9b\u202ec", 0)])
    written = screen.changes(COLORS, 1000)
    assert not set("\r\x9b\u202e") & set(written)
    assert "\x1b[2J" not in written


def test_fewer_colours_are_sent_to_a_terminal_that_has_fewer() -> None:
    written = screen_of([(0, 0, "loss", 1)]).changes(ColorSystem.EIGHT_BIT, 1000)
    assert "38;5;" in written
    assert "38;2;" not in written


def test_updates_of_the_compositor_are_taken_in() -> None:
    console = Console(file=io.StringIO(), color_system="truecolor", width=COLUMNS)
    screen, terminal = VirtualScreen(), Terminal()
    strips = [[Strip([Segment(letter * 5, RED)]), Strip([Segment(letter * 7, BLUE)])] for letter in "abc"]
    whole = LayoutUpdate(strips, Region(0, 0, COLUMNS, ROWS))
    frame = Frame(screen, whole, 10_000)
    terminal.show(frame.render_segments(console))
    assert terminal.screen.display == [letter * COLUMNS for letter in "abc"]
    assert frame.written > 3 * COLUMNS
    chops = [{0: Strip([Segment("01234", RED)]), 5: Strip([Segment("5678901", BLUE)])}] * ROWS
    part = ChopsUpdate(chops, [(0, 3, 6), (1, 11, 12)], [[5, COLUMNS]] * ROWS)
    terminal.show(Frame(screen, part, 10_000).render_segments(console))
    assert terminal.screen.display == ["aaa345aaaaaa", "bbbbbbbbbbb1", "c" * COLUMNS]
    # A wide character that a span cuts in two is put whole.
    wide = [{0: Strip([Segment("層" * 6)])}] * ROWS
    terminal.show(Frame(screen, ChopsUpdate(wide, [(2, 3, 7)], [[COLUMNS]] * ROWS), 10_000).render_segments(console))
    assert terminal.screen.display[2] == "cc層層層cccc"
    assert Frame(screen, None, 10_000).render_segments(console) == ""
