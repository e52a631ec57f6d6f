"""What keys do on every screen: what esc closes, what : and help find, what the footer names first."""

import ast
import re
from pathlib import Path

import pytest
from textual.widgets import Input, OptionList

from helpers import ROOT, a_run, make_run
from tuimon.protocol import commands, events
from tuimon.ui.app import WatchApp
from tuimon.ui.dialogs import help_screen
from tuimon.ui.dialogs.find_dialog import FindDialog, found
from tuimon.ui.dialogs.help_screen import HelpPage, HelpScreen, lines_of_help
from tuimon.ui.dialogs.questions import ChoiceDialog
from tuimon.ui.dialogs.text_entry import TextDialog
from tuimon.ui.dialogs.why_screen import WhyScreen
from tuimon.ui.drawing.cells import cell_width
from tuimon.ui.screens.metrics.screen import MetricsScreen
from tuimon.ui.viewer.key import SCREEN_NAMES, ScreenName
from tuimon.ui.viewer.keys import GROUPS, KEYS, keys_of, sections
from tuimon.ui.viewer.run_keys import BY_NAME
from ui.facts import CAN, alert, training
from ui.sizes import NARROW, WIDE
from ui.watching import LiveRun, cells, help_page, part, press, text, until, watching

SAVED = events.CheckpointSaved(name="step-3.npz", reason="asked", size_bytes=10, seconds=0.1, step=3)


def open_things(app: WatchApp) -> list[str]:
    """Return what is open, from the screen at the bottom to the newest thing."""
    screen = app.base_screen
    things: list[str] = [screen.screen_name] if screen is not app.dashboard else []
    if isinstance(screen, MetricsScreen):
        things += screen._order.names
    if any(field.display for field in screen.query("SearchField")):
        things.append("line to type in")
    return things + [
        type(each).__name__ for each in app.screen_stack if each is not screen and each is not app.dashboard
    ]


# What esc closes


@pytest.mark.parametrize(
    ("keys", "opened"),
    [
        (["question_mark"], ["HelpScreen"]),
        (["w"], ["WhyScreen"]),
        (["p"], ["ChoiceDialog"]),
        (["q"], ["ChoiceDialog"]),
        (["l"], ["TextDialog"]),
        (["colon"], ["FindDialog"]),
        (["4", "w"], ["timeline", "WhyScreen"]),
        (["4", "slash"], ["timeline", "line to type in"]),
        (["8", "question_mark"], ["compare", "HelpScreen"]),
        (["2", "slash", "l", "enter"], ["metrics", "filter"]),
        (["2", "enter", "plus", "left"], ["metrics", "full", "zoom", "cursor"]),
        (["2", "left", "plus", "enter", "l"], ["metrics", "cursor", "zoom", "full", "TextDialog"]),
        (["2", "enter", "slash", "l", "enter", "plus"], ["metrics", "full", "filter", "zoom"]),
    ],
)
async def test_esc_closes_what_was_opened_last_and_never_more(runs: Path, keys: list[str], opened: list[str]) -> None:
    with LiveRun(runs, *training("bn_1"), alert()) as run:
        async with watching(run.directory, WIDE) as (app, pilot):
            for key in keys:
                await press(pilot, key)
                await pilot.pause()
            await until(pilot, lambda: open_things(app) == opened, str(opened))
            while opened:
                opened = opened[:-1]
                await press(pilot, "escape")
                await until(pilot, lambda opened=opened: open_things(app) == opened, str(opened))
            # There is nothing left to close.
            await press(pilot, "escape", "escape")
            assert app.is_running
            assert app.screen is app.dashboard
            assert run.requests() == []


@pytest.mark.parametrize("screen", ["2", "4", "5"])
async def test_after_esc_the_next_keys_are_still_typed_for_the_line(runs: Path, screen: str) -> None:
    with LiveRun(runs, *training("bn_1")) as run:
        async with watching(run.directory, WIDE) as (app, pilot):
            await press(pilot, screen)
            await until(pilot, lambda: bool(app.base_screen.query("SearchField")))
            field = app.base_screen.query_one("SearchField", Input)
            await pilot.press("slash", "a", "c", "c")
            await pilot.press("escape")
            assert (field.value, field.display) == ("", True)
            await pilot.press("c", "c")
            assert field.value == "cc"
            await pilot.press("escape", "escape")
            await until(pilot, lambda: not field.display)
            assert run.requests() == []


@pytest.mark.parametrize("key", ["question_mark", "colon"])
async def test_esc_clears_what_is_typed_before_it_closes(runs: Path, key: str) -> None:
    with LiveRun(runs, *training("bn_1")) as run:
        async with watching(run.directory, WIDE) as (app, pilot):
            await pilot.press(key, "f", "r", "escape")
            assert app.screen is not app.dashboard
            assert app.screen.query_one(Input).value == ""
            await pilot.press("escape")
            await until(pilot, lambda: app.screen is app.dashboard)


async def test_esc_ends_no_replay(runs: Path) -> None:
    from tuimon.ui.viewer.replay_clock import ReplayClock

    clock = ReplayClock(1 / 64)
    with LiveRun(runs, *training("bn_1"), events.RunEnded(status="finished", step=3)) as run:
        async with watching(run.directory, WIDE, replay=clock, readonly=True) as (app, pilot):
            await until(pilot, lambda: clock.whole.ended is not None)
            await press(pilot, "end")
            await until(pilot, lambda: app.viewer.state.ended is not None)
            await press(pilot, "escape", "escape")
            assert app.is_running
            assert app.viewer.state.ended is not None


# Enter


async def test_enter_does_what_is_marked_and_the_mouse_marks_nothing_by_passing(runs: Path) -> None:
    with LiveRun(runs, *training("bn_1")) as run:
        async with watching(run.directory, WIDE) as (app, pilot):

            def marked() -> list[str]:
                options = app.screen.query_one(OptionList).options
                return [str(each.prompt).partition("\n")[0] for each in options if str(each.prompt).startswith("›")]

            await pilot.press("p")
            await until(pilot, lambda: marked() == ["›a  auto"])
            await pilot.press("down")
            await until(pilot, lambda: marked() == ["›t  train (1)"])
            await pilot.hover("#answers", offset=(10, 6))
            await pilot.pause()
            assert marked() == ["›t  train (1)"]
            await pilot.press("enter")
            await until(pilot, lambda: bool(run.requests()))
            assert commands.as_fields(run.requests()[0])["phase"] == "train"


async def test_enter_without_a_value_says_what_is_wanted(runs: Path) -> None:
    with LiveRun(runs, *training("bn_1")) as run:
        async with watching(run.directory, WIDE) as (app, pilot):
            await pilot.press("l", "enter")
            effect = app.screen.query_one("#effect")
            await until(pilot, lambda: "Nothing is typed yet. A number above 0" in str(effect.render()))
            assert run.requests() == []


# Why


@pytest.mark.parametrize("name", SCREEN_NAMES)
async def test_one_key_says_why_on_every_screen(runs: Path, name: ScreenName) -> None:
    with LiveRun(runs, *training("bn_1"), alert(), events.Note(text="later")) as run:
        async with watching(run.directory, NARROW) as (app, pilot):
            await app.run_action(f"open('{name}')")
            await until(pilot, lambda: app.base_screen.screen_name == name and "w why" in part(app, "Banner"))
            await press(pilot, "w")
            await until(pilot, lambda: isinstance(app.screen, WhyScreen))
            await press(pilot, "w")
            await until(pilot, lambda: app.screen is app.base_screen)


async def test_on_the_timeline_the_alert_under_the_cursor_is_explained(runs: Path) -> None:
    with LiveRun(runs, *training("bn_1"), alert("R1"), alert("R2"), alert("R3")) as run:
        async with watching(run.directory, WIDE) as (app, pilot):
            await press(pilot, "4")
            await until(pilot, lambda: app.base_screen.selected_alert is not None)
            await press(pilot, "down", "down")
            await until(pilot, lambda: getattr(app.base_screen.selected_alert, "rule", "") == "R1")
            await press(pilot, "w")
            await until(pilot, lambda: isinstance(app.screen, WhyScreen))
            assert "alert 1 of 3" in str(app.screen.query_one("#why").border_title)


# The footer


@pytest.mark.parametrize("size", [NARROW, WIDE], ids=["narrow", "wide"])
@pytest.mark.parametrize("name", SCREEN_NAMES[1:])
async def test_the_footer_has_the_keys_of_its_screen_first(runs: Path, name: ScreenName, size: tuple[int, int]) -> None:
    own = [key.label for key in KEYS if key.is_own and name in key.screens and key.label]
    with LiveRun(runs, *training("bn_1", "bn_2"), alert()) as run:
        async with watching(run.directory, size) as (app, pilot):
            await app.run_action(f"open('{name}')")
            await until(pilot, lambda: app.base_screen.screen_name == name and "q quit" in part(app, "KeyBar"))
            line = part(app, "KeyBar")
            labels = [each.split(" ", 1)[-1] for each in re.split(r"  +", line.strip())]
            shown = [label in own for label in labels]
            assert shown == sorted(shown, reverse=True), line
            assert "? help" in line
            others = [label for label in labels if label not in own and label not in ("help", "quit", "back")]
            # A key of all screens has room only where all those of this screen have.
            # At first all is shown and followed: two keys of charts would do nothing.
            nothing_now = {"follow", "all"} if name == "metrics" else set()
            assert not others or all(label in labels for label in own if label not in nothing_now), line


async def test_the_footer_says_what_keys_of_charts_do_now(runs: Path) -> None:
    logged = events.EpochEnded(logs={"loss": 0.3, "val_loss": 0.6}, learning_rate=1e-3, seconds=1.0, step=3, epoch=3)
    with LiveRun(runs, *training("bn_1"), logged) as run:
        async with watching(run.directory, WIDE) as (app, pilot):
            await press(pilot, "2")
            await until(pilot, lambda: "enter full  " in part(app, "KeyBar"))
            assert not {"G follow", "0 all"} & set(re.split(r"  +", part(app, "KeyBar")))
            await press(pilot, "enter")
            await until(pilot, lambda: "enter all charts" in part(app, "KeyBar"))
            assert "enter full" not in part(app, "KeyBar")
            await press(pilot, "right")
            await until(pilot, lambda: "G follow" in part(app, "KeyBar") and "0 all" in part(app, "KeyBar"))
            await press(pilot, "0", "enter")
            await until(pilot, lambda: "enter full  " in part(app, "KeyBar") and "0 all  " not in part(app, "KeyBar"))


# Finding by words


@pytest.mark.parametrize(
    ("typed", "first"),
    [
        ("stop", "stop: End training"),
        ("colour", "Show the next palette"),
        ("color theme", "Show the next palette"),
        ("dropout", "phase: Choose the learning phase"),
        ("undo", "undo: Take back the last request"),
        ("val_l", "metric loss"),
        ("loss", "metric loss"),
        ("compare", "screen compare"),
        ("events", "screen timeline"),
        ("evaluate", "evaluate: Evaluate"),
        ("dashboard", "screen dashboard"),
    ],
)
async def test_everything_is_found_by_its_words(runs: Path, typed: str, first: str) -> None:
    logged = events.EpochEnded(logs={"loss": 0.3, "val_loss": 0.6}, learning_rate=1e-3, seconds=1.0, step=3, epoch=3)
    with LiveRun(runs, *training("bn_1"), logged) as run:
        async with watching(run.directory) as (app, pilot):
            await press(pilot, "colon")
            await until(pilot, lambda: isinstance(app.screen, FindDialog))
            app.screen.query_one(Input).value = typed
            await until(pilot, lambda: found_first(app).startswith(f"› {first}"), typed)


SUBJECTS = """
why gap parts spike overfit nan drift freeze unfreeze hold learning-rate momentum checkpoint epochs gradients
dropout trainable batchnorm bn gpu bottleneck slow pipeline notify slack export tensorboard csv baseline validation
early-stopping dead undo statistics variance screenshot traceback doctor diagnosis share inference"""


@pytest.mark.parametrize("is_over", [False, True], ids=["live", "over"])
async def test_the_subjects_of_the_program_are_found(runs: Path, is_over: bool) -> None:
    end = [events.RunEnded(status="finished", step=3)] if is_over else []
    with LiveRun(runs, *training("bn_1"), *end) as run:
        if is_over:
            run.die()
        async with watching(run.directory) as (app, _):
            entries = list(app._keys.program.entries(app.base_screen, app.moment()))
            for subject in SUBJECTS.replace("-", "~").split():
                typed = subject.replace("~", " ")
                assert [each for each in found(entries, typed) if not each.title.startswith("word ")], typed


async def test_each_entry_is_found_by_each_word_that_it_shows(runs: Path) -> None:
    with LiveRun(runs, *training("bn_1"), alert()) as run:
        async with watching(run.directory) as (app, _):
            entries = list(app._keys.program.entries(app.base_screen, app.moment()))
            for entry in entries:
                for word in re.findall(r"[a-z0-9]+", f"{entry.title} {entry.words}".lower()):
                    assert entry in found(entries, word), (entry.title, word)


async def test_what_does_nothing_now_is_found_and_says_why(runs: Path) -> None:
    async with watching(make_run(runs, a_run())) as (app, pilot):
        entries = list(app._keys.program.entries(app.base_screen, app.moment()))
        assert any(each.words.endswith("not now, there is no alert") for each in found(entries, "why alert"))
        assert [each for each in found(entries, "freeze") if "not now, the run" in each.words], app.moment().refusal
        await press(pilot, "colon")
        await until(pilot, lambda: isinstance(app.screen, FindDialog))
        app.screen.query_one(Input).value = "why explain alert"
        await until(pilot, lambda: "there is no alert" in found_first(app))
        await press(pilot, "enter")
        await until(pilot, lambda: "There is no alert." in part(app, "Banner"))


async def test_a_word_that_is_found_is_explained_in_the_help(runs: Path) -> None:
    with LiveRun(runs, *training("bn_1")) as run:
        async with watching(run.directory, NARROW) as (app, pilot):
            await press(pilot, "colon")
            await until(pilot, lambda: isinstance(app.screen, FindDialog))
            app.screen.query_one(Input).value = "word half-life"
            await until(pilot, lambda: found_first(app).startswith("› word half-life: steps until"))
            await press(pilot, "enter")
            await until(pilot, lambda: isinstance(app.screen, HelpScreen))
            await until(pilot, lambda: "steps until half" in help_page(app) and "Pause before" not in help_page(app))


async def test_the_frame_of_the_finder_says_what_enter_and_esc_do(runs: Path) -> None:
    with LiveRun(runs, *training("bn_1")) as run:
        async with watching(run.directory, NARROW) as (app, pilot):

            def said() -> str:
                return str(app.screen.query_one("#find").border_subtitle)

            await press(pilot, "colon")
            await until(pilot, lambda: isinstance(app.screen, FindDialog))
            await until(pilot, lambda: said() == "enter does the one marked ›, esc cancels")
            await pilot.press("g")
            await until(pilot, lambda: said() == "enter does the one marked ›, esc shows all")
            await pilot.press("x", "y")
            await until(pilot, lambda: said() == "esc shows all")
            await pilot.press("escape")
            await until(pilot, lambda: said() == "enter does the one marked ›, esc cancels")
            await pilot.press("escape")
            await until(pilot, lambda: app.screen is app.dashboard)


def found_first(app: WatchApp) -> str:
    options = app.screen.query_one(OptionList)
    return str(options.options[0].prompt) if options.option_count else ""


async def test_every_request_is_found(runs: Path) -> None:
    asked = {key.request for key in (*KEYS, *BY_NAME)} | {"unfreeze", "resume"}
    assert set(commands.NAMES) <= asked
    with LiveRun(runs, *training("bn_1"), SAVED) as run:
        async with watching(run.directory) as (app, pilot):
            for name in SCREEN_NAMES:
                await app.run_action(f"open('{name}')")
                await until(pilot, lambda name=name: app.base_screen.screen_name == name)
                titles = [entry.title for entry in app._keys.program.entries(app.base_screen, app.moment())]
                for key in BY_NAME:
                    assert f"{key.label}: {key.help.rstrip('.')}" in titles


@pytest.mark.parametrize(
    ("typed", "answers", "fields"),
    [
        ("freeze layers", ["*", "_", "2", "enter"], {"command": "freeze", "layers": ["bn_2"]}),
        ("hold layers", ["*", "enter"], {"command": "freeze", "layers": ["bn_1", "bn_2"], "statistics": True}),
        ("unfreeze weights", ["c", "*", "enter"], {"command": "unfreeze", "layers": ["c*"], "weights": True}),
        ("stop", ["e"], {"command": "stop", "after": "epoch"}),
        ("evaluate", [], {"command": "evaluate"}),
        ("snapshot", [], {"command": "snapshot"}),
        ("recalibrate from", ["5", "0", "enter"], {"command": "recalibrate", "batches": 50}),
        ("roll back to", ["1"], {"command": "rollback", "checkpoint": "step-3.npz"}),
    ],
)
async def test_what_a_request_needs_is_asked_after_it_is_found(
    runs: Path, typed: str, answers: list[str], fields: dict[str, object]
) -> None:
    with LiveRun(runs, *training("bn_1", "bn_2"), SAVED) as run:
        async with watching(run.directory) as (app, pilot):
            await until(pilot, lambda: bool(app.viewer.state.checkpoints))
            await press(pilot, "colon")
            await until(pilot, lambda: isinstance(app.screen, FindDialog))
            app.screen.query_one(Input).value = typed
            await until(pilot, lambda: found_first(app).startswith(f"› {typed}: "))
            await pilot.press("enter")
            if answers:
                await until(pilot, lambda: isinstance(app.screen, TextDialog | ChoiceDialog))
                assert run.requests() == []
                await pilot.press(*answers)
            await until(pilot, lambda: bool(run.requests()))
            sent = commands.as_fields(run.requests()[0])
            assert {name: sent[name] for name in fields} == fields


async def test_a_pattern_that_no_layer_matches_is_answered_with_the_names(runs: Path) -> None:
    with LiveRun(runs, *training("base/bn_1", "base/bn_2")) as run:
        async with watching(run.directory, NARROW) as (app, pilot):
            await press(pilot, "colon")
            await until(pilot, lambda: isinstance(app.screen, FindDialog))
            app.screen.query_one(Input).value = "freeze layers"
            await until(pilot, lambda: found_first(app).startswith("› freeze layers: "))
            await pilot.press("enter")
            await until(pilot, lambda: isinstance(app.screen, TextDialog))
            await pilot.press("b", "n")
            effect = app.screen.query_one("#effect")
            words = "No BatchNormalization layer matches; there are bn_1, bn_2; * stands for any letters"
            await until(pilot, lambda: words in str(effect.render()))


async def test_a_metric_that_is_found_is_shown_in_full(runs: Path) -> None:
    name = "[red]weird('metric')\n"
    facts = events.Batches(first_step=3, metrics={name: [1.0], "loss": [1.0]}, batches=1, step=4)
    with LiveRun(runs, *training("bn_1"), facts) as run:
        async with watching(run.directory) as (app, pilot):
            await press(pilot, "colon")
            await until(pilot, lambda: isinstance(app.screen, FindDialog))
            app.screen.query_one(Input).value = "weird"
            await until(pilot, lambda: "weird" in found_first(app))
            await pilot.press("enter")
            await until(pilot, lambda: isinstance(app.base_screen, MetricsScreen) and "smallest" in text(app))
            assert isinstance(app.base_screen, MetricsScreen)
            assert app.base_screen.chosen_chart.metric == name


async def test_nothing_found_is_said_and_enter_does_nothing(runs: Path) -> None:
    with LiveRun(runs, *training("bn_1")) as run:
        async with watching(run.directory) as (app, pilot):
            await pilot.press("colon", "x", "y", "x", "enter")
            await until(pilot, lambda: app.screen.query_one("#nothing").display)
            assert isinstance(app.screen, FindDialog)
            assert run.requests() == []


async def test_a_click_on_the_footer_does_what_its_key_does(runs: Path) -> None:
    with LiveRun(runs, *training("bn_1")) as run:
        async with watching(run.directory, WIDE) as (app, pilot):

            async def click(words: str) -> None:
                await pilot.click("KeyBar", offset=(part(app, "KeyBar").index(words) + 1, 0))

            await click("1–8 screens")
            await until(pilot, lambda: isinstance(app.screen, FindDialog))
            options = app.screen.query_one(OptionList)
            assert options.option_count == len(SCREEN_NAMES)
            await pilot.press("down", "down", "enter")
            await until(pilot, lambda: app.base_screen.screen_name == "layers" and "v map" in part(app, "KeyBar"))
            await click("? help")
            await until(pilot, lambda: isinstance(app.screen, HelpScreen))


# Help


@pytest.mark.parametrize("name", SCREEN_NAMES)
def test_help_tells_the_keys_that_a_screen_has_apart_from_those_of_others(name: ScreenName) -> None:
    here = {(key.shown, key.help) for key in keys_of(name)}
    for heading, keys in sections(name):
        if not heading.startswith("On the screen") and heading != BY_NAME.name:
            assert {(key.shown, key.help) for key in keys} <= here, heading
    told = {(key.shown, key.help) for _, keys in sections(name) for key in keys}
    assert told >= {(key.shown, key.help) for other in SCREEN_NAMES for key in keys_of(other)}


async def test_a_new_user_finds_how_a_run_is_replayed(runs: Path) -> None:
    with LiveRun(runs, *training("bn_1")) as run:
        async with watching(run.directory) as (app, pilot):
            command = f"tuimon replay {run.directory.path.name}"
            await press(pilot, "colon")
            await until(pilot, lambda: isinstance(app.screen, FindDialog))
            app.screen.query_one(Input).value = "replay"
            await until(pilot, lambda: found_first(app).startswith("› replay this run"))
            await press(pilot, "enter")
            await until(pilot, lambda: command in part(app, "Banner"))


def test_help_has_the_keys_in_order() -> None:
    for name in SCREEN_NAMES:
        told = [key for _, keys in sections(name) for key in keys]
        digits = [key.shown for key in told if key.shown in "12345678" and key.action.startswith("open")]
        assert digits == list("12345678")
        assert all(any((key.shown, key.help) == (each.shown, each.help) for each in told) for key in KEYS)
        own = [key for key in told if key.is_own and name in key.screens]
        assert told[: len(own)] == own
    assert [key for group in GROUPS for key in group] == list(KEYS)


def is_whole_help(lines: list[str], also: list[str]) -> None:
    """Check that each entry is there to its last word, with two blanks at least between a term and its words."""
    words = " ".join(" ".join(lines).split())
    entries = [(key.shown, key.help) for _, keys in sections() for key in keys]
    for shown, told in entries + [(term, told) for term, _, told in help_screen.TERMS]:
        assert any(line.rstrip() == f"  {shown}" or line.startswith(f"  {shown}  ") for line in lines), shown
        assert f"{shown} {told}" in words, told
    for told in [heading for heading, _ in sections()] + also:
        assert told in words


async def test_help_shows_every_word_at_every_width(runs: Path) -> None:
    why = "there is no checkpoint yet; c saves one"
    with LiveRun(runs, *training("bn_1", can={**CAN, "rollback": why})) as run:
        also = [f"not now: {why}", f"tuimon replay {run.directory.path.name}"]
        async with watching(run.directory, WIDE) as (app, pilot):
            for width in range(32, 200):
                lines = ["".join(text for text, _ in line) for line in lines_of_help(app.moment(), "dashboard", width)]
                assert max(map(cell_width, lines)) <= width
                is_whole_help(lines, also)
            await press(pilot, "question_mark")
            for width in (40, 80, 120, 200):
                await pilot.resize_terminal(width, 600)
                page = app.screen.query_one(HelpPage)
                await until(pilot, lambda w=width, page=page: cells(page).width == page.size.width == min(w, 100) - 8)
                is_whole_help(page.text().splitlines(), also)


def test_what_help_says_of_an_entry_is_whole() -> None:
    for _, keys in sections():
        assert [key.help for key in keys if not key.help.endswith(".")] == []
    ends = re.compile(r"\b(a|the|of|by|and|or|from|to)$|[.,:;]$")
    assert [words for _, _, words in help_screen.TERMS if ends.search(words)] == []


@pytest.mark.parametrize(
    ("typed", "held", "left_out"),
    [
        ("smooth less", ["Smooth less."], ["Freeze"]),
        ("F", ["Freeze every BatchNormalization layer"], ["Freeze the layer under", "Smooth"]),
        ("colour", ["Show the next palette"], ["Pause"]),
        ("kl divergence", ["symmetric KL divergence"], ["Pause"]),
        ("no such thing", ["No key and no word matches."], ["Pause"]),
    ],
)
async def test_help_is_searched_as_words_are_typed(
    runs: Path, typed: str, held: list[str], left_out: list[str]
) -> None:
    with LiveRun(runs, *training("bn_1")) as run:
        async with watching(run.directory, WIDE) as (app, pilot):
            await press(pilot, "question_mark")
            await until(pilot, lambda: isinstance(app.screen, HelpScreen))
            app.screen.query_one(Input).value = typed
            await until(
                pilot, lambda: all(words in help_page(app) for words in held) and "Pause before" not in help_page(app)
            )
            assert not any(words in help_page(app) for words in left_out)


async def test_q_is_a_letter_once_something_is_typed(runs: Path) -> None:
    with LiveRun(runs, *training("bn_1")) as run:
        async with watching(run.directory, WIDE) as (app, pilot):
            await pilot.press("question_mark", "e", "q")
            assert app.screen.query_one(Input).value == "eq"
            await pilot.press("escape", "q")
            await until(pilot, lambda: app.screen is app.dashboard)


# Words


def shown_texts(path: Path) -> list[str]:
    """Return the texts of a module that are no docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    texts = [node for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    return [str(node.value) for node in texts if id(node) not in docs]


@pytest.mark.parametrize("folder", ["ui", "cli"])
def test_one_word_for_one_thing(folder: str) -> None:
    wrong = re.compile(r"\b(thaw|let go|lets go|released?|de-?freeze|defrost)\b", re.IGNORECASE)
    for path in sorted((ROOT / "tuimon" / folder).rglob("*.py")):
        assert [words for words in shown_texts(path) if wrong.search(words)] == [], path
