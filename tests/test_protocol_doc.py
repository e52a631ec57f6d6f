"""docs/protocol.md says what the types say."""

import importlib.util
from types import ModuleType

from helpers import ROOT


def maker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_protocol", ROOT / "docs" / "make_protocol.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_protocol_document_is_up_to_date() -> None:
    make_protocol = maker()
    assert make_protocol.OUTPUT.read_text(encoding="utf-8") == make_protocol.document(), (
        "run: python docs/make_protocol.py"
    )


def test_every_field_has_words() -> None:
    make_protocol = maker()
    for name in ("events.py", "commands.py"):
        found, _ = make_protocol.structs(ROOT / "tuimon" / name)
        for struct in found.values():
            assert struct.words, struct.name
            assert not [field.name for field in struct.fields if not field.words], struct.name
