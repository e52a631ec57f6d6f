"""The examples in the docstrings give what they say."""

import doctest
import importlib
import pkgutil

import pytest

import tuimon

MODULES = [module.name for module in pkgutil.walk_packages(tuimon.__path__, "tuimon.") if "__main__" not in module.name]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_there_are_examples() -> None:
    assert sum(doctest.testmod(importlib.import_module(name)).attempted for name in MODULES) > 10
