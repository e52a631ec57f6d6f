"""Links, and paths of the project, in the README and the docs lead somewhere."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers import ROOT

PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]
ROOMS = tuple(path.name for path in (ROOT / "tuimon").iterdir() if path.is_dir() and not path.name.startswith("_"))
"""Packages of tuimon: `ui/viewer/` stands for `tuimon/ui/viewer/`."""
ROOTS = ("tuimon", "tests", "docs", "benchmarks", "faults", "sample_configs", ".ci")


def text_of(page: Path) -> str:
    """Return a page without its blocks of code."""
    return re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """Return what the headings of a page are called in links, as GitHub does it."""
    headings = re.findall(r"^#+ (.*)$", text_of(page), flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links() -> Iterator[tuple[str, str]]:
    """Yield each link within the project, with its page."""
    for page in PAGES:
        for target in dict.fromkeys(re.findall(r"\]\(([^)]+)\)", text_of(page))):
            if "://" not in target:
                yield page.relative_to(ROOT).as_posix(), target


def paths() -> Iterator[tuple[str, str]]:
    """Yield each path of the project that a page names, with the page."""
    for page in PAGES:
        found = [
            *re.findall(r"`([\w.-]+(?:/[\w.*-]+)*/?)`", text_of(page)),
            # Generated pages name files without backticks.
            *re.findall(r"(?<![\w/`.])((?:tests|docs)/[\w/]+\.\w+)", text_of(page)),
        ]
        for path in dict.fromkeys(found):
            if "/" in path and path.split("/")[0] in (*ROOTS, *ROOMS):
                yield page.relative_to(ROOT).as_posix(), path


@pytest.mark.parametrize(("page", "target"), list(links()))
def test_a_link_leads_somewhere(page: str, target: str) -> None:
    path, _, anchor = target.partition("#")
    there = (ROOT / page).parent / path if path else ROOT / page
    assert there.exists()
    assert not anchor or anchor in anchors(there)


@pytest.mark.parametrize(("page", "path"), list(paths()))
def test_a_path_is_there(page: str, path: str) -> None:
    assert any(list(root.glob(path)) for root in (ROOT, ROOT / "tuimon"))


def test_links_and_paths_are_found() -> None:
    assert ("README.md", "docs/steering.md") in links()
    assert ("docs/watching.md", "protocol.md#the-config-file-of-tuimon-run") in links()
    assert ("docs/architecture.md", "tuimon/runs/state.py") in paths()
    assert ("docs/architecture.md", "ui/viewer/") in paths()


def test_every_page_is_linked_to() -> None:
    """From the README, or from a page that it leads to."""
    reached = {"README.md"}
    found = {(page, os.path.normpath(Path(page).parent / target.partition("#")[0])) for page, target in links()}
    for _ in PAGES:
        reached |= {path for page, path in found if page in reached}
    assert {page.relative_to(ROOT).as_posix() for page in PAGES} <= reached
