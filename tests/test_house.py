"""The rules of the house: who may import whom, heavy packages behind one door, no circles."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FILES = sorted([*(ROOT / "pipeline").rglob("*.py"), *(ROOT / "nodes").rglob("*.py")])

DOORS = {  # package: the files and folders that may import it
    "torch": ("pipeline/convert/", "pipeline/train/"),
    "dv_processing": ("nodes/inivation.py",),
    "neuromorphic_drivers": ("nodes/prophesee.py",),
    "tonic": ("pipeline/datasets/",),
    "av": ("pipeline/simulate/film.py",),
    "aedat": ("pipeline/formats/aedat4_decoder.py",),
    "zstandard": ("pipeline/formats/",),
    "lz4": ("pipeline/formats/",),
    "h5py": ("pipeline/exchange/hdf5.py", "pipeline/datasets/through_tonic.py", "pipeline/formats/hdf5_child.py"),
    "hdf5plugin": ("pipeline/formats/hdf5_child.py",),
    "zmq": ("nodes/wire.py", "nodes/samna.py"),  # our own wire, and the one camera that speaks ZeroMQ
    "yaml": ("nodes/config.py",),
    "msgspec": ("nodes/",),
    "pydantic": ("nodes/", "pipeline/train/"),
    "typer": ("nodes/",),
    "rich": ("nodes/",),
    "matplotlib": ("pipeline/train/", "nodes/commands/", "pipeline/convert/", "pipeline/simulate/"),
}


def relative(path):
    return path.relative_to(ROOT).as_posix()


def imports(path, everywhere=True):
    """Dotted names that a file imports, absolute; with everywhere=False only those at the top level of the module."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    package = ["dvs_run", *path.relative_to(ROOT).with_suffix("").parts]
    if package[-1] == "__init__":
        package.append("")  # level 1 of a package is the package itself
    found = []
    nodes = ast.walk(tree) if everywhere else tree.body
    for node in nodes:
        if isinstance(node, ast.Import):
            found += [name.name for name in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: -node.level] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            found += [module, *(f"{module}.{name.name}" for name in node.names)]
    return found


def test_the_folders_are_found():
    assert len(FILES) > 20


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_the_work_on_events_knows_nothing_of_messages(path):
    if relative(path).startswith("pipeline/"):
        assert not [name for name in imports(path) if name.startswith("dvs_run.nodes")]


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_heavy_packages_are_imported_behind_their_doors_only(path):
    for name in imports(path):
        doors = DOORS.get(name.split(".")[0])
        assert doors is None or relative(path).startswith(doors), f"{relative(path)} imports {name}; its doors: {doors}"


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_our_own_packages_are_imported_relatively_and_never_by_their_bare_names(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [name.name for name in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [node.module]
        assert not [name for name in names if name.split(".")[0] in ("pipeline", "nodes", "dvs_run", "tests")]


def test_no_circles_between_modules():
    modules = {}
    for path in FILES:
        parts = ["dvs_run", *path.relative_to(ROOT).with_suffix("").parts]
        modules[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    arrows = {name: {i for i in imports(path, False) if i in modules} - {name} for name, path in modules.items()}
    for name in arrows:  # importing a submodule is no arrow to its package, which only re-exports
        arrows[name] = {i for i in arrows[name] if not name.startswith(i + ".")}
    done, stack = set(), []

    def visit(name):
        if name in stack:
            raise AssertionError(" -> ".join([*stack[stack.index(name) :], name]))
        if name not in done:
            stack.append(name)
            for other in sorted(arrows[name]):
                visit(other)
            done.add(stack.pop())

    for name in sorted(arrows):
        visit(name)


@pytest.mark.parametrize("name", ["pipeline", "nodes"])
def test_a_folder_refuses_to_be_imported_under_its_bare_name(name):
    outcome = subprocess.run(
        [sys.executable, "-c", f"import {name}"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert outcome.returncode == 1
    assert f"dvs_run.{name}" in outcome.stderr


@pytest.mark.parametrize("start", ["dvs_run.nodes.launcher", "dvs_run.pipeline.engine", "dvs_run.nodes.commands"])
def test_running_a_pipeline_imports_nothing_heavy(start):
    heavy = ("torch", "tonic", "matplotlib", "pandas", "h5py")
    code = f"import {start}, sys; print(*[m for m in {heavy} if m in sys.modules])"
    outcome = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert outcome.stdout.strip() == ""


def kernels_of(tree):
    """The functions of a module that are decorated with @kernel."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            names = [getattr(item, "func", item) for item in node.decorator_list]
            if any(isinstance(name, ast.Name) and name.id == "kernel" for name in names):
                yield node


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_kernels_are_compiled_by_our_decorator_only(path):
    if relative(path) != "pipeline/kernel_cache.py":
        assert not [name for name in imports(path) if name in ("numba.njit", "numba.jit", "numba.vectorize")]


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_what_a_kernel_uses_stands_in_a_file_that_its_cache_watches(path):
    """Numba compiles constants in; its cache's key is of a sub-package's files with kernels, and all of the engine."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    used = {item.id for function in kernels_of(tree) for item in ast.walk(function) if isinstance(item, ast.Name)}
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.level and used & {name.asname or name.name for name in node.names}:
            source = path.parents[node.level - 1].joinpath(*(node.module or "").split("."))
            names = (
                [source / f"{name.name}.py" for name in node.names] if source.is_dir() else [source.with_suffix(".py")]
            )
            for file in names:
                watched = file.parent.name == "engine" or any(kernels_of(ast.parse(file.read_text(encoding="utf-8"))))
                if file.name != "kernel_cache.py":
                    assert watched, f"{relative(file)} has no kernels"
                    assert file.parent == path.parent, f"{relative(path)} has kernels that use {relative(file)}'s"
