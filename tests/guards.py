"""What several test files share: planted faults, refusals, simulated arms, notebooks run here."""

import ast
import hashlib
import math
import pickle
import re
import socket
from pathlib import Path
from unittest import mock

import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pandas as pd
import pytest
from IPython.core.formatters import PlainTextFormatter
from matplotlib.figure import Figure
from matplotlib.text import Text

from helpers import (
    InputError,
    adjustment,
    data,
    exercises,
    experiment,
    heterogeneity,
    inference,
    plots,
    power,
    segments,
    words,
)
from tools import notebooks, rerun

# Guards and what they measure


def caught(guard, faulty):
    """The planted fault must fail the guard."""
    with pytest.raises(AssertionError):
        guard(faulty)


def guard_message(call, *said):
    """`call` must refuse with an InputError of one or two lines that hold every word of `said`."""
    with pytest.raises(InputError) as refused:
        call()
    message = str(refused.value)
    assert 1 <= len(message.splitlines()) <= 2
    assert message.endswith(".")
    assert "None" not in message
    for words_said in said:
        assert words_said in message


def two_arms(n_c, n_t, sd_c=1.0, sd_t=1.0, lift=0.0, mean=10.0, runs=20_000, seed=1):
    """Outcome and treated, one row per run; the control arm stands in the first n_c columns."""
    rng = np.random.default_rng(seed)
    outcome = np.hstack(
        [rng.normal(mean, sd_c, (runs, n_c)), rng.normal(mean + lift, sd_t, (runs, n_t))]
    )
    return outcome, np.broadcast_to(np.arange(n_c + n_t) >= n_c, outcome.shape)


def share(hits):
    return float(np.mean(hits))


def covers(low, high, truth):
    return share((low <= truth) & (truth <= high))


def mirrored(x):
    return 1 / (1 + x) - 1


def fields(result, *names):
    return [getattr(result, name) for name in names]


# A notebook, run here

STANDARD = {"customers_file": None, "n_clusters": 4, "target_cluster": 1, "effect": 3.0, "seed": 42}
NUMBER = r"[+-]?[\d,]*\.?\d+"


def draw(figure: Figure) -> None:
    """Draw without storing, and where things stand by default.

    A formula without its formatter and values that cannot be drawn show all the same. That parts
    fit beside one another is for nbval, which draws and compares the pictures; here it would cost
    twice the time of the rest.
    """
    figure.set_layout_engine("none")
    figure.draw_without_rendering()


def run_in_process(
    path: Path,
    knobs: dict,
    monkeypatch,
    offline: bool = True,
    drawn: bool = True,
    space: dict | None = None,
) -> list[str]:
    """Every text that a notebook's code cells display or print, executed here without a network.

    drawn: False where only numbers are asked for, and others look at the figures. space: where
    the names go; what is in it already was executed before, and the knobs with it.
    """
    shown: list[str] = []
    notebook = nbformat.read(path, as_version=4)
    if space is None:
        space = {}
    if not space:
        notebooks.set_knobs(notebook, knobs)

    def no_network(*_args, **_kwargs):
        raise OSError("the course must not use the network")

    if offline:
        monkeypatch.setattr(socket.socket, "connect", no_network)
        monkeypatch.setattr(socket, "getaddrinfo", no_network)
    for module in (words, plots):
        monkeypatch.setattr(
            module, "display", lambda bundle, **_: shown.append(bundle["text/plain"])
        )
    monkeypatch.setattr(plots.plt, "close", figure_is_readable)
    monkeypatch.setattr(Figure, "savefig", lambda figure, *_, **__: drawn and draw(figure))
    space["print"] = lambda *parts: shown.append(" ".join(map(str, parts)))
    plain = PlainTextFormatter()
    for kind in (float, np.float64):
        plain.for_type(kind, plots.print_number)
    codes = [cell for cell in notebook.cells if cell.cell_type == "code"]
    try:
        # statsmodels collects garbage by the way, which takes long where there is as much as here
        with mock.patch("gc.collect"), pd.option_context("display.max_columns", 20):  # a kernel's
            for cell in codes:
                value = last_value(cell.source, f"{path.name}, {cell.id}", space)
                if value is not None:
                    shown.append(plain(value))
    finally:
        close_figure("all")
    return shown


def last_value(source: str, called: str, space: dict) -> object:
    """Execute a cell in a space, and return what a notebook would show of its last line."""
    tree = ast.parse(source)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, called, "exec"), space)
    return eval(compile(ast.Expression(last.value), called, "eval"), space) if last else None


@pytest.fixture(scope="module", autouse=True)
def clusters_kept():
    """Where this is imported: the same table is clustered once, and the course's own is read once.

    Every exercise begins with that, and it takes half of its time. That the same customers make the
    same clusters each time is for test_segments; who changes the table has a copy of it.
    """
    load, cluster, kept = data.load_customers, segments.cluster_customers, {}

    def load_once(path=None):
        if path is not None:  # a file can change
            return load(path)
        if None not in kept:
            kept[None] = load()
        return kept[None].copy()

    def cluster_once(customers, *how, **more):
        key = (pickle.dumps(customers), how, tuple(more.items()))
        if key not in kept:
            kept[key] = cluster(customers, *how, **more)
        return kept[key].copy()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(data, "load_customers", load_once)
        patch.setattr(segments, "cluster_customers", cluster_once)
        yield


def solve(exercise: str, knobs: dict) -> exercises.Exercise:
    """The exercise in the run with these knobs, all others as stored."""
    return exercises.find(exercise)(exercises.run_of(exercise[:2], knobs))


def functions_of(path: Path, *names: str) -> list:
    """Functions that a notebook defines, for use without the rest of it."""
    cells = [c.source for c in nbformat.read(path, 4).cells if c.cell_type == "code"]
    space: dict = {"np": np, "hashlib": hashlib, "seed": 42}
    for name in names:
        exec(next(source for source in cells if f"def {name}(" in source), space)
    return [space[name] for name in names]


close_figure = plt.close


def figure_is_readable(figure) -> None:
    """Called where `plots.show` closes a drawn figure: no raw formula in it, and a short title.

    A log axis has one when it lacks a formatter. A title of a recurring figure has up to 52 letters
    and its names are large enough for a telephone.
    """
    texts = [text for text in figure.findobj(Text) if text.get_text()]
    title = figure.get_suptitle()
    close_figure(figure)
    assert not [text for text in texts if "mathdefault" in text.get_text()]
    assert len(title) <= 52, title
    assert not title or min(text.get_fontsize() for text in texts) >= 11


# What it says

# What no text may say; the first is a whole number that was too large for its type.
NEVER = re.compile(r"-9,?223,?372|-0\.0+\b(?!\d)|\b1 (?:customers|points of|clusters|runs)\b")
# What is undefined or infinite stands beside a label that says why.
ODD, WHY = re.compile(r"\b(nan|inf)\b", re.IGNORECASE), "{0} where|too few customers"


def lies(text: str) -> list[str]:
    """Sentences that their own numbers contradict.

    That is every verdict next to an interval, and what never may be shown.
    """
    found = []
    ends = rf"\(interval ({NUMBER}) to ({NUMBER}), p [=<] ({NUMBER})\)"
    pattern = rf"is ({NUMBER}) (?:percentage )?points {ends}\. (.*?)(?:\n|$)"
    for lift, low, high, p, verdict in re.findall(pattern, text):
        lift, low, high, p = (float(x.replace(",", "")) for x in (lift, low, high, p))
        clear = low > 0 or high < 0
        true = {
            "A clear gain": low > 0,
            "A clear loss": high < 0,
            "No gain worth having": low <= 0 <= high < 1,
            "Too uncertain to tell": low <= 0 <= high and high >= 1,
        }
        said = next((key for key in true if verdict.startswith(key)), None)
        if said is None or not true[said] or not low <= lift <= high or (p < 0.05) != clear:
            found.append(f"{lift} ({low} to {high}), p {p}: {verdict}")
    return found + [line for line in text.splitlines() if NEVER.search(line)]


def unexplained(shown: list[str]) -> list[str]:
    """What is displayed with nan or inf in it, and no word on why."""
    return [
        text
        for text in shown
        for odd in set(map(str.lower, ODD.findall(re.sub(r"(nan|inf) where", "", text))))
        if not re.search(WHY.format(odd), text)
    ]


def expected(knobs: dict) -> tuple[pd.DataFrame, dict[int, inference.Comparison]]:
    """The clusters and, for each that can be tested, the comparison; from scipy-checked helpers."""
    clustered = segments.cluster_customers(
        data.load_customers(knobs["customers_file"]), knobs["n_clusters"]
    )
    found = {}
    for cluster in sorted(clustered["Cluster"].unique()):
        try:
            trial = experiment.simulate_experiment(
                clustered, cluster, knobs["effect"], seed=knobs["seed"]
            )
        except words.InputError:
            continue
        arms = [trial[trial["group"] == arm]["outcome"] for arm in experiment.ARMS]
        found[cluster] = inference.compare_means(*arms)
    return clustered, found


def small_file(folder: Path) -> str:
    """Fourteen customers in another column order, with an extra column and the spelling Genre."""
    customers = data.load_customers().head(14).rename(columns={"Gender": "Genre"}).assign(Note="x")
    customers[customers.columns[::-1]].to_csv(folder / "small.csv", index=False)
    return str(folder / "small.csv")


LAST_SEED = 2**32 - 1
VERDICTS = ("02", "03", "04", "05", "07", "08")  # of the target cluster, in words
# Each knob has other values than the stored one, and each run another verdict: a gain though
# nothing was planted, a loss, a gain worth having, and, with few customers, none. Among them are
# the last seed and the smallest effect that are legal.
RUNS = [
    {"target_cluster": 3, "effect": 0.0, "seed": 57},
    {"target_cluster": 0, "effect": -3.0, "n_clusters": 3, "seed": 17},
    {"target_cluster": 4, "effect": 40.0, "n_clusters": 6, "seed": LAST_SEED},
    {"target_cluster": 0, "effect": 1e-9, "n_clusters": 2, "customers_file": "small"},
]


def tells_the_truth(
    knobs: dict, tmp_path: Path, monkeypatch, only: tuple[str, ...] = ()
) -> dict[str, list[str]]:
    """All notebooks run on these knobs, name the right cluster, and contradict no own number.

    The texts of each, by its number. only: those whose sentences hang on the verdict, where others
    are run elsewhere; all must draw figures that can be read.
    """
    monkeypatch.chdir(tmp_path)
    knobs = STANDARD | knobs
    if knobs["customers_file"] == "small":
        knobs["customers_file"] = small_file(tmp_path)
    clustered, results = expected(knobs)
    target = knobs["target_cluster"]
    # 09 has knobs of its own, and test_real_experiments; 10 is held to its rows in test_at_scale,
    # on other clusters, effects and seeds, but not on other customers
    files = [path for path in notebooks.find() if path.name[:2] not in ("09", "10")]
    if only:
        files = [path for path in files if path.name[:2] in only]
    texts = {
        path.name[:2]: run_in_process(path, knobs, monkeypatch, drawn=not only) for path in files
    }
    everything = "\n".join("\n".join(shown) for shown in texts.values())
    assert lies(everything) == []
    assert [odd for shown in texts.values() for odd in unexplained(shown)] == []
    if knobs["effect"]:  # it is not zero
        assert not re.search(r"effect:? 0\.00\b", everything)

    own = words.verdict(results[target])
    assert own in texts["03"] and own in texts["04"]
    assert rerun.preview(**knobs).endswith(own)
    published = inference.compare_means_from_stats(
        80.055095, 11.030143, 20, 83.737255, 11.09962, 20
    )
    others = {words.verdict(r) for j, r in results.items() if j != target}
    others -= {own, words.verdict(published)}
    assert not others & set(texts["03"] + texts["04"])
    named = set(re.findall(r"\b[Cc]luster (\d+) \(", everything))
    listed = {str(j) for j in results}
    assert str(target) in named and named <= listed | {str(target)}
    table = next(t for t in texts["03"] if "estimate" in t and "note" in t)
    for r in results.values():
        assert all(f"{x:.4f}" in table for x in (r.lift, r.ci_low, r.ci_high))
    assert table.count(words.FEW) == clustered["Cluster"].nunique() - len(results)
    adjusted_is_true(texts["07"], knobs, clustered)
    plan_is_true(texts["08"], knobs, segments.select_cluster(clustered, target))
    if only:
        return texts
    log = data.load_log()
    whole = heterogeneity.compare_segments(log.assign(all=1), "all", "converted").iloc[0]
    assert words.verdict(whole, 0.01, "percentage points", 100) in texts["06"]
    decided = heterogeneity.decide(
        log, "age_band", "converted", worth=0.01, seed=knobs.get("seed", 42)
    )
    shown = next(text for text in texts["06"] if "users_needed" in text)
    assert all(decision.split(":")[0] in shown for decision in decided["decision"])
    saved = pd.read_csv(tmp_path / "customers_with_clusters.csv")
    assert (saved["Cluster"].to_numpy() == clustered["Cluster"].to_numpy()).all()
    return texts


def adjusted_is_true(texts: list[str], knobs: dict, clustered: pd.DataFrame) -> None:
    """What 07 says of this run, against helpers that have tests of their own."""
    target = knobs["target_cluster"]
    if re.search(rf"experiment in +cluster {target}\n", "\n".join(texts)):
        trial = experiment.simulate_experiment(
            clustered, target, knobs["effect"], seed=knobs["seed"]
        )
        arms = trial["group"] == "treatment"
        adjusted = adjustment.compare_adjusted(trial["outcome"], arms, trial[experiment.OUTCOME])
        assert words.verdict(adjusted) in texts
    else:
        assert any("cannot be adjusted" in text for text in texts)


def plan_is_true(texts: list[str], knobs: dict, rows: pd.DataFrame) -> None:
    """What 08 says of a plan for the target cluster, whose rows these are."""
    aim = abs(knobs["effect"]) or 1.0
    sd = (rows[experiment.OUTCOME].var() + 25) ** 0.5
    needed = math.ceil(2 * power.sample_size(aim, sd))
    said = next(text for text in texts if "customers with one look" in text)
    seen = [float(line.split()[-1]) for line in said.splitlines()[:3]]
    assert seen == pytest.approx([aim, sd, needed], rel=1e-4, abs=1e-4)


class NoKernel:
    """What `notebooks.client_for` returns, without a kernel: `work` is called in place of one."""

    km = _cleanup_kernel = None

    def __init__(self, work, *given):
        self.work, self.given = work, given

    async def async_execute(self, env):
        self.work(*self.given)


def without_kernels(monkeypatch, work=lambda notebook, folder: None) -> None:
    """Let a re-run execute no cell; work(notebook, folder) may raise what a kernel would."""
    monkeypatch.setattr(
        notebooks, "client_for", lambda notebook, folder, _: NoKernel(work, notebook, folder)
    )
