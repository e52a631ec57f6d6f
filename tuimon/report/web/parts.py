"""Parts of the page that several sections have: tables, lists of names and values, what is folded away."""

from collections.abc import Iterable, Sequence

from tuimon.report.web.markup import Child, Markup, element, joined


def table(
    heads: Sequence[str], rows: Iterable[Sequence[Child]], *, numbers: Sequence[int] = (), kind: str | None = None
) -> Markup:
    """Return a table that scrolls sideways where it is too wide.

    Args:
        heads: The names of the columns.
        rows: The cells.
        numbers: The columns that hold numbers: they end at the right.
        kind: A class; `cards`: on a phone each row is a paragraph.
    """
    kinds = ["number" if index in numbers else None for index in range(len(heads))]
    head = [element("th", text, scope="col", class_=kind) for text, kind in zip(heads, kinds, strict=True)]
    columns = list(zip(heads, kinds, strict=True))
    body = [element("tr", [_cell(cell, *column) for cell, column in zip(row, columns, strict=True)]) for row in rows]
    inner = element("table", element("thead", element("tr", head)), element("tbody", body), class_=kind)
    # Whoever uses a keyboard scrolls it, too.
    return element("div", inner, class_="scroll", role="group", aria_label="Table", tabindex="0")


def named(pairs: Iterable[tuple[str, Child]]) -> Markup:
    """Return names with their values."""
    return element("dl", [element("div", element("dt", name), element("dd", value)) for name, value in pairs])


def more(shown: Markup, summary: str, rest: Markup | None) -> Markup:
    """Return something with more of it folded away; without a rest, it alone."""
    return joined(shown, element("details", element("summary", summary), rest) if rest else None)


def section(title: str, name: str, *children: Child) -> Markup:
    """Return a section with a heading.

    Args:
        title: The heading.
        name: The id, for links within the page.
        children: What is in it.
    """
    heading = element("h2", title, id=f"{name}-heading")
    return element("section", heading, *children, id=name, aria_labelledby=f"{name}-heading")


def _cell(cell: Child, head: str, kind: str | None) -> Markup:
    return element("td", cell, class_=kind, data_head=head if kind and head else None)
