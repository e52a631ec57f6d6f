"""docs/protocol.md says what the types say, docs/rules.md what the rules say, docs/keys.md what the keys do."""

from types import ModuleType

from helpers import ROOT, script
from tuimon.ui.viewer.keys import KEYS


def maker(name: str = "make_protocol") -> ModuleType:
    return script(f"docs/{name}.py")


def test_the_protocol_document_is_up_to_date() -> None:
    make_protocol = maker()
    assert make_protocol.OUTPUT.read_text(encoding="utf-8") == make_protocol.document(), (
        "run: python docs/make_protocol.py"
    )


def test_every_field_has_words() -> None:
    make_protocol = maker()
    for name in ("events.py", "commands.py"):
        found, _ = make_protocol.structs(ROOT / "tuimon" / "protocol" / name)
        for struct in found.values():
            assert struct.words, struct.name
            assert not [field.name for field in struct.fields if not field.words], struct.name


def test_the_document_of_the_rules_is_up_to_date_and_has_all_of_them() -> None:
    make_rules = maker("make_rules")
    assert make_rules.OUTPUT.read_text(encoding="utf-8") == make_rules.text(), "run: python docs/make_rules.py"
    assert {rule.number for rule in make_rules.rules()} == {*range(1, 22)}
    assert all("Threshold" in rule.words or "Three ways" in rule.words for rule in make_rules.rules())
    assert all("Source: " in rule.words for rule in make_rules.rules())


def test_the_document_of_the_keys_is_up_to_date_and_has_all_of_them() -> None:
    make_keys = maker("make_keys")
    text = make_keys.text()
    assert make_keys.OUTPUT.read_text(encoding="utf-8") == text, "run: python docs/make_keys.py"
    assert all(key.help in text for key in KEYS)
