"""A run as a page to send, and as a picture."""

import base64
import hashlib
import math
import re
import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest

from helpers import (
    ROOT,
    SENDER,
    a_run,
    command,
    environment,
    fit_started,
    fold,
    layer,
    make_run,
    model_built,
    numbered,
    started,
)
from hostile import hostile_run, obeyed
from pages import a_long_story, all_kinds, large_run, live
from strict_html import Page
from tuimon.cli.main import main
from tuimon.plot.axes import step_axis
from tuimon.plot.undone import undone
from tuimon.protocol import events
from tuimon.report.web.changes import changes_of, marks_of
from tuimon.report.web.markup import element, escaped
from tuimon.report.web.page import page
from tuimon.report.web.picture import picture
from tuimon.report.web.shown_run import read_run
from tuimon.report.web.style import DARK, LIGHT
from tuimon.report.web.svg_chart import COLUMNS, Chart, Line, draw
from tuimon.runs.listing.tags import Tags, write_tags
from tuimon.runs.run_directory import RunDirectory
from tuimon.ui.drawing.palette_colors import COLORBLIND, COLORBLIND_LIGHT
from tuimon.ui.viewer.meanings import Meaning

SVG = "{http://www.w3.org/2000/svg}"
RECORDED = sorted((ROOT / "docs" / "recorded").glob("*.jsonl"))


def read(run: RunDirectory) -> Page:
    return Page(page(read_run(run)))


def recorded_run(runs: Path, log: Path) -> RunDirectory:
    run = RunDirectory.at(runs / log.stem)
    run.session_log.write_bytes(log.read_bytes())
    return run


def texts(drawing: str) -> list[str]:
    """Return the texts of a picture, in their order."""
    return ["".join(node.itertext()) for node in ET.fromstring(drawing).iter(f"{SVG}text")]


def test_every_kind_of_run_is_valid_html_and_a_valid_picture(runs: Path) -> None:
    for run in all_kinds(runs):
        found = read(run)
        assert run.name in found.text
        assert ET.fromstring(picture(read_run(run))).tag == f"{SVG}svg"


@pytest.mark.parametrize("log", RECORDED, ids=lambda log: log.stem)
def test_recorded_runs_have_their_verdict_charts_and_layers(runs: Path, log: Path) -> None:
    found = read(recorded_run(runs, log))
    assert "What the gap is made of" in found.text
    assert "Not examined" in found.text
    assert len(found.find("svg", role="img")) >= 8
    assert "moving variance" in found.text
    assert "bn_1" in found.text


def test_nothing_is_loaded_and_no_script_runs(runs: Path) -> None:
    text = page(read_run(make_run(runs, a_long_story())))
    found = Page(text)
    assert not {tag for tag, _ in found.elements} & {
        "script",
        "link",
        "img",
        "iframe",
        "object",
        "embed",
        "base",
        "form",
    }
    for _, values in found.elements:
        assert not [name for name in values if name.startswith("on") or name in ("style", "src", "srcset", "action")]
        assert values.get("href", "#").startswith("#")
    assert "url(" not in text
    assert "@import" not in text
    # The one address is the name of SVG's language.
    assert set(re.findall(r"https?://[^\"' ]+", text)) == {"http://www.w3.org/2000/svg"}
    (policy,) = found.find("meta", http_equiv="Content-Security-Policy")
    rules = dict(part.strip().split(" ", 1) for part in policy["content"].split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["style-src"].startswith("'sha256-")
    assert set(rules) == {"default-src", "style-src", "base-uri", "form-action"}


def test_the_policy_names_the_style_sheet_that_is_there(runs: Path) -> None:
    text = page(read_run(make_run(runs, a_run())))
    (style,) = re.findall(r"<style>(.*?)</style>", text, flags=re.DOTALL)
    assert base64.b64encode(hashlib.sha256(style.encode()).digest()).decode() in text


def test_text_from_outside_is_shown_and_not_interpreted(runs: Path) -> None:
    run = hostile_run(runs)
    for text in (page(read_run(run)), picture(read_run(run))):
        assert obeyed(text) == []
    Page(page(read_run(run)))
    ET.fromstring(picture(read_run(run)))


EVIL = (
    "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "a\"b'c&amp;<!-- ]]> --",
    "\ufffe\uffff\x00",
)


@pytest.mark.parametrize("evil", EVIL)
def test_names_that_are_markup_stay_names(runs: Path, evil: str) -> None:
    facts = [
        started(name=evil, host=evil, versions={evil: evil}, config={evil: {evil: evil}}),
        model_built(layer(evil)),
        fit_started(optimizer=evil),
        events.Batches(first_step=0, metrics={evil: [0.5, 0.25]}, batches=2, step=2),
        events.EpochEnded(logs={evil: 0.5, f"val_{evil}": 0.5}, learning_rate=1e-3, seconds=1.0, step=2),
        events.Note(text=evil, step=2),
        events.CommandRejected(
            id="x", request={"command": evil}, sender=events.Sender(uid=1, user=evil, host=evil, pid=1), reason=evil
        ),
        events.Alert(rule="R1", severity="error", what=evil, evidence={evil: 1.0}, advice=evil, layer=evil, step=2),
        events.RunEnded(status="failed", reason=evil, traceback=evil, step=2),
    ]
    run = make_run(runs, facts)
    write_tags(run.path, Tags(("best",), evil.replace("\x00", "")))
    found = read(run)
    assert not found.find("script")
    assert not found.find("img")
    shown = escaped(evil).replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", '"').replace("&#39;", "'")
    assert " ".join(shown.replace("&amp;", "&").split()) in found.text
    ET.fromstring(picture(read_run(run)))


def test_an_element_escapes_its_attributes_and_children() -> None:
    assert element("p", "<", title='"') == '<p title="&quot;">&lt;</p>'
    assert element("p", ["a", element("b", "&")]) == "<p>a<b>&amp;</b></p>"


def test_what_was_changed_is_told_with_who_asked_and_what_came_of_it(runs: Path) -> None:
    found = read(make_run(runs, a_long_story()))
    assert "freeze all somebody@somewhere ✓ applied ✓ verified: moving statistics of all layers as asked" in found.text
    assert "gap +0.4 at step 400 before it, +0.02 at step 500 after it" in found.text
    assert "✗ rejected: no such phase" in found.text
    assert "rolled back to step-400.npz" in found.text
    assert "tried a warm restart second line" in found.text
    assert "learning rate 3e-4" in found.text


def test_the_numbers_of_the_changes_are_those_of_the_charts(runs: Path) -> None:
    shown = read_run(make_run(runs, a_long_story()))
    drawing = picture(shown)
    assert "Changes: 1: freeze all, step 400; 2: rollback, step 800; 3: lr 3e-4, step 800." in " ".join(texts(drawing))
    # Those that would touch are one.
    assert {"1", "2–3"} <= set(texts(drawing))
    places = {line.get("x1") for line in ET.fromstring(drawing).iter(f"{SVG}line") if line.get("class") == "mark"}
    assert places == {"33.3%", "66.7%"}


def test_steps_that_a_rollback_took_back_are_shaded(runs: Path) -> None:
    drawing = ET.fromstring(picture(read_run(make_run(runs, a_long_story()))))
    boxes = {(box.get("x"), box.get("width")) for box in drawing.iter(f"{SVG}rect") if box.get("class") == "undone"}
    assert boxes == {("33.33%", "33.33%")}


def test_which_steps_are_undone_follows_the_branches() -> None:
    def saved(name: str, step: int) -> events.CheckpointSaved:
        return events.CheckpointSaved(name=name, reason="asked", size_bytes=1, seconds=0.1, step=step)

    def back(name: str, to_step: int, step: int) -> events.RolledBack:
        return events.RolledBack(checkpoint=name, to_step=to_step, to_epoch=0, step=step)

    assert undone([]) == ()
    assert undone([saved("a", 10), back("a", 10, 30)]) == ((10, 30),)
    assert undone([saved("a", 10), back("a", 10, 30), saved("b", 40), back("b", 40, 60)]) == ((10, 30), (40, 60))
    # Back into a branch that was left: what it did counts again, what came after does not.
    assert undone([saved("a", 10), saved("b", 20), back("a", 10, 30), back("b", 20, 50)]) == ((20, 50),)
    resumed = events.RunResumed(checkpoint="a", to_step=10, to_epoch=0, repeated_steps=0, lost_steps=5, step=15)
    assert undone([saved("a", 10), resumed]) == ((10, 15),)
    # At its own checkpoint nothing is lost.
    assert undone([saved("a", 30), back("a", 30, 30)]) == ()


def test_several_fits_are_told_apart(runs: Path) -> None:
    facts = [
        *a_run()[:-1],
        fit_started(step=4),
        events.Batches(first_step=4, metrics={"loss": [0.5]}, batches=1, step=5),
    ]
    found = read(make_run(runs, facts))
    assert "fit 2: 2 epochs of 2 steps" in found.text
    assert "fit 1 steps 1–4" in found.text


def test_a_live_run_says_that_it_is_not_over(runs: Path) -> None:
    found = read(live(runs, [started(boot_id=None), *a_long_story(ends=False)[1:]]))
    assert "training" in found.text
    assert "step 1,200 of 2,000" in found.text
    assert "It is not over: this page shows it as it was then" in found.text
    assert "It is not over" not in read(make_run(runs, a_long_story(), "over")).text


def test_a_run_without_batch_normalization_says_so(runs: Path) -> None:
    found = read(make_run(runs, a_long_story(layers=0)))
    assert "This model has no BatchNormalization layer." in found.text
    assert "moving mean" not in found.text


def test_all_layers_of_a_large_model_are_there(runs: Path) -> None:
    found = read(make_run(runs, a_long_story(layers=300, epochs=2)))
    for number in (0, 150, 299):
        assert f"encoder/stage_{number // 3}/bn_{number} training" in found.text
    assert "276 more layers" in found.text


def test_a_damaged_log_says_what_is_missing(runs: Path) -> None:
    run = make_run(runs, a_run())
    with run.session_log.open("ab") as file:
        file.write(b"no fact\n")
    assert "1 line of the log could not be read" in read(run).text


def test_charts_are_told_to_those_who_do_not_see_them(runs: Path) -> None:
    text = page(read_run(make_run(runs, a_long_story())))
    assert len(Page(text).find("svg", role="img")) == text.count("<desc")
    said = re.search(r"<desc[^>]*>(.*?)</desc>", text)
    assert said is not None
    assert "validation: " in said[1]
    assert "at step 1,200" in said[1]
    assert "logarithmic" in said[1]


def test_a_picture_has_legends_and_numbers_at_its_axes(runs: Path) -> None:
    # What people miss in TensorBoard's: tensorboard issues 2400 and 3616.
    found = texts(picture(read_run(make_run(runs, a_long_story()))))
    assert {"0", "200", "1200", "loss (log) over steps", "train − inference gap over steps"} <= set(found)
    assert any(text.startswith("validation 0.6") for text in found)
    assert any(text.startswith("training, per epoch 0.3") for text in found)


def path_of(values: list[float], steps: list[int] | None = None) -> tuple[str, int]:
    """Return the path of a line over 0 to 100, and the height of the chart."""
    at = np.arange(len(values)) if steps is None else np.array(steps)
    line = Line("loss", at, np.array(values), "training")
    axis = step_axis(float(at[-1]), None, exact=True, ticks=5)
    drawn = draw(Chart("loss", "", (line,)), axis, "x", height=200)
    (path,) = re.findall(r'<path d="([^"]*)" class="line training"', drawn.plot)
    return path, 200


def test_a_short_line_goes_through_its_points() -> None:
    path, height = path_of([0.0, 1.0, 0.5])
    points = [tuple(map(float, pair)) for pair in re.findall(r"([\d.]+) ([\d.]+)", path)]
    assert points == [(0.5, height), (360.0, 0.0), (719.5, height / 2)]


def test_a_long_line_keeps_every_extreme_and_stays_small() -> None:
    values = [0.5] * 100_000
    values[77_777], values[33_333] = 1.0, 0.0
    path, height = path_of(values)
    assert len(path) < 20 * COLUMNS
    ends = [float(number) for number in re.findall(r"V([\d.]+)", path)]
    assert min(ends) == 0
    assert max(ends) == height


def test_a_value_that_is_not_finite_is_a_gap_in_the_line() -> None:
    assert path_of([0.0, math.nan, 1.0, 0.5])[0].count("M") == 2
    assert path_of([0.0, math.inf, 1.0] + [0.5] * 400)[0].count("M") >= 1
    line = Line("loss", np.arange(3), np.array([0.0, math.nan, 1.0]), "training")
    drawn = draw(Chart("loss", "", (line,)), step_axis(2, None, exact=True, ticks=5), "x")
    assert drawn.non_finite == 1
    assert "line bad" in drawn.plot


@pytest.mark.parametrize("values", [[0.0], [math.nan], [1e308, -1e308], [5e-324, 1e-300], [1.0] * 3])
def test_odd_values_are_drawn(values: list[float]) -> None:
    line = Line("loss", np.arange(len(values)), np.array(values), "training")
    drawn = draw(Chart("loss", "", (line,), log_decades=1.0), step_axis(1, None, exact=True, ticks=5), "x")
    drawing = ET.fromstring(drawn.plot)
    assert "nan" not in "".join(node.get("d", "") for node in drawing.iter(f"{SVG}path"))


def test_colours_are_those_of_the_screens_for_people_who_see_fewer_hues() -> None:
    for colors, palette in ((LIGHT, COLORBLIND_LIGHT), (DARK, COLORBLIND)):
        for name, color in colors.items():
            meaning = {"batch-norm": "BATCH_NORM_PART", "stochastic": "STOCHASTIC_PART", "other": "OTHER_PART"}.get(
                name, name.upper()
            )
            if meaning in ("PAPER", "SURFACE", "FRAME"):
                continue
            assert palette[Meaning[meaning]].split()[-1] == color, name


def test_a_long_run_is_a_small_page(runs: Path) -> None:
    run = large_run(runs, steps=20_000)
    assert len(page(read_run(run)).encode()) < 1_000_000


@pytest.mark.full
def test_a_run_of_100_000_steps_is_a_page_of_less_than_2_mb(runs: Path) -> None:
    run = large_run(runs)
    assert len(page(read_run(run)).encode()) < 2_000_000
    assert len(picture(read_run(run)).encode()) < 2_000_000


@pytest.mark.parametrize("kind", ["html", "svg"])
def test_the_command_writes_a_whole_file_or_none(runs: Path, tmp_path: Path, kind: str) -> None:
    make_run(runs, a_run())
    out = tmp_path / f"run.{kind}"
    assert main(["export", "run", "--to", kind, "--out", str(out)]) == 0
    assert out.read_text(encoding="utf-8").rstrip().endswith(f"</{kind}>")
    assert [path.name for path in tmp_path.glob(".*unfinished")] == []
    done = subprocess.run(
        command("export", runs / "run", "--to", kind, "--out", "-"), capture_output=True, env=environment(), check=True
    )
    assert done.stdout.decode().rstrip().endswith(f"</{kind}>")
    assert main(["export", "run", "--to", kind, "--out", str(tmp_path)]) == 2


@pytest.mark.parametrize("kind", ["html", "svg"])
def test_a_stdout_that_knows_ascii_alone_gets_every_character(runs: Path, kind: str) -> None:
    make_run(runs, [*a_run()[:-1], events.Batches(first_step=4, metrics={"Verlust äöü 層": [0.5]}, batches=1, step=5)])
    done = subprocess.run(
        command("export", runs / "run", "--to", kind, "--out", "-"),
        capture_output=True,
        env=environment(PYTHONIOENCODING="ascii"),
        check=True,
    )
    text = done.stdout.decode("ascii")
    assert "Verlust äöü 層" in (Page(text).text if kind == "html" else " ".join(texts(text)))


def test_the_numbers_of_a_change_stay_with_their_request() -> None:
    quiet = {"command": "checkpoint"}
    applied = events.CommandApplied(id="a", request=quiet, sender=SENDER, first_step=1, step=1)
    state = fold(numbered([*a_run()[:9], applied, *a_run()[9:]]))
    assert [(change.label, change.entry.step) for change in changes_of(state)] == [("", 1), ("1", 2)]
    assert [(mark.label, mark.words) for mark in marks_of(state)] == [("1", "freeze all")]
