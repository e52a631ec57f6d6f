"""Reads HTML strictly: what a browser would have to repair is an error."""

from html.parser import HTMLParser

VOID = frozenset(("meta", "link", "br", "wbr", "col", "hr", "img", "input"))
PHRASING = frozenset(
    ("a", "b", "bdi", "br", "code", "span", "strong", "svg", "time", "title", "desc", "text", "line", "path", "rect")
)
"""What a paragraph, a heading or a term may hold; the parts of pictures included."""
ONLY = {
    "html": ("head", "body"),
    "ul": ("li",),
    "table": ("caption", "thead", "tbody"),
    "thead": ("tr",),
    "tbody": ("tr",),
    "tr": ("th", "td"),
    "dl": ("div",),
}
"""Elements that hold nothing but these."""
OF_PHRASES = frozenset(("p", "h1", "h2", "h3", "h4", "span", "b", "bdi", "strong", "summary", "dt", "code", "pre", "a"))
REFERENCES = ("aria-labelledby",)


class Page(HTMLParser):
    """A page that was read.

    Raises:
        AssertionError: It is not valid, as far as this reader knows.
    """

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        assert text.startswith("<!DOCTYPE html>\n<html lang=")
        self.stack: list[str] = []
        self.ids: list[str] = []
        self.references: list[str] = []
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert self.stack == [], f"not closed: {self.stack}"
        assert len(self.ids) == len(set(self.ids)), "an id is there twice"
        assert set(self.references) <= set(self.ids), set(self.references) - set(self.ids)

    @property
    def text(self) -> str:
        """What a reader sees, without the style sheet, with one blank between words."""
        return " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        parent = self.stack[-1] if self.stack else ""
        allowed = ONLY.get(parent)
        assert allowed is None or tag in allowed, f"<{tag}> in <{parent}>"
        assert parent not in OF_PHRASES or tag in PHRASING, f"<{tag}> in <{parent}>"
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"<{tag}> has an attribute twice"
        values = {name: value for name, value in attrs if value is not None}
        assert len(values) == len(attrs), f"<{tag}> has an attribute without a value"
        if "id" in values:
            assert values["id"].strip()
            assert " " not in values["id"]
            self.ids.append(values["id"])
        for name in REFERENCES:
            self.references += values.get(name, "").split()
        if values.get("href", "").startswith("#"):
            self.references.append(values["href"][1:])
        self.elements.append((tag, values))
        if tag not in VOID:
            self.stack.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        raise AssertionError(f"<{tag}/> closes itself")

    def handle_endtag(self, tag: str) -> None:
        assert self.stack[-1:] == [tag], f"</{tag}> in {self.stack[-3:]}"
        self.stack.pop()

    def handle_data(self, data: str) -> None:
        parent = self.stack[-1] if self.stack else ""
        if parent == "style":
            return
        assert parent not in ONLY or not data.strip(), f"text in <{parent}>"
        self.words.append(data)

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment: {data}")

    def unknown_decl(self, data: str) -> None:
        raise AssertionError(f"a declaration: {data}")

    def handle_pi(self, data: str) -> None:
        raise AssertionError(f"an instruction: {data}")

    def find(self, tag: str, **wanted: str) -> list[dict[str, str]]:
        """Return the attributes of the elements of a name that have these attributes."""
        wanted = {name.rstrip("_").replace("_", "-"): value for name, value in wanted.items()}
        return [values for name, values in self.elements if name == tag and wanted.items() <= values.items()]
