"""Finds, checks and loads the functions that a config names as ``module:function``.

Finding one parses sources and never runs code.
"""

import ast
import contextlib
import difflib
import importlib
import os
import sys
from collections.abc import Iterator, Sequence
from importlib.machinery import PathFinder, SourceFileLoader
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import CodeType, ModuleType

from msgspec import Struct

from tuimon import ownership
from tuimon.errors import UsageError


class Found(Struct, frozen=True):
    """A function that a config names."""

    module: str
    """Dotted name of its module."""
    function: str
    """Its name in the module."""
    source: Path | None
    """The module's source file; None if it has none that can be read, as an extension module."""
    directory: Path | None
    """The user's directory in which it was found; None: the module is installed."""


def find(reference: str, directories: Sequence[Path]) -> Found:
    """Find ``module:function`` in ``directories``, else among the installed modules, without running it.

    Args:
        reference: As the config has it.
        directories: Directories of the user's modules, in order.

    Raises:
        UsageError: There is no such module or function, or it may not run. The message does not name the config.
    """
    module, colon, function = reference.partition(":")
    parts = module.split(".")
    if not colon or not all(part.isidentifier() for part in [*parts, function]):
        raise UsageError(f'"{reference}" is not of the form "module:function"')
    for directory in directories:
        source = _source_in(directory, parts)
        if source is not None:
            _require_trusted(source)
            if len(parts) > 1:
                # Importing a module of a package also runs the package's own files.
                for number in range(1, len(parts)):
                    package = directory.joinpath(*parts[:number])
                    _require_trusted(package)
                    if (package / "__init__.py").is_file():
                        _require_trusted(package / "__init__.py")
                _require_trusted(directory)
            found = Found(module, function, source, directory)
            break
    else:
        found = Found(module, function, _installed_source(parts, directories), None)
    if found.source is not None:
        _require_function(found.source, function)
    return found


def load(reference: str, directories: Sequence[Path]) -> object:
    """Import the module of ``module:function`` and return the function.

    The module's directory goes in front of ``sys.path``, as for a script, so that the module can import its neighbours.
    A directory that somebody else can write does not.

    Raises:
        UsageError: As `find`, or the imported module lacks the name.
        Exception: Whatever the module raises.
    """
    found = find(reference, directories)
    if found.directory is not None:
        _reach(found.directory)
    if found.directory is None or "." in found.module:
        module = importlib.import_module(found.module)
    else:
        assert found.source is not None
        module = _load_file(found.module, found.source)
    try:
        return getattr(module, found.function)
    except AttributeError:
        raise UsageError(f"{module.__file__} has no {found.function!r}") from None


def names_in(source: Path) -> frozenset[str] | None:
    """Return the names that a module defines at its top level; None if parsing cannot tell.

    Raises:
        UsageError: The file is not Python, or cannot be read.
    """
    try:
        tree = ast.parse(source.read_bytes(), filename=str(source))
    except SyntaxError as error:
        raise UsageError(f"{source}: line {error.lineno}: {error.msg}") from None
    except (OSError, ValueError) as error:
        raise UsageError(f"{source}: it cannot be read: {error}") from None
    names = set(_defined(tree.body))
    return None if names & {"*", "__getattr__"} else frozenset(names)


def suggestion(name: str, known: Sequence[str] | frozenset[str]) -> str:
    """Return `` (did you mean "…"?)`` with the name in ``known`` that is close to ``name``; empty if none is."""
    folded = {candidate.casefold(): candidate for candidate in known}
    close = difflib.get_close_matches(name.casefold(), folded, n=1)
    return f' (did you mean "{folded[close[0]]}"?)' if close else ""


def installed_file(module: str) -> Path | None:
    """Return the source file of an installed module, without importing its packages."""
    parts = module.split(".")
    # Skip the working directory ("" in sys.path): the trainer does not import from it.
    here = Path.cwd()
    path = [entry for entry in sys.path if entry and Path(entry) != here]
    spec = PathFinder.find_spec(parts[0], path)
    if spec is None:
        return None
    if len(parts) == 1:
        return Path(spec.origin) if spec.origin and spec.origin.endswith(".py") else None
    for location in spec.submodule_search_locations or ():
        source = _source_in(Path(location), parts[1:])
        if source is not None:
            return source
    return None


def _installed_source(parts: list[str], directories: Sequence[Path]) -> Path | None:
    source = installed_file(".".join(parts))
    if source is not None:
        return source
    # An extension module, an editable install or a module made at import: only importing it tells more.
    with contextlib.suppress(ValueError):
        if find_spec(parts[0]) is not None:
            return None
    places = " or ".join(dict.fromkeys(str(directory) for directory in directories))
    raise UsageError(f'there is no module "{".".join(parts)}" in {places}, and none is installed')


def _source_in(directory: Path, parts: Sequence[str]) -> Path | None:
    base = directory.joinpath(*parts)
    for candidate in (base / "__init__.py", base.with_name(base.name + ".py")):
        if candidate.is_file():
            return candidate
    return None


def _require_function(source: Path, function: str) -> None:
    names = names_in(source)
    if names is None or function in names:
        return
    hint = suggestion(function, names)
    if not hint:
        functions = [name for name in sorted(names) if not name.startswith("_")]
        hint = f"; it has {', '.join(functions[:8])}" if functions else ""
    raise UsageError(f'{source} has no "{function}"{hint}')


def _defined(body: Sequence[ast.stmt]) -> Iterator[str]:
    for statement in body:
        match statement:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield statement.name
            case ast.Import() | ast.ImportFrom():
                for alias in statement.names:
                    yield alias.asname or alias.name.partition(".")[0]
            case _:
                for node in ast.walk(statement):
                    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                        yield node.id
                for name in ("body", "orelse", "finalbody"):
                    yield from _defined(getattr(statement, name, ()))
                for handler in getattr(statement, "handlers", ()):
                    yield from _defined(handler.body)


class _CheckedLoader(SourceFileLoader):
    """Runs the file that was checked, never a ``.pyc`` beside it or a file that was exchanged since."""

    def get_code(self, fullname: str) -> CodeType:
        path = Path(self.get_filename(fullname))
        with path.open("rb") as file:
            _require_trusted(path, os.fstat(file.fileno()))
            return self.source_to_code(file.read(), str(path))


def _load_file(name: str, source: Path) -> ModuleType:
    loaded = sys.modules.get(name)
    if loaded is not None and getattr(loaded, "__file__", None) == str(source):
        return loaded
    spec = spec_from_file_location(name, source, loader=_CheckedLoader(name, str(source)))
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    if loaded is None:
        # A file with the name of a module in use does not replace that module.
        sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        if loaded is None:
            sys.modules.pop(name, None)
        raise
    return module


def _reach(directory: Path) -> None:
    if str(directory) in sys.path:
        return
    try:
        _require_trusted(directory)
    except UsageError as error:
        print(f"tuimon: modules beside it are not imported: {error}", file=sys.stderr)
        return
    sys.path.insert(0, str(directory))


def _require_trusted(path: Path, status: os.stat_result | None = None) -> None:
    ownership.require_trusted(path, status or path.stat(), "its code is not run")
