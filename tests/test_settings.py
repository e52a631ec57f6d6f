"""The user's settings: what they say, what is wrong with them, and what goes before them."""

import subprocess
from pathlib import Path
from typing import Any

import pytest

from helpers import a_run, command, environment, make_run
from tuimon.cli.main import main
from tuimon.settings import Settings, for_terminal, read, settings_path

TERMINAL = {"TERM": "xterm-256color", "COLORTERM": "truecolor", "LANG": "en_US.UTF-8"}


def test_all_of_it(tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    path.write_text(
        'palette = "colorblind-light"\nascii = true\ncolors = 16\nrefresh = 10\n'
        'smoothing = "ema"\nsmoothing_weight = 0.9\nx_axis = "wall"\n'
    )
    assert read(path) == (
        Settings(
            palette="colorblind-light",
            ascii=True,
            colors="16",
            refresh=10.0,
            smoothing="ema",
            smoothing_weight=0.9,
            x_axis="wall",
        ),
        "",
    )


def test_no_file_is_no_mistake(tmp_path: Path) -> None:
    assert read(tmp_path / "settings.toml") == (Settings(), "")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('palette = "pink"', 'palette: "pink" is none of dark, light, colorblind, colorblind-light'),
        ("palette = 3", 'palette: "3" is none of dark'),
        ('colors = "8"', 'colors: "8" is none of auto, full, 256, 16, none'),
        ("ascii = 1", "ascii: expected bool, got int"),
        ("refresh = 11", "refresh: expected float <= 10.0"),
        ("refresh = 0", "refresh: expected float >= 1.0"),
        ('x_axis = "time"', 'x_axis: "time" is none of step, epoch, wall, relative'),
        ('notify = ["bel"]', "notify: invalid enum value 'bel'; there are bell, osc9, osc777"),
        ('[alerts]\non = ["ends"]', "alerts: on[0]: invalid enum value 'ends'; there are alert, end, crash"),
        ("[alerts]\nevery_seconds = -1", "alerts: every_seconds: expected float >= 0.0"),
        ('[alerts]\ncomand = "mail"', "alerts: object contains unknown field comand"),
        ('[alerts]\ncommand = "mail \'me"', "alerts.command: no closing quotation"),
        ('[alerts]\ncommand = [""]', "alerts.command: it names no program"),
        ("smoothing_weight = 1", "smoothing_weight: expected float < 1.0"),
        ('[palette]\nname = "dark"', "palette:"),
        ('pallete = "dark"', 'pallete: no such key (did you mean "palette"?)'),
        ("zzz = 1", "zzz: no such key; there are palette, ascii"),
        ("zzz = 1\nyyy = 2\nxxx = 3", "(and 2 more)"),
        ("palette = ", "not TOML"),
        (b"\xff", "not UTF-8"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(text: str | bytes, words: str, tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    settings, warning = read(path)
    assert settings == Settings()
    assert warning.startswith(f"{path}: ")
    assert words in warning
    assert "\n" not in warning


def test_one_wrong_key_costs_that_key_alone(tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    path.write_text('refresh = 99\npalette = "light"\n')
    settings, warning = read(path)
    assert settings == Settings(palette="light")
    assert "refresh" in warning


def test_a_file_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    settings, warning = read(tmp_path)
    assert settings == Settings()
    assert warning == f"{tmp_path}: it is a directory, not a file: the defaults hold"


def test_where_the_file_is() -> None:
    assert settings_path({"TUIMON_SETTINGS": "/a/b.toml", "XDG_CONFIG_HOME": "/c"}) == Path("/a/b.toml")
    assert settings_path({"XDG_CONFIG_HOME": "/c"}) == Path("/c/tuimon/settings.toml")
    for variables in ({}, {"XDG_CONFIG_HOME": ""}, {"XDG_CONFIG_HOME": "relative"}):
        assert settings_path(variables) == Path.home() / ".config" / "tuimon" / "settings.toml"


def test_a_user_without_a_home_has_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere(_: type[Path]) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", classmethod(nowhere))
    assert read(settings_path({})) == (Settings(), "")


@pytest.mark.parametrize(
    ("variables", "colors"),
    [
        ({}, "full"),
        ({"COLORTERM": "24bit"}, "full"),
        ({"COLORTERM": ""}, "256"),
        ({"COLORTERM": "", "TERM": "xterm"}, "16"),
        ({"COLORTERM": "", "TERM": "linux"}, "16"),
        ({"COLORTERM": "", "TERM": "screen"}, "16"),
        ({"COLORTERM": "", "TERM": "screen-256color"}, "256"),
        ({"COLORTERM": "", "TERM": "xterm-direct"}, "full"),
        ({"NO_COLOR": "1"}, "none"),
        ({"NO_COLOR": ""}, "full"),
    ],
)
def test_the_terminal_says_how_many_colours_it_has(variables: dict[str, str], colors: str) -> None:
    assert for_terminal(Settings(), {**TERMINAL, **variables}).colors == colors
    assert for_terminal(Settings(colors="256"), {**TERMINAL, **variables}).colors == "256"


@pytest.mark.parametrize(
    ("variables", "is_ascii"),
    [
        ({}, False),
        ({"LANG": "C.utf8"}, False),
        ({"LANG": ""}, False),
        ({"LANG": "C"}, True),
        # As Python leaves it to the programs that it starts, and as an SSH session from a Mac has it.
        ({"LANG": "C", "LC_CTYPE": "C.UTF-8"}, True),
        ({"LANG": "", "LC_CTYPE": "UTF-8"}, False),
        ({"LC_ALL": "POSIX"}, True),
        ({"LC_CTYPE": "de_DE.ISO-8859-1"}, True),
        ({"LC_ALL": "ja_JP.eucJP", "LC_CTYPE": "C.UTF-8"}, True),
        ({"LC_ALL": "C.UTF-8", "LANG": "C"}, False),
    ],
)
def test_the_locale_says_whether_there_is_more_than_ascii(variables: dict[str, str], is_ascii: bool) -> None:
    assert for_terminal(Settings(), {**TERMINAL, **variables}).ascii is is_ascii
    assert for_terminal(Settings(ascii=not is_ascii), {**TERMINAL, **variables}).ascii is not is_ascii


@pytest.mark.parametrize("subcommand", ["watch", "run", "replay"])
@pytest.mark.parametrize("option", [("--palette", "pink"), ("--colors", "8")])
def test_a_look_that_is_not_is_one_line_and_2(subcommand: str, option: tuple[str, str], capsys: Any) -> None:
    assert main([subcommand, "anything", *option]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert option[0] in said.err
    assert option[1] in said.err


def test_lines_say_on_stderr_what_is_wrong(runs: Path, tmp_path: Path) -> None:
    run = make_run(runs, a_run())
    settings = tmp_path / "mine.toml"
    settings.write_text('palette = "pink"')
    done = subprocess.run(
        command("watch", run.path),
        env=environment(TUIMON_SETTINGS=str(settings)),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0
    assert done.stderr == f'tuimon: {settings}: palette: "pink" is none of dark, light, colorblind, colorblind-light\n'
    assert "finished" in done.stdout
