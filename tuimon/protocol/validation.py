"""What is wrong with a value that came from outside, in words for people."""

import msgspec


def what_is_wrong(error: msgspec.ValidationError) -> tuple[str, str]:
    """Return where a value is wrong, and how; nowhere in particular: an empty text.

    Example:
        >>> try:
        ...     msgspec.convert({"epochs": "three"}, dict[str, int])
        ... except msgspec.ValidationError as error:
        ...     what_is_wrong(error)
        ('[...]', 'expected int, got str')
    """
    words, _, place = str(error).partition(" - at `$")
    words = words[:1].lower() + words[1:].replace("`", "").replace(" | null", "")
    return place.rstrip("`").lstrip("."), words


def in_words(error: msgspec.ValidationError) -> str:
    """Return where a value is wrong, and how, in one line."""
    return ": ".join(filter(None, what_is_wrong(error)))
