"""Text that comes from outside (names of layers and metrics, notes, logs) is shown, never interpreted."""

import re
import unicodedata

_ESCAPES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b[@-_]")


def plain(text: str, limit: int = 500) -> str:
    r"""Return ``text`` as one line without escape sequences and control characters.

    What a terminal would act on is replaced by a visible sign; what is longer than ``limit``
    characters ends in an ellipsis.

    Example:
        >>> plain("loss\x1b[31m\nred")
        'loss red'
    """
    text = _ESCAPES.sub("", text[: limit * 4])
    shown = "".join(_visible(character) for character in text)
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


def _visible(character: str) -> str:
    if character in "\t\n\r":
        return " "
    # Cc: control characters, Cf: invisible ones that turn the direction of text, Cs: lone surrogates.
    return "�" if unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp") else character
