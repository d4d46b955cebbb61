"""House rules.

Thin helpers, one list of dependencies, hashed pins, no traces of anybody's machine.
"""

import ast
import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tokenize
import tomllib
from pathlib import Path

import pytest
import yaml
from mypy import api
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).resolve().parents[1]
MODULE_LIMIT, FUNCTION_LIMIT, HELPERS_LIMIT = 220, 30, 3620


def read(name):
    return (ROOT / name).read_text(encoding="utf-8")


# The size of the helpers


def code_lines(source):
    """Numbers of the lines that hold code: no blank lines, comments or docstrings."""
    silent = {
        tokenize.COMMENT,
        tokenize.NL,
        tokenize.NEWLINE,
        tokenize.INDENT,
        tokenize.DEDENT,
        tokenize.ENDMARKER,
    }
    lines = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in silent:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(source)):
        if isinstance(
            node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
        ) and ast.get_docstring(node):
            lines.difference_update(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    return lines


def size_faults(sources):
    """What is too long, in words; sources maps file names to their text."""
    faults, total = [], 0
    for name, source in sources.items():
        lines = code_lines(source)
        total += len(lines)
        if len(lines) >= MODULE_LIMIT:
            faults.append(f"{name} has {len(lines)} lines")
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = len(lines & set(range(node.lineno, node.end_lineno + 1)))
                if length >= FUNCTION_LIMIT:
                    faults.append(f"{name}: {node.name} has {length} lines")
    return [*faults, f"all have {total} lines"] if total >= HELPERS_LIMIT else faults


def test_helpers_are_thin():
    assert size_faults(helpers_sources()) == []


COUNTED = '''"""Two
lines."""

# note
x = """two
lines"""  # note


def f():
    """Said."""

    return (
        x
    )
'''


def test_only_code_counts():
    assert code_lines(COUNTED) == {5, 6, 9, 12, 13, 14}


def test_fat_helpers_are_caught():
    statements = "    x = 1\n" * (FUNCTION_LIMIT - 1)
    too_long = f"a.py: f has {FUNCTION_LIMIT} lines"
    assert size_faults({"a.py": f"def f():\n{statements}"}) == [too_long]
    assert size_faults({"a.py": f"def f():\n{statements[:-10]}"}) == []
    assert size_faults({"a.py": "x = 1\n" * MODULE_LIMIT}) == [f"a.py has {MODULE_LIMIT} lines"]
    parts = {f"{i}.py": "x = 1\n" * (HELPERS_LIMIT // 20) for i in range(20)}
    assert size_faults(parts) == [f"all have {HELPERS_LIMIT} lines"]


# Packages, what they import of each other, and a test file for each module


def top_packages(root):
    """The folders at the top that Python takes for packages, but for the tests."""
    return {path.parent.name for path in root.glob("*/__init__.py")} - {"tests"}


def listed_packages():
    return tomllib.loads(read("pyproject.toml"))["tool"]["setuptools"]["packages"]


def test_every_package_is_installed():
    assert set(listed_packages()) == top_packages(ROOT)


def test_a_package_that_is_not_listed_is_seen(tmp_path):
    for name in ("helpers", "tests", "more"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").touch()
    (tmp_path / "data").mkdir()
    assert top_packages(tmp_path) == {"helpers", "more"}


ALONE = """import sys
sys.meta_path = [finder for finder in sys.meta_path if "_EditableFinder" not in repr(finder)]
import helpers.rerun, tools.my
print(tools.__file__)
"""


@pytest.mark.parametrize("left_out", [None, "helpers", "tools"])
def test_commands_are_found_from_another_folder(tmp_path, left_out):
    """With the packages that are installed, and none that this Python was given otherwise."""
    (tmp_path / "installed").mkdir()
    for name in listed_packages():
        if name != left_out:
            (tmp_path / "installed" / name).symlink_to(ROOT / name)
    env = os.environ | {"PYTHONPATH": str(tmp_path / "installed")}
    command = [sys.executable, "-c", ALONE]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
    if left_out:
        assert f"No module named '{left_out}'" in done.stderr
    else:
        assert Path(done.stdout.strip()) == tmp_path / "installed/tools/__init__.py", done.stderr


def importers_of_tools(sources):
    """The files of helpers that import tools; sources maps file names to their text."""
    found = []
    for name, source in sources.items():
        modules = []
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Import):
                modules += [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                modules.append("." * node.level + (node.module or ""))
        if any(re.match(r"tools\b|\.\.", module) for module in modules):
            found.append(name)
    return found


def helpers_sources():
    paths = sorted((ROOT / "helpers").rglob("*.py"))
    return {path.name: path.read_text(encoding="utf-8") for path in paths}


def test_helpers_import_tools_in_one_place():
    """In the command that has its name from before there were tools."""
    sources = helpers_sources()
    assert importers_of_tools(sources) == ["rerun.py"]
    assert len(code_lines(sources["rerun.py"])) <= 4


@pytest.mark.parametrize(
    "line",
    [
        "import tools",
        "import math, tools.rerun",
        "from tools import my",
        "from tools.my import make",
        "def f():\n    import tools.my",
        "from .. import tools",
    ],
)
def test_another_import_of_tools_is_caught(line):
    assert importers_of_tools({"a.py": "import toolsy\nfrom . import data"}) == []
    assert importers_of_tools({"a.py": line}) == ["a.py"]


# The command helpers/rerun is tested by test_rerun; helpers/checks passes on what others define.
UNTESTED = {"helpers/__init__.py", "tools/__init__.py", "helpers/rerun.py", "helpers/checks.py"}


def without_test(modules, tests):
    """The modules that have no test file of their name."""
    return [
        module
        for module in modules
        if module not in UNTESTED and f"test_{Path(module).name}" not in tests
    ]


def test_every_module_has_its_test_file():
    modules = [
        path.relative_to(ROOT).as_posix()
        for package in ("helpers", "tools")
        for path in sorted((ROOT / package).glob("*.py"))
    ]
    assert without_test(modules, {path.name for path in (ROOT / "tests").iterdir()}) == []


def test_a_module_without_a_test_file_is_caught():
    modules = ["helpers/__init__.py", "helpers/rerun.py", "helpers/a.py", "tools/b.py"]
    assert without_test(modules, {"test_a.py", "test_b.py"}) == []
    assert without_test(modules, {"test_a.py", "b.py"}) == ["tools/b.py"]
    assert without_test(modules, {"test_b.py"}) == ["helpers/a.py"]


# Dependencies: pyproject.toml bounds them, tools/locks pins all, environment.yml serves conda

PINS = "tools/locks/requirements.txt"


def direct_dependencies(pyproject, extras=("test", "real")):
    project = tomllib.loads(pyproject)["project"]
    listed = sum(
        (project["optional-dependencies"].get(extra, []) for extra in extras),
        project["dependencies"],
    )
    return {found.name.lower(): found for found in map(Requirement, listed)}


def pinned(requirements):
    return dict(re.findall(r"^([\w.-]+)==([\w.!+]+)", requirements.lower(), flags=re.MULTILINE))


def requirements_faults(requirements):
    faults = []
    for entry in re.split(r"\n(?=\S)", requirements.strip()):
        first, *rest = entry.splitlines()
        if first.startswith("#"):
            continue
        if not re.match(r"[a-z0-9][a-z0-9.-]*==[\w.!+]+( ; [^:]+)? \\$", first):
            faults.append(f"not a plain pin: {first}")
        elif not any(re.fullmatch(r"\s+--hash=sha256:[0-9a-f]{64}( \\)?", line) for line in rest):
            faults.append(f"no hash: {first}")
    faults += [
        f"an address: {line}"
        for line in requirements.splitlines()
        if re.search(r"://|index|--find-links", line)
    ]
    names = re.findall(r"^[\w.-]+(?===)", requirements, flags=re.MULTILINE)
    unmarked = set(re.findall(r"^([\w.-]+)==[^;\n]*$", requirements, flags=re.MULTILINE))
    return faults + [f"twice: {name}" for name in sorted(unmarked) if names.count(name) > 1]


def bound_faults(pyproject, requirements):
    """One pin, inside its bounds, for every direct dependency.

    One set of versions makes one set of stored outputs.
    """
    faults = []
    for name, need in direct_dependencies(pyproject).items():
        pins = re.findall(
            rf"^{re.escape(name)}==([\w.!+]+)", requirements.lower(), flags=re.MULTILINE
        )
        if len(pins) != 1 or not need.specifier.contains(pins[0]):
            faults.append(f"{need} does not admit {' and '.join(pins) or 'nothing'}")
    return faults


def environment_faults(environment, pyproject, requirements):
    """environment.yml must list the direct dependencies, and them alone, at the pinned versions."""
    listed = yaml.safe_load(environment)
    faults = (
        []
        if listed["channels"] == ["conda-forge", "nodefaults"]
        else [f"channels {listed['channels']}"]
    )
    conda = {}
    for item in listed["dependencies"]:
        if isinstance(item, dict):
            for line in item.get("pip", [item]):
                pin = re.fullmatch(r"([a-z0-9_.-]+)(?:\[[a-z]+\])?==([\w.]+)", line)
                if pin and pin[1] not in conda:
                    conda[pin[1]] = pin[2]
                elif line != "-e .":
                    faults.append(f"pip installs {line}")
        elif item != "pip" and not re.fullmatch(r"[a-z0-9_.-]+=[^=<>*]+", item):
            faults.append(f"not name=version: {item}")
        else:
            name, _, version = item.partition("=")
            conda[name] = version

    python = conda.pop("python", "0")
    if python not in SpecifierSet(tomllib.loads(pyproject)["project"]["requires-python"]):
        faults.append(f"python {python}")
    wanted, pins = direct_dependencies(pyproject).keys() - {"uv"}, pinned(requirements)
    faults += [f"lacks {name}" for name in sorted(wanted - conda.keys())]
    faults += [f"has {name}" for name in sorted(conda.keys() - wanted - {"pip", "make"})]
    return faults + [
        f"{name} is not {pins[name]}"
        for name in sorted(wanted & conda.keys())
        if conda[name] != pins.get(name)
    ]


def test_requirements_are_pinned_and_hashed():
    assert requirements_faults(read(PINS)) == []


def test_pyproject_admits_every_pin():
    assert bound_faults(read("pyproject.toml"), read(PINS)) == []


def extra_faults(pyproject, requirements, pins, extra):
    """An extra that only some readers need: pinned, inside its bounds.

    Nothing is in it that `make .venv` installs already.
    """
    wanted = direct_dependencies(pyproject, extras=[extra]).keys() - pinned(requirements).keys()
    listed = tomllib.loads(pyproject)["project"]["optional-dependencies"][extra]
    own = [line for line in listed if Requirement(line).name.lower() in wanted]
    alone = f"[project]\ndependencies = {own}\n[project.optional-dependencies]"
    faults = requirements_faults(pins) + bound_faults(alone, pins)
    faults += [f"no pin for {name}" for name in wanted - pinned(pins).keys()]
    return faults + [
        f"in both files: {name}" for name in pinned(pins).keys() & pinned(requirements).keys()
    ]


@pytest.mark.parametrize("extra", ["scale", "book", "audit"])
def test_extras_are_pinned_too(extra):
    files = [read(name) for name in ("pyproject.toml", PINS, f"tools/locks/{extra}.txt")]
    assert extra_faults(*files, extra) == []


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("pyspark==4.0.5", "pyspark==4.1.0", "does not admit 4.1.0"),
        ("pyspark==4.0.5", "sparkling==1.0", "no pin for pyspark"),
        ("pyspark==4.0.5", "pyspark>=4.0", "not a plain pin"),
        ("pyspark==4.0.5", "numpy==2.4.1", "in both files: numpy"),
    ],
)
def test_a_strange_extra_is_caught(old, new, fault):
    pyproject = PYPROJECT + 'scale = ["pyspark>=4.0,<4.1"]'
    scale = f"pyspark==4.0.5 \\\n    --hash=sha256:{HASH}\n"
    assert extra_faults(pyproject, REQUIREMENTS, scale, "scale") == []
    faults = extra_faults(pyproject, REQUIREMENTS, scale.replace(old, new), "scale")
    assert fault in "\n".join(faults)


def test_environment_yml_serves_the_same_versions():
    assert environment_faults(read("environment.yml"), read("pyproject.toml"), read(PINS)) == []


HASH = "a" * 64
REQUIREMENTS = f"""numpy==2.4.1 \\
    --hash=sha256:{HASH} \\
    --hash=sha256:{HASH}
    # via pandas
appnope==1.0 ; sys_platform == 'darwin' \\
    --hash=sha256:{HASH}
pytest==9.2.0 \\
    --hash=sha256:{HASH}
uv==0.9.1 \\
    --hash=sha256:{HASH}
"""
PYPROJECT = """[project]
requires-python = ">=3.11,<3.14"
dependencies = ["NumPy>=2.4,<2.5"]
[project.optional-dependencies]
test = ["pytest>=9,<10", "uv>=0.9,<1"]
"""
ENVIRONMENT = """name: course
channels: [conda-forge, nodefaults]
dependencies: [python=3.13, numpy=2.4.1, pytest=9.2.0, pip, make=4.4, {pip: ["-e ."]}]
"""


def test_good_dependency_files_pass():
    assert requirements_faults(REQUIREMENTS) == []
    assert bound_faults(PYPROJECT, REQUIREMENTS) == []
    assert environment_faults(ENVIRONMENT, PYPROJECT, REQUIREMENTS) == []


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        (
            f"pytest==9.2.0 \\\n    --hash=sha256:{HASH}\n",
            "pytest==9.2.0 \\\n    # via me\n",
            "no hash: pytest==9.2.0",
        ),
        ("numpy==2.4.1", "numpy>=2.4", "not a plain pin"),
        ("numpy==2.4.1 \\", "numpy @ https://example.org/numpy.whl \\", "an address"),
        ("numpy==2.4.1", "--index-url https://example.org\nnumpy==2.4.1", "an address"),
        ("appnope==1.0", "numpy==1.0", "twice: numpy"),
    ],
)
def test_loose_requirements_are_caught(old, new, fault):
    assert old in REQUIREMENTS
    assert fault in "\n".join(requirements_faults(REQUIREMENTS.replace(old, new)))


@pytest.mark.parametrize(
    ("pin", "fault"),
    [
        ("numpy==2.5.0", "does not admit 2.5.0"),
        ("scipy==1.17.0", "does not admit nothing"),
        ("numpy==2.4.0 ; python_version < '3.12'\nnumpy==2.4.1", "does not admit 2.4.0 and 2.4.1"),
    ],
)
def test_pins_out_of_bounds_are_caught(pin, fault):
    assert fault in "\n".join(bound_faults(PYPROJECT, REQUIREMENTS.replace("numpy==2.4.1", pin)))


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("nodefaults", "defaults", "channels"),
        ("[conda-forge, nodefaults]", "[nodefaults, conda-forge]", "channels"),
        ("python=3.13", "python=3.14", "python 3.14"),
        ("python=3.13, ", "", "python 0"),
        ("numpy=2.4.1", "numpy=2.4.0", "numpy is not 2.4.1"),
        ("numpy=2.4.1", "numpy>=2.4.1", "not name=version: numpy>=2.4.1"),
        ("numpy=2.4.1", "numpy", "not name=version: numpy"),
        ("pytest=9.2.0, ", "", "lacks pytest"),
        ("make=4.4", "seaborn=0.13", "has seaborn"),
        ("-e .", "-e .[test]", "pip installs -e .[test]"),
        ("-e .", 'seaborn==0.13", "-e .', "has seaborn"),
        ("-e .", 'numpy==2.4.1", "-e .', "pip installs numpy==2.4.1"),
        ("-e .", 'pandas>=3", "-e .', "pip installs pandas>=3"),
        (
            "-e .",
            "--no-deps -e .",
            "pip installs --no-deps",
        ),  # conda writes a file of it, where pip knows no such option
    ],
)
def test_a_strange_environment_is_caught(old, new, fault):
    assert old in ENVIRONMENT
    assert fault in "\n".join(
        environment_faults(ENVIRONMENT.replace(old, new), PYPROJECT, REQUIREMENTS)
    )


# Traces of a machine

MACHINE_PATH = re.compile(r"/(?:work|root|home|tmp)/|\b[A-Z]:\\+Users\\+")
PICTURE = re.compile(r"[A-Za-z0-9+/=]{400,}")  # stored pictures may hold any four letters


def machine_paths(text):
    return MACHINE_PATH.findall(PICTURE.sub("", text))


def committed_files():
    try:
        listed = subprocess.run(
            ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip(
            "needs git and a clone: a folder without history does not say which files are committed"
        )
    return [
        ROOT / name
        for name in listed.decode("utf-8").split("\0")
        if name and (ROOT / name).is_file()
    ]


def test_no_committed_file_names_somebodys_folders():
    faults = {}
    for path in committed_files():
        content = path.read_bytes()
        if b"\0" in content:
            continue
        found = machine_paths(content.decode("utf-8"))
        if found:
            faults[str(path.relative_to(ROOT))] = found
    assert faults == {}


@pytest.mark.parametrize("folder", ["work", "root", "home", "tmp"])
def test_machine_paths_are_caught(folder):
    assert machine_paths(f'File "/{folder}/ann/course/x.py", line 3') == [f"/{folder}/"]
    assert machine_paths(f"see {folder}/ann and the {folder}") == []
    assert machine_paths("iVBOR" * 100 + f"/{folder}/" + "w0KGgo" * 100) == []


# The Makefile

HARM = 'a `echo b` $x $$y "; echo c; " \' ~ é'
MAKE = {
    "class": ("tools.class_sets", "SEEDS NAMES FIRST OUT"),
    "slides": ("tools.slides", "NOTEBOOK"),
    "book": ("tools.book", "SOLUTIONS ISSUES"),
}


def handed_on(target, typed, makefile):
    """What `make TARGET NAME=value ...` gives to its command of Python, where nothing is done."""
    folder = Path(tempfile.mkdtemp())
    try:
        (folder / "Makefile").write_text(makefile, encoding="utf-8")
        (folder / "tests").mkdir()
        (folder / "bin").mkdir()
        python = folder / "bin/python"
        python.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n', encoding="utf-8")
        shutil.copy(python, folder / "bin/uv")
        for path in (python, folder / "bin/uv"):
            path.chmod(0o755)
        call = ["make", "-s", target, "BIN=bin", "READY=tests", *typed]
        done = subprocess.run(call, cwd=folder, capture_output=True, text=True)
        return done.stdout.splitlines(), done.stderr, done.returncode
    finally:
        shutil.rmtree(folder)


@pytest.mark.parametrize("target", MAKE)
def test_make_hands_on_what_was_typed(target):
    """Neither make nor the shell reads it; nothing is handed on where nothing was typed."""
    module, names = MAKE[target]
    said, _, code = handed_on(target, [], read("Makefile"))
    assert (said[-2:], code) == (["-m", module], 0)
    for name in names.split():
        said, _, code = handed_on(target, [f"{name}={HARM}"], read("Makefile"))
        assert said[-2] == module and said[-1].endswith(HARM) and code == 0


def test_a_makefile_that_reads_what_was_typed_is_caught():
    faulty = read("Makefile").replace('"$$TYPED_NOTEBOOK"', '"$(NOTEBOOK)"')
    assert faulty != read("Makefile")
    assert not handed_on("slides", [f"NOTEBOOK={HARM}"], faulty)[0][-1].endswith(HARM)


@pytest.mark.parametrize(("target", "typed"), [("class", "SEED=3"), ("book", "SOLUTION=0")])
def test_a_name_that_make_does_not_know_is_told(target, typed):
    said, told, code = handed_on(target, [typed], read("Makefile"))
    assert code == 2 and said == [] and "Say S" in told


# Pages


def dead_links(text, folder):
    """Relative links of a page in `folder` that lead nowhere."""
    targets = re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", text)
    return [target for target in targets if not (folder / target).exists()]


PAGES = [*ROOT.glob("*.md"), *ROOT.glob("book/*.md"), *ROOT.glob("notebooks/*.md")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_of_pages_lead_somewhere(page):
    assert dead_links(page.read_text(encoding="utf-8"), page.parent) == []


def test_a_dead_link_is_caught():
    text = "see [a](README.md#start), [b](book/none.md) and [c](https://example.org/x)"
    assert dead_links(text, ROOT) == ["book/none.md"]


def first_version(changelog):
    return re.search(r"^## ([\d.]+)$", changelog, flags=re.MULTILINE)[1]


def test_the_changelog_begins_with_the_version_of_the_project():
    assert first_version("# What\n\n## 2.0.1\n\n## 1.0\n") == "2.0.1"
    version = tomllib.loads(read("pyproject.toml"))["project"]["version"]
    assert first_version(read("CHANGELOG.md")) == version


# Style


def unformatted(source):
    """Comments by which code leaves ruff's format or rules."""
    return re.findall(r"#\s*(?:fmt:|yapf:|noqa|ruff:|type:\s*ignore).*", source)


SOURCES = [
    path for folder in ("helpers", "tools", "tests", "book") for path in ROOT.glob(f"{folder}/*.py")
]


def test_no_code_leaves_the_format():
    found = {path.name: unformatted(path.read_text(encoding="utf-8")) for path in SOURCES}
    assert {name: comments for name, comments in found.items() if comments} == {}


def test_code_that_leaves_the_format_is_caught():
    skip = "fmt: " + "skip"
    assert unformatted(f"x = {{  1: 2 }}  # {skip}\ny = 1  # why: fast") == [f"# {skip}"]


def test_wrong_types_in_helpers_are_caught(tmp_path):
    """The settings of `make test` refuse an untyped function and a number where text is meant."""
    faulty = tmp_path / "faulty.py"
    faulty.write_text("def f(x):\n    return x\n\n\ndef g(x: str) -> int:\n    return x\n", "utf-8")
    settings = ["--config-file", str(ROOT / "pyproject.toml"), "--cache-dir", str(tmp_path)]
    said, _, code = api.run([*settings, str(faulty)])
    assert code == 1
    assert "Function is missing a type annotation" in said
    assert 'expected "int"' in said
