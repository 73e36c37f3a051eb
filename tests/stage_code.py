"""Which files of this project a module imports, directly or not."""

import ast
from functools import cache
from pathlib import Path

SOURCE = Path(__file__).parents[1] / "src"


@cache
def closure(module: str) -> frozenset[Path]:
    """All files of this project that run when `module` is imported, itself included.

    The folder `assets` of a package is part of its modules.
    Packages whose `__init__` holds a docstring alone are left out: nothing in
    them can change a result.
    """
    seen: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name in seen or _file(name) is None:
            continue
        seen.add(name)
        waiting += [name.rpartition(".")[0], *_imports(name)]
    files = {_file(name) for name in seen}
    code = {file for file in files if file is not None and _has_code(file)}
    assets = {file.with_name("assets") for file in code}
    return frozenset(code | {folder for folder in assets if folder.is_dir()})


def _file(module: str) -> Path | None:
    path = SOURCE.joinpath(*module.split("."))
    candidates = [path / "__init__.py", path.with_suffix(".py")]
    return next((file for file in candidates if module and file.is_file()), None)


def _imports(module: str) -> list[str]:
    file = _file(module)
    assert file is not None
    names = []
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
    return [name for name in names if name.startswith("galgame_asr")]


def _has_code(file: Path) -> bool:
    body = ast.parse(file.read_text()).body
    return any(not (isinstance(n, ast.Expr) and isinstance(n.value, ast.Constant)) for n in body)
