"""Tags and a note of a run, kept in a small file beside its log. The log stays the trainer's."""

import contextlib
import stat
from collections.abc import Iterable
from pathlib import Path

import msgspec

from tuimon import ownership
from tuimon.atomic_file import whole_file
from tuimon.regular_file import read_regular
from tuimon.text import plain

FILE_NAME = "tags.json"
"""The file, in the run directory."""
BASELINE = "baseline"
"""The tag of the run that the others of its directory are compared with."""
LONGEST_TAG = 40
"""Characters of a tag."""
MOST_TAGS = 20
"""Tags of a run."""
LONGEST_NOTE = 500
"""Characters of a note."""
_LARGEST = 64 * 1024


class Tags(msgspec.Struct, frozen=True, omit_defaults=True):
    """What people wrote about a run."""

    tags: tuple[str, ...] = ()
    """Single words, in the order in which they were given."""
    note: str = ""
    """Some words on one line; empty for none."""

    def changed(self, add: Iterable[str] = (), remove: Iterable[str] = (), note: str | None = None) -> "Tags":
        """Return the tags after a change.

        Args:
            add: Further tags. One that is there already stays.
            remove: Tags to take away. One that is not there changes nothing.
            note: The new note; None keeps the former one.

        Raises:
            ValueError: there would be more than `MOST_TAGS`.
        """
        gone = set(remove)
        tags = tuple(tag for tag in dict.fromkeys((*self.tags, *add)) if tag not in gone)
        if len(tags) > MOST_TAGS:
            raise ValueError(f"a run has at most {MOST_TAGS} tags")
        return Tags(tags, self.note if note is None else note)


def read_tags(run: Path) -> Tags:
    """Return the tags in a run directory; none where there is no file, or one that is damaged.

    What others wrote is cut to the limits, so that it can be shown.
    """
    try:
        found = msgspec.json.decode(read_regular(run / FILE_NAME, _LARGEST, follow_links=False), type=Tags)
    except (OSError, ValueError, RecursionError):
        return Tags()
    tags = (plain(tag, LONGEST_TAG) for tag in found.tags[:MOST_TAGS])
    return Tags(tuple(dict.fromkeys(tag for tag in tags if tag.strip())), plain(found.note, LONGEST_NOTE))


def write_tags(run: Path, tags: Tags) -> None:
    """Write the tags of a run. Another reader sees the former ones or the new ones, never a part.

    Raises:
        OSError: they cannot be written, something else than a file has their place, or the run is another user's link.
    """
    path = run / FILE_NAME
    ownership.require_no_link_of_others(run)
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISREG(path.lstat().st_mode):
            raise OSError(f"{path}: it is no regular file")
    if tags == Tags():
        path.unlink(missing_ok=True)
        return
    with whole_file(path, permissions=0o600, follows_links=False) as file:
        file.write(msgspec.json.encode(tags).decode() + "\n")


def change_tags(run: Path, add: Iterable[str] = (), remove: Iterable[str] = (), note: str | None = None) -> Tags:
    """Change the tags of a run and return the new ones.

    Args:
        run: The run directory.
        add: Further tags.
        remove: Tags to take away.
        note: The new note; None keeps the former one.

    Raises:
        ValueError: there would be too many.
        OSError: they cannot be written.
    """
    before = read_tags(run)
    after = before.changed(add, remove, note)
    if after != before:
        write_tags(run, after)
    return after


def pin_baseline(run: Path, others: Iterable[Path]) -> None:
    """Give a run the tag `BASELINE`, and take it from the others.

    Raises:
        ValueError: the run has too many tags.
        OSError: the tags of the run cannot be written.
    """
    change_tags(run, add=[BASELINE])
    for other in others:
        if other != run and BASELINE in read_tags(other).tags:
            # Another user's run: its tag stays. The newest run with the tag is the baseline.
            with contextlib.suppress(OSError):
                change_tags(other, remove=[BASELINE])


def tag(text: str) -> str:
    """Return a text as a tag.

    Example:
        >>> tag("best")
        'best'

    Raises:
        ValueError: it is none, in words for people.
    """
    if not text or text != plain(text) or any(character.isspace() for character in text):
        raise ValueError("a tag is one word")
    if text[0] == "-" or set(text) & set(",\"'<>=!"):
        raise ValueError("a tag does not begin with - and has none of , \" ' < > = !")
    if len(text) > LONGEST_TAG:
        raise ValueError(f"a tag has at most {LONGEST_TAG} characters")
    return text


def note(text: str) -> str:
    """Return a text as a note: on one line, without control characters.

    Raises:
        ValueError: it is too long.
    """
    if len(text) > LONGEST_NOTE:
        raise ValueError(f"a note has at most {LONGEST_NOTE} characters")
    return plain(text.strip(), LONGEST_NOTE)


def changes_in(text: str) -> tuple[list[str], list[str]]:
    """Return the tags to add and to take away that a text names: ``best -old`` adds one and takes another away.

    Example:
        >>> changes_in("best, slow -old")
        (['best', 'slow'], ['old'])

    Raises:
        ValueError: one of them is no tag.
    """
    words = text.replace(",", " ").split()
    add = [tag(word) for word in words if not word.startswith("-")]
    return add, [tag(word[1:]) for word in words if word.startswith("-")]
