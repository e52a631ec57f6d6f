"""How the screen looks for everyone: palettes, few colours, none, ASCII alone, and terminals of every size."""

import itertools
import os
import re
import select
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from rich.color import Color, ColorSystem, ColorType
from textual.widgets import OptionList

from helpers import a_run, make_run
from tuimon.plot.raster import braille
from tuimon.settings import PALETTES as NAMES
from tuimon.settings import Settings
from tuimon.ui.app import WatchApp
from tuimon.ui.drawing.ascii import to_ascii
from tuimon.ui.drawing.cells import cell_width
from tuimon.ui.drawing.palettes import (
    COLORLESS,
    RUN_MEANINGS,
    SIXTEEN_PALETTES,
    TRUE_PALETTES,
    Palette,
    palette_of,
    xterm_palettes,
)
from tuimon.ui.drawing.too_small import TooSmall
from tuimon.ui.viewer.meanings import DRIFT, DRIFT_LEVELS, RUN, SELECTED, SEVERITY_SIGNS, STATUS_SIGNS, Meaning
from tuimon.ui.viewer.view_memory import KEPT, View, ViewMemory
from ui.facts import training
from ui.sizes import NARROW, WIDE
from ui.terminals import Terminal, terminal
from ui.watching import LiveRun, part, press, text, until, watching

Linear = npt.NDArray[np.float64]

LINES = {Meaning.FRAME, Meaning.TRACK}
"""What is drawn with; only keys that do nothing now are written so."""
NOT_IN_TABLES = {Meaning.BATCH, Meaning.BAND, *LINES}
TOLD_APART = (
    Meaning.TRAINING,
    Meaning.VALIDATION,
    Meaning.INFERENCE,
    Meaning.STATISTIC,
    Meaning.COMMAND,
    Meaning.WARNING,
    Meaning.ERROR,
)
EVERY_PALETTE = (*TRUE_PALETTES.values(), *xterm_palettes().values(), *SIXTEEN_PALETTES.values(), COLORLESS)
MANY_COLORS = (*TRUE_PALETTES.values(), *xterm_palettes().values())
# Machado, Oliveira and Fernandes, "A Physiologically-based Model for Simulation of Color Vision Deficiency" (2009).
SEEN_BY = {
    "protanopes": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "deuteranopes": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.01182, 0.04294, 0.968881)),
}


def linear(color: Color | None, *, of_256: bool = False) -> Linear:
    assert color is not None
    if of_256:
        color = color.downgrade(ColorSystem.EIGHT_BIT)
    values = np.array(color.get_truecolor()) / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def contrast(one: Color | None, other: Color | None, *, of_256: bool = False) -> float:
    """Of WCAG 2: from 1 to 21."""
    low, high = sorted(float(linear(color, of_256=of_256) @ (0.2126, 0.7152, 0.0722)) for color in (one, other))
    return (high + 0.05) / (low + 0.05)


def lab(values: Linear) -> Linear:
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    x, y, z = np.cbrt(to_xyz @ np.clip(values, 0, 1) / (0.9505, 1.0, 1.089))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("palette", MANY_COLORS, ids=lambda palette: palette.name)
def test_everything_can_be_read(palette: Palette) -> None:
    of_256 = palette in xterm_palettes().values()
    background, surface, cursor = map(Color.parse, (palette.background, palette.surface, palette.cursor))
    for code, style in palette.styles.items():
        meaning = code & ~SELECTED
        if style.color is None or (code & SELECTED and meaning in NOT_IN_TABLES):
            continue
        is_line = meaning in LINES
        if code & SELECTED and (meaning >= DRIFT or meaning in (Meaning.PAUSED, Meaning.MATCH)):
            # A bar beside its number; and a pause is not of a layer, nor is what was searched for.
            continue
        assert contrast(style.color, style.bgcolor or background, of_256=of_256) >= (3 if is_line else 4.5), (
            palette.name,
            code,
        )
    for meaning in (Meaning.TEXT, Meaning.STRONG, Meaning.DIM, Meaning.ERROR, Meaning.COMMAND):
        assert contrast(palette.styles[meaning].color, surface, of_256=of_256) >= 4.5, (palette.name, meaning)
    for meaning in (Meaning.TEXT, Meaning.STRONG):
        assert contrast(palette.styles[meaning].color, cursor, of_256=of_256) >= 4.5, (palette.name, meaning)


@pytest.mark.parametrize("people", SEEN_BY)
@pytest.mark.parametrize("name", ["colorblind", "colorblind-light", "colorblind-256", "colorblind-light-256"])
def test_people_who_see_fewer_hues_tell_the_colours_apart(name: str, people: str) -> None:
    styles, matrix = palette_of(name).styles, np.array(SEEN_BY[people])
    seen = {meaning: lab(matrix @ linear(styles[meaning].color)) for meaning in TOLD_APART}
    for one, other in itertools.combinations(TOLD_APART, 2):
        assert np.linalg.norm(seen[one] - seen[other]) > 10, (one.name, other.name)


@pytest.mark.parametrize("palette", EVERY_PALETTE, ids=lambda palette: palette.name)
def test_a_palette_has_a_style_for_everything(palette: Palette) -> None:
    wanted = {*Meaning, *range(DRIFT, DRIFT + DRIFT_LEVELS), *range(RUN, RUN + len(RUN_MEANINGS))}
    assert palette.styles.keys() == wanted | {code | SELECTED for code in wanted}
    assert palette.styles[Meaning.TEXT] != palette.styles[Meaning.TEXT | SELECTED]


@pytest.mark.parametrize("name", NAMES)
def test_sixteen_colours_are_chosen_by_hand(name: str) -> None:
    hardly_seen = {"black", "blue", "bright_black"} if "light" not in name else {"white", "yellow", "bright_white"}
    for code, style in SIXTEEN_PALETTES[name].styles.items():
        for color in (style.color, style.bgcolor):
            assert color is None or color.type in (ColorType.DEFAULT, ColorType.STANDARD), code
        assert style.color is None or style.color.name not in hardly_seen, code
    styles = SIXTEEN_PALETTES[name].styles
    assert len({str(styles[meaning]) for meaning in TOLD_APART}) == len(TOLD_APART)


def test_without_colours_no_style_has_one() -> None:
    assert not any(style.color or style.bgcolor for style in COLORLESS.styles.values())


async def test_the_palette_changes_while_a_run_is_watched(runs: Path) -> None:
    with LiveRun(runs, *training("bn_1", "bn_2")) as run:
        async with watching(run.directory) as (app, pilot):

            def drawn(panel: str) -> set[str]:
                strips = app.dashboard.query_one(panel).render_lines(app.dashboard.query_one(panel).size.region)
                return {str(segment.style) for strip in strips for segment in strip if segment.style}

            before = {panel: drawn(panel) for panel in ("Header", "#loss", "LayerTable")}
            for name in (*NAMES[1:], NAMES[0]):
                await press(pilot, "C")
                await until(pilot, lambda name=name: f"Palette: {name}." in part(app, "Banner"))
                background = TRUE_PALETTES[name].background
                await until(
                    pilot, lambda background=background: app.dashboard.styles.background.hex.lower() == background
                )
                await until(
                    pilot, lambda background=background: all(background in str(drawn(panel)) for panel in before)
                )
                if name != NAMES[0]:
                    assert all(drawn(panel) != styles for panel, styles in before.items())
            assert {panel: drawn(panel) for panel in before} == before


@pytest.mark.parametrize("colors", ["full", "256", "16", "none"])
@pytest.mark.parametrize("palette", NAMES)
async def test_every_palette_has_every_page(palette: str, colors: str, runs: Path) -> None:
    settings = Settings(palette=palette, colors=colors, ascii=True)  # type: ignore[arg-type]
    with LiveRun(runs, *training("bn_1")) as run:
        async with watching(run.directory, NARROW, settings=settings) as (app, pilot):
            for key in ("question_mark", "p", "l", "3"):
                await press(pilot, key)
                assert app.export_screenshot().isascii()
                await press(pilot, "escape")


async def test_what_is_filtered_can_still_be_clicked(runs: Path) -> None:
    with LiveRun(runs, *training("bn_1")) as run:
        async with watching(run.directory, NARROW, settings=Settings(colors="none", ascii=True)) as (app, pilot):
            await press(pilot, "p")
            # The third line inside of the frame and its padding: the second answer.
            await pilot.click("#answers", offset=(6, 4))
            await until(pilot, lambda: app.screen is app.dashboard and bool(run.requests()))
            assert getattr(run.requests()[0], "phase", None) == "train"


async def test_the_palette_does_nothing_where_there_are_no_colours(runs: Path) -> None:
    async with watching(make_run(runs, a_run()), settings=Settings(colors="none")) as (app, pilot):
        await press(pilot, "C")
        assert "This screen shows no colours." in part(app, "Banner")
        assert app.theme == COLORLESS.name


PAGES = (("?", "esc closes"), ("p", "Learning phase"), ("l", "Learning rate"))
"""Keys with what is on the page that they open."""


def read_all_pages(there: Terminal) -> bytes:
    """Open every page, and return all that the terminal got."""

    def settled() -> bool:
        # A page that is half drawn may show what was there before.
        return not select.select([there.ours], [], [], 0.2)[0]

    there.read_until(lambda: "q quit" in there.shown and "bn_1" in there.shown and settled())
    for key, words in PAGES:
        os.write(there.ours, key.encode())
        there.read_until(lambda words=words: words in there.shown and settled())
        os.write(there.ours, b"\x1b")
        there.read_until(lambda words=words: words not in there.shown and "q quit" in there.shown and settled())
    return bytes(there.written)


def styles_in(written: bytes) -> set[str]:
    """Return the parameters of all styles that were sent: "1", "38;2;16;21;28"."""
    parameters = re.findall(rb"\x1b\[([0-9;]*)m", written)
    assert len(parameters) > 20
    return {one.decode() for one in parameters}


def test_no_color_means_none(runs: Path) -> None:
    with LiveRun(runs, *training("bn_1")) as run, terminal(run.directory, NO_COLOR="1", COLORTERM="truecolor") as there:
        numbers = {int(number) for style in styles_in(read_all_pages(there)) for number in style.split(";") if number}
        # Bold, dim and reverse; from 30 on it is colours.
        assert {1, 2, 7} <= numbers
        assert max(numbers) < 30
        assert "● training" in there.shown


@pytest.mark.parametrize("variables", [{"TERM": "xterm"}, {"TERM": "linux"}, {"TERM": "screen"}])
def test_a_terminal_with_sixteen_colours_gets_those(variables: dict[str, str], runs: Path) -> None:
    with LiveRun(runs, *training("bn_1")) as run, terminal(run.directory, **variables) as there:
        assert not any(style.startswith(("38", "48")) or ";38;" in style for style in styles_in(read_all_pages(there)))
        assert any("94" in style.split(";") for style in styles_in(bytes(there.written)))


def test_the_command_line_goes_before_the_terminal(runs: Path) -> None:
    variables = {"NO_COLOR": "1", "LANG": "C"}
    arguments = ("--colors", "full", "--no-ascii", "--palette", "light")
    with LiveRun(runs, *training("bn_1")) as run, terminal(run.directory, *arguments, **variables) as there:
        there.read_until(lambda: "● training" in there.shown and "q quit" in there.shown)
        assert b"48;2;248;249;250" in there.written


def test_the_settings_of_the_user_hold(runs: Path, tmp_path: Path) -> None:
    settings = tmp_path / "mine.toml"
    settings.write_text('palette = "light"\ncolors = "full"\nascii = true\nrefresh = 99\n')
    with LiveRun(runs, *training("bn_1")) as run, terminal(run.directory, TUIMON_SETTINGS=str(settings)) as there:
        there.read_until(lambda: "* training" in there.shown and "q quit" in there.shown)
        assert b"48;2;248;249;250" in there.written
        assert there.written.isascii()


@pytest.mark.parametrize(
    ("arguments", "variables"), [(("--ascii",), {}), ((), {"LANG": "de_DE.ISO-8859-1"}), ((), {"LC_ALL": "C"})]
)
def test_ascii_is_all_that_is_sent(arguments: tuple[str, ...], variables: dict[str, str], runs: Path) -> None:
    facts = training("bn_1", "bn_層", "bn_é")
    with LiveRun(runs, *facts) as run, terminal(run.directory, *arguments, **variables) as there:
        written = read_all_pages(there)
        assert max(written) < 0x80, written[written.index(max(written)) - 200 :][:220]
        assert "* training" in there.shown
        assert "bn_??" in there.shown
        assert "bn_e" in there.shown
        os.write(there.ours, b"3")
        there.read_until(lambda: "esc back" in there.shown)
        assert there.written.isascii()


def test_ascii_keeps_widths_and_tells_signs_apart() -> None:
    for character in map(chr, itertools.chain(range(0x20, 0x7F), range(0xA1, 0x3000), range(0x4E00, 0x4E20))):
        assert to_ascii(character).isascii()
        assert len(to_ascii(character)) == cell_width(character)
    assert to_ascii("e\u0301") == "e"
    for signs in (SEVERITY_SIGNS, {name: STATUS_SIGNS[name] for name in ("training", "paused", "finished", "failed")}):
        assert len({to_ascii(sign) for sign, _ in signs.values()}) == len(signs)
    assert [to_ascii(signs) for signs in ("●◆○×", "·:░▒▓█", "╭─╮│╰╯┤")] == ["*#ox", ".:-+*#", "+-+|+++"]
    assert to_ascii("▁▂▃▄▅▆▇█") == "_.-=+*%#"


@pytest.mark.parametrize(
    ("points", "character"),
    [
        ([(0, 0), (0, 1)], "'"),
        ([(1, 0), (1, 1)], "-"),
        ([(2, 0), (2, 1)], "-"),
        ([(3, 0), (3, 1)], "_"),
        ([(3, 1)], "."),
        ([(row, 0) for row in range(4)], "|"),
        ([(3, 0), (2, 0), (1, 1), (0, 1)], "/"),
        ([(0, 0), (1, 0), (2, 1), (3, 1)], "\\"),
        ([(0, 0), (0, 1), (3, 0), (3, 1)], ":"),
        ([(0, 0), (1, 1), (2, 0), (3, 1)], ":"),
        ([(row, column) for row in range(4) for column in range(2)], "#"),
        ([], " "),
    ],
)
def test_dots_become_what_looks_like_them(points: list[tuple[int, int]], character: str) -> None:
    dots = np.zeros((4, 2), dtype=bool)
    for point in points:
        dots[point] = True
    assert to_ascii(str(braille(dots)[0, 0])) == character


async def test_a_small_terminal_says_what_is_needed(runs: Path) -> None:
    with LiveRun(runs, *training("bn_1")) as run:
        async with watching(run.directory, NARROW) as (app, pilot):

            def covers() -> bool:
                return app.screen.query_one(TooSmall).display

            assert not covers()
            for size, small in (((39, 24), True), ((40, 10), False), ((80, 9), True), ((20, 5), True)):
                await pilot.resize_terminal(*size)
                await until(pilot, lambda small=small: covers() is small)
            assert "Too small: tuimon" in shown_in(app).replace("\n", " ")
            for key in ("p", "question_mark", "3"):
                await press(pilot, key)
                await until(pilot, covers)
                assert "Too small: tuimon" in shown_in(app)
                await press(pilot, "escape")
            await press(pilot, "p")
            await pilot.resize_terminal(*NARROW)
            await until(pilot, lambda: not covers())
            assert isinstance(app.focused, OptionList)
            await press(pilot, "escape")
            await until(pilot, lambda: not covers() and "● training" in text(app))


def shown_in(app: WatchApp) -> str:
    """Return what is on the terminal, whichever widget drew it."""
    strips = app.screen._compositor.render_strips()
    return "\n".join(strip.text.rstrip() for strip in strips)


async def test_a_storm_of_sizes_breaks_nothing(runs: Path) -> None:
    sizes = list(itertools.product((20, 39, 40, 79, 139, 140, 300), (5, 9, 10, 31, 32, 44, 80)))
    rng = np.random.default_rng(0)
    order = [sizes[index] for index in rng.permutation(len(sizes))]
    async with watching(make_run(runs, a_run())) as (app, pilot):
        # The charts of the layer are drawn once the table has said which one it is, the events once there is room.
        wanted = ("bn_1 moving mean", "bn_1 moving variance", "─ events ─", "Finished after")
        await until(
            pilot, lambda: all(words in shown_in(app) for words in wanted) and "median" in part(app, "#moving-mean")
        )
        before = shown_in(app)
        for number, (columns, rows) in enumerate([*order, (20, 5), (300, 80)]):
            await pilot.resize_terminal(columns, rows)
            if number % 10 == 5:
                await press(pilot, "question_mark" if number % 20 == 5 else "escape")
        while app.screen is not app.base_screen:
            await press(pilot, "escape")
        await pilot.resize_terminal(*WIDE)
        await until(pilot, lambda: shown_in(app) == before, "the screen of the beginning")


async def test_a_view_is_remembered(runs: Path, tmp_path: Path) -> None:
    memory = ViewMemory()
    assert memory.directory.is_relative_to(tmp_path / "of-the-user" / "state")
    with LiveRun(runs, *training("bn_1", "bn_2", "bn_3")) as run:
        before = sorted(run.directory.path.rglob("*"))
        async with watching(run.directory, NARROW, memory=memory) as (app, pilot):
            await press(pilot, "down", "tab", "C")
            assert app.dashboard.selected_layer == "bn_2"
        assert memory.load(run.directory) == View(layer="bn_2", chart="moving-mean", palette="light")
        async with watching(run.directory, NARROW, memory=memory) as (app, pilot):
            await until(pilot, lambda: app.dashboard.selected_layer == "bn_2" and "median" in part(app, "#moving-mean"))
            assert app.theme == "light"
            await press(pilot, "down")
        assert memory.load(run.directory).layer == "bn_3"
        async with watching(run.directory, NARROW, memory=memory, palette="colorblind") as (app, pilot):
            assert app.theme == "colorblind"
        # What was named on the command line was not chosen for later.
        assert memory.load(run.directory).palette == "light"
        assert sorted(run.directory.path.rglob("*")) == before


async def test_a_view_of_a_layer_that_is_gone_does_no_harm(runs: Path) -> None:
    memory = ViewMemory()
    with LiveRun(runs, *training("bn_1")) as run:
        memory.save(run.directory, View(layer="of another model", chart="of another version"))
        async with watching(run.directory, NARROW, memory=memory) as (app, _):
            assert app.dashboard.selected_layer == "bn_1"
            assert "loss" in part(app, "#loss")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff",
        b"[]",
        b'{"layer": 3}',
        b'{"palette": "pink"}',
        b'{"new": 1}',
        b'{"layer": "\xff"}',
        b'{"metrics": {"charts": {"span": -1}, "grid": [1, 1]}}',
    ],
)
def test_a_broken_view_is_none(content: bytes, runs: Path) -> None:
    memory, run = ViewMemory(), make_run(runs, a_run())
    memory.save(run, View(layer="bn_1"))
    (path,) = memory.directory.iterdir()
    path.write_bytes(content)
    assert memory.load(run) == View()


def test_where_nothing_can_be_written_nothing_is_remembered(runs: Path, tmp_path: Path) -> None:
    run, in_the_way = make_run(runs, a_run()), tmp_path / "file"
    in_the_way.write_text("")
    memory = ViewMemory(in_the_way / "views")
    memory.save(run, View(layer="bn_1"))
    assert memory.load(run) == View()


def test_views_of_the_runs_that_were_left_last_are_kept(runs: Path) -> None:
    memory = ViewMemory()
    all_runs = [make_run(runs, a_run(), f"run-{number}") for number in range(KEPT + 5)]
    for number, run in enumerate(all_runs):
        memory.save(run, View(layer="bn_1"))
        os.utime(memory._path(run), (number, number))
    memory.save(all_runs[-1], View(layer="bn_2"))
    assert len(list(memory.directory.iterdir())) == KEPT
    assert memory.load(all_runs[4]) == View()
    assert memory.load(all_runs[5]) == View(layer="bn_1")
    assert memory.load(all_runs[-1]) == View(layer="bn_2")
    assert {path.stat().st_mode & 0o777 for path in memory.directory.iterdir()} == {0o600}


async def test_wrong_settings_are_said_on_the_screen(runs: Path) -> None:
    async with watching(make_run(runs, a_run()), warning="settings.toml: palette: wrong") as (app, pilot):
        await until(pilot, lambda: "settings.toml: palette: wrong" in part(app, "Banner"))
