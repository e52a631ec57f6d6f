"""A saved screen looks the same wherever it is opened: by itself, with any font."""

import itertools
import re
from pathlib import Path
from xml.etree import ElementTree as Tree

import pytest
from rich.segment import Segment
from rich.style import Style

from helpers import a_run, make_run
from tuimon.ui.drawing.svg import CELL_HEIGHT, CELL_WIDTH, picture, to_svg
from ui.watching import watching

SVG = "{http://www.w3.org/2000/svg}"
Box = tuple[float, ...]


def drawn_of(*lines: str, style: Style | None = None) -> Tree.Element:
    """Return the part of a picture that holds the cells of these lines."""
    drawn = to_svg([[Segment(line, style)] for line in lines], max(map(len, lines)), "a title")
    cells = Tree.fromstring(drawn).find(f"{SVG}g")
    assert cells is not None
    return cells


def words(cells: Tree.Element) -> list[tuple[str, float, float, float]]:
    """Return each text, its column, its row and its width in cells."""
    return [
        (
            str(text.text),
            float(text.attrib["x"]) / CELL_WIDTH,
            float(text.attrib["y"]) // CELL_HEIGHT,
            float(text.attrib["textLength"]) / CELL_WIDTH,
        )
        for text in cells.iter(f"{SVG}text")
    ]


def boxes(cells: Tree.Element) -> list[Box]:
    """Return left, top, right and bottom of each shape, in pixels."""
    found = []
    for path in cells.iter(f"{SVG}path"):
        for numbers in re.findall(r"M(\S+) (\S+)h(\S+)v([\d.]+)h", path.attrib["d"]):
            left, top, width, height = map(float, numbers)
            found.append((left, top, left + width, top + height))
    return found


async def test_it_needs_nothing_from_elsewhere(runs: Path) -> None:
    async with watching(make_run(runs, a_run())) as (app, _):
        drawn = picture(app, "a <run> & more")
    root = Tree.fromstring(drawn)
    assert root.findtext(f"{SVG}title") == "a <run> & more"
    assert drawn.count("http") == 1, "the name of SVG itself"
    assert not re.search(r"url\(|@import|@font-face|<style|href|class=|Fira", drawn)
    families = {group.attrib["font-family"] for group in root.iter() if "font-family" in group.attrib}
    assert all(family.endswith(("monospace", "sans-serif")) for family in families)
    assert "finished" in root.itertext()


def test_a_word_keeps_to_its_cells() -> None:
    cells = drawn_of("loss  5 – 95 %", " 層 bn_1<&>")
    assert words(cells) == [
        ("loss", 0, 0, 4),
        ("5", 6, 0, 1),
        ("–", 8, 0, 1),
        ("95", 10, 0, 2),
        ("%", 13, 0, 1),
        ("層", 1, 1, 2),
        ("bn_1<&>", 4, 1, 7),
    ]
    assert {text.attrib["lengthAdjust"] for text in cells.iter(f"{SVG}text")} == {"spacingAndGlyphs"}


@pytest.mark.parametrize("character", "─━│┃█▌▁▇░▔▕┼├┬╸╹⣿⠁┊╌")
def test_what_is_drawn_is_a_shape_within_its_cell(character: str) -> None:
    cells = drawn_of(" ", f" {character}")
    assert not words(cells)
    assert boxes(cells)
    for left, top, right, bottom in boxes(cells):
        assert CELL_WIDTH <= left < right <= 2 * CELL_WIDTH
        assert CELL_HEIGHT <= top < bottom <= 2 * CELL_HEIGHT


def test_lines_join_across_cells() -> None:
    flat, *_ = boxes(drawn_of("──"))
    assert (flat[0], flat[2]) == (0, 2 * CELL_WIDTH)
    above, below = boxes(drawn_of("│", "│"))
    assert (above[0], above[2], above[3]) == (below[0], below[2], below[1])
    corner, middle = boxes(drawn_of("├")), boxes(drawn_of("─"))[0]
    assert max(right for *_, right, _ in corner) == CELL_WIDTH
    assert any((top, bottom) == (middle[1], middle[3]) for _, top, _, bottom in corner)


def test_dots_have_the_same_distance_across_cells() -> None:
    dots = boxes(drawn_of("⣿⣿", "⣿⣿"))
    lefts, tops = sorted({dot[0] for dot in dots}), sorted({dot[1] for dot in dots})
    assert (len(dots), len(lefts), len(tops)) == (32, 4, 8)
    for places in (lefts, tops):
        assert len({after - before for before, after in itertools.pairwise(places)}) == 1


def test_rounded_corners_meet_the_lines() -> None:
    arcs = [path.attrib["d"] for path in drawn_of("╭╮", "╰╯").iter(f"{SVG}path") if "stroke" in path.attrib]
    (corners,) = arcs
    ends = []
    for x, y, up, right, down in re.findall(r"M(\d+) (\d+)v(-?\d+)q0 -?\d+ (-?\d+) (-?\d+)", corners):
        ends.append((int(x) + int(right), int(y) + int(up) + int(down)))
    half = CELL_HEIGHT / 2
    assert ends == [(12, half), (12, half), (12, CELL_HEIGHT + half), (12, CELL_HEIGHT + half)]


def test_colours_and_marks_of_a_style() -> None:
    cells = drawn_of("ab", style=Style.parse("bold italic underline #102030 on #405060"))
    (group,) = [group for group in cells.iter(f"{SVG}g") if "fill" in group.attrib]
    assert (group.attrib["fill"], group.attrib["font-weight"], group.attrib["font-style"]) == (
        "#102030",
        "bold",
        "italic",
    )
    assert boxes(cells)[0][2] == 2 * CELL_WIDTH
    turned = drawn_of("ab", style=Style.parse("reverse #102030 on #405060"))
    assert "#405060" in [group.attrib.get("fill") for group in turned.iter(f"{SVG}g")]


def test_what_a_reader_would_obey_is_left_out() -> None:
    drawn = to_svg([[Segment("a\x1b[31m\x00\u202eb]]>")]], 20, "\x1b]0;title\x07")
    Tree.fromstring(drawn)
    assert not re.search(r"[\x00-\x08\x0b-\x1f\u202e]", drawn)
