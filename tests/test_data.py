"""Customers: the data that ship, made by the script beside them, and files of one's own."""

import hashlib
import os
import re
import runpy
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from helpers import CONTROL, InputError, data, experiment, inference, segments, shop, tables
from tests.guards import caught, guard_message

FOLDER = data.FOLDER
MAKE = runpy.run_path(str(FOLDER / "make_data.py"))
MADE = {
    "customers.csv": MAKE["make_customers"],
    "ab_test_data.csv": MAKE["make_log"],
    "shop_customers.csv": shop.customers,
}


@pytest.fixture(scope="module")
def customers():
    return data.load_customers()


@pytest.fixture(scope="module")
def log():
    return pd.read_csv(FOLDER / "ab_test_data.csv")


# Where the files come from


def guard_bytes(name, make):
    made = MAKE["to_csv_bytes"](make()).split(b"\n")
    shipped = (FOLDER / name).read_bytes().split(b"\n")
    different = next(
        (row for row, pair in enumerate(zip(made, shipped, strict=False)) if pair[0] != pair[1]),
        None,
    )
    assert different is None, (
        f"line {different + 1}: {made[different]} made, {shipped[different]} shipped"
    )
    assert len(made) == len(shipped)


@pytest.mark.parametrize("name", MADE)
def test_file_comes_out_of_the_script_byte_for_byte(name):
    guard_bytes(name, MADE[name])
    with pytest.raises(AssertionError):
        guard_bytes(name, lambda: MADE[name](seed=43))


def test_clustered_file_is_what_notebook_01_saves(customers):
    guard_bytes("customers_with_clusters.csv", lambda: segments.cluster_customers(customers))


def guard_checksums(folder):
    """Every CSV stands in a table row of the data card with its sha256."""
    card = (folder / "README.md").read_text(encoding="utf-8")
    rows = [line for line in card.splitlines() if line.startswith("|")]
    for path in sorted(folder.glob("*.csv")):
        listed = [re.findall(r"\b[0-9a-f]{64}\b", row) for row in rows if f"`{path.name}`" in row]
        assert listed == [[hashlib.sha256(path.read_bytes()).hexdigest()]], path.name


def test_data_card_has_the_checksum_of_every_file():
    guard_checksums(FOLDER)


def test_a_changed_byte_and_an_unlisted_file_are_caught(tmp_path):
    table = tmp_path / "ages.csv"
    table.write_bytes(b"age\n42\n")
    checksum = hashlib.sha256(table.read_bytes()).hexdigest()
    card = f"# Data\n\n| file | sha256 |\n|---|---|\n| `ages.csv` | {checksum} |\n"
    (tmp_path / "README.md").write_text(card, encoding="utf-8")
    guard_checksums(tmp_path)

    table.write_bytes(b"age\n43\n")
    with pytest.raises(AssertionError, match=r"ages\.csv"):
        guard_checksums(tmp_path)
    table.write_bytes(b"age\n42\n")
    (tmp_path / "more.csv").write_bytes(b"age\n1\n")
    with pytest.raises(AssertionError, match=r"more\.csv"):
        guard_checksums(tmp_path)


def test_no_file_is_larger_than_a_megabyte():
    assert all(path.stat().st_size < 1_000_000 for path in Path(FOLDER).iterdir() if path.is_file())


# The customers that ship


def test_customers_are_two_hundred_with_whole_numbers_in_range(customers):
    assert list(customers) == list(data.COLUMNS)
    assert customers["CustomerID"].tolist() == list(range(1, 201))
    assert set(customers["Gender"]) == {"Female", "Male"}
    assert 0.4 < (customers["Gender"] == "Female").mean() < 0.7
    for name, (low, high) in zip(
        segments.DEFAULT_FEATURES, ((18, 75), (12, 140), (1, 100)), strict=True
    ):
        assert customers[name].dtype == np.int64
        assert customers[name].between(low, high).all()


def test_the_target_cluster_is_a_group_of_big_spenders(customers):
    """Four groups; cluster 1 has about 40 customers with scores about 80, well above the rest."""
    clustered = segments.cluster_customers(customers)
    scores = clustered.groupby("Cluster")[experiment.OUTCOME].agg(["size", "mean", "std"])
    assert scores.index.tolist() == [0, 1, 2, 3]
    assert scores["size"].min() >= 30
    target = scores.loc[1]
    assert target["size"] == pytest.approx(40, abs=4)
    assert target["mean"] == pytest.approx(80, abs=4)
    assert target["std"] == pytest.approx(10, abs=2)
    assert scores["mean"].drop(1).max() < target["mean"] - 10
    income = clustered["Annual Income (k$)"]
    assert income[clustered["Cluster"] == 1].mean() > income.mean()


@pytest.mark.parametrize("cluster", range(4))
def test_every_cluster_can_be_tested_at_seed_42(customers, cluster):
    table = experiment.simulate_experiment(segments.cluster_customers(customers), cluster)
    assert table["group"].value_counts().min() >= 10


# The experiment log that ships


def test_log_columns_and_ranges(log):
    names = [
        "user_id",
        "age",
        "country",
        "past_purchases",
        "device",
        "group",
        "converted",
        "revenue",
    ]
    assert list(log) == names
    assert not log.isna().any(axis=None)
    assert log["user_id"].tolist() == list(range(100_001, 120_001))
    assert log["age"].between(18, 73).all()
    assert log["past_purchases"].between(0, 100).all()
    assert set(log["country"]) == {"US", "DE", "BR", "JP", "NZ"}
    assert set(log["device"]) == {"mobile", "desktop", "tablet"}
    assert set(log["group"]) == set(experiment.ARMS)
    assert set(log["converted"]) == {0, 1}
    assert ((log["revenue"] > 0) == (log["converted"] == 1)).all()
    assert all(
        log[name].dtype == np.int64 for name in ("user_id", "age", "past_purchases", "converted")
    )


def test_log_is_fairly_assigned(log):
    """The arms have the planned ratio, over all and in every age band, country and device."""
    cuts = [
        pd.Series("all", index=log.index),
        segments.age_band(log["age"]),
        log["country"],
        log["device"],
    ]
    for cut in cuts:
        sizes = log.groupby([cut, "group"], observed=True).size().unstack()
        for counts in sizes[list(experiment.ARMS)].itertuples(index=False):
            assert experiment.sample_ratio_p(*counts) > 0.001


def guard_planted_effects(log, planted):
    """In each age band the lift in conversion is within four standard errors of the planted one."""
    band = segments.age_band(log["age"])
    for name, effect in zip(segments.AGE_BANDS, planted, strict=True):
        rows = log[band == name]
        control, treatment = (
            rows.loc[rows["group"] == arm, "converted"] for arm in experiment.ARMS
        )
        found = inference.compare_means(control, treatment)
        assert abs(found.lift - effect) < 4 * found.lift / found.t, name


def test_planted_effects_can_be_found_again(log):
    planted = MAKE["EFFECT_BY_AGE"]
    guard_planted_effects(log, planted)
    assert planted[0] > 0 > planted[-1]
    with pytest.raises(AssertionError, match="under 30"):
        guard_planted_effects(log, -planted)


# A file of one's own

NAMES = "CustomerID,Gender,Age,Annual Income (k$),Spending Score (1-100)"
ROWS = ("1,Male,20,15,39", "2,Female,21,16,81", "3,Male,22,17,6")


@pytest.fixture
def load(tmp_path):
    """Write a file, then read it back as customers."""

    def write_and_load(*lines, encoding="utf-8"):
        path = tmp_path / "mine.csv"
        path.write_bytes("".join(f"{line}\n" for line in lines).encode(encoding))
        return data.load_customers(path)

    return write_and_load


def each(change):
    return [change(line) for line in (NAMES, *ROWS)]


def with_column(name, value):
    return [f"{NAMES},{name}", *(f"{row},{value}" for row in ROWS)]


GOOD_FILES = {
    "as it is": [NAMES, *ROWS],
    "Genre for Gender": each(lambda line: line.replace("Gender", "Genre")),
    "spaces around names": [NAMES.replace(",", " , "), *ROWS],
    "byte order mark": ["\ufeff" + NAMES, *ROWS],
    "columns in another order": each(lambda line: ",".join(reversed(line.split(",")))),
    "carriage returns": each(lambda line: f"{line}\r"),
    "blank lines": [NAMES, "", ROWS[0], ROWS[1], "", ROWS[2]],
    "semicolons": each(lambda line: line.replace(",", ";")),
    "tabs": each(lambda line: line.replace(",", "\t")),
}


@pytest.mark.parametrize("kind", GOOD_FILES)
def test_good_customer_file(load, kind):
    expected = pd.DataFrame([row.split(",") for row in ROWS], columns=NAMES.split(","))
    numbers = {name: "int64" for name in expected if name != "Gender"}
    assert_frame_equal(load(*GOOD_FILES[kind]), expected.astype(numbers).astype({"Gender": "str"}))


def test_rows_keep_their_order_and_extra_columns_stand_behind(load):
    table = load(
        *(f"{note},{line}" for note, line in zip("nABC", (NAMES, *reversed(ROWS)), strict=True))
    )
    assert table["CustomerID"].tolist() == [3, 2, 1]
    assert list(table) == [*NAMES.split(","), "n"]
    assert table["n"].tolist() == ["A", "B", "C"]


def test_broken_years_and_text_ids_are_welcome(load):
    table = load(NAMES, "A-1,Male,20.5,15,39", "A-2,Male,21,15.25,39")
    assert table["Age"].tolist() == [20.5, 21]
    assert table["CustomerID"].tolist() == ["A-1", "A-2"]


def test_a_comma_at_the_end_of_every_row_loses_nothing(load):
    """Some programs end each row so; the columns must not slip to the left."""
    with_comma, plain = load(NAMES, *(f"{row}," for row in ROWS)), load(NAMES, *ROWS)
    assert with_comma["Age"].tolist() == plain["Age"].tolist()


# A file that is refused

SPREAD_OUT = [
    "",
    "  ",
    f"{NAMES},note",
    '1,Male,20,15,39,"two',
    'lines"',
    "",
    "2,Male,20,15,39,",
    "\t",
    "",
    "3,Male,old,15,39,",
]


def guard_line(load):
    """The line is the one that an editor shows: blank lines and values over two lines count."""
    assert SPREAD_OUT[10 - 1].startswith("3,Male,old")
    guard_message(lambda: load(SPREAD_OUT), "column Age, line 10: old is not a number")
    for end in ("\r\n", "\r"):
        guard_message(lambda e=end: load(SPREAD_OUT, e), "column Age, line 10: old is not a number")


def test_lines_are_counted_as_an_editor_does(tmp_path, monkeypatch):
    def load(lines, end="\n"):
        (tmp_path / "mine.csv").write_text(end.join(lines), encoding="utf-8", newline="")
        data.load_customers(tmp_path / "mine.csv")

    guard_line(load)
    monkeypatch.setattr(tables, "_line", lambda path, sign, row: row + 2)
    caught(guard_line, load)


BAD_FILES = {
    "header only": ([NAMES], "no customers", "Add one line"),
    "missing column": (
        each(lambda line: line[: line.rfind(",")]),
        "lacks",
        "'Spending Score (1-100)'",
        "Rename",
    ),
    "bars": (
        each(lambda line: line.replace(",", "|")),
        "'CustomerID|Gender|Age",
        "commas stand between",
    ),
    "no names": (
        list(ROWS),
        "lacks",
        "'CustomerID'",
        "its columns are '1', 'Male'",
        "the first line holds the names",
    ),
    "repeated name": (
        each(lambda line: line.replace("Gender", "Age")),
        "'Age' more than once",
        "Keep one",
    ),
    "column Cluster": (with_column("Cluster", 1), "'Cluster'", "Rename yours"),
    "column group": (with_column("group", "a"), "'group'", "Rename yours"),
    "column outcome": (with_column("outcome", 1), "'outcome'", "Rename yours"),
    "duplicate id": (
        [NAMES, *ROWS, ROWS[0]],
        "column CustomerID, line 5: 1 ",
        "twice",
        "keep one row for a customer",
    ),
    "blank age": ([NAMES, ROWS[0], "2,Female,,16,81"], "column Age, line 3", "blank", "fill it in"),
    "spaces for a gender": ([NAMES, "1,  ,20,15,39"], "column Gender, line 2", "blank"),
    "blank id": ([NAMES, ROWS[0], ",Female,21,16,81"], "column CustomerID, line 3", "blank"),
    "many blanks": (
        [NAMES, *ROWS, "4,Male,,1,1", "5,Male,,1,1"],
        "column Age, line 5",
        "2 such rows in all",
    ),
    "only commas": ([NAMES, ROWS[0], ",,,,"], "line 3", "blank"),
    "too few values": (
        [NAMES, ROWS[0], "2,Female,21,16"],
        "column Spending Score (1-100), line 3",
        "blank",
    ),
    "too many values in one row": (
        [NAMES, ROWS[0], f"{ROWS[1]},9"],
        "Expected 5 fields in line 3, saw 6",
    ),
    "too many values in every row": (
        [NAMES, *(f"A-{row},9" for row in ROWS)],
        "more values in a row than names",
    ),
    "text for a number": (
        [NAMES, ROWS[0], "2,Female,old,16,81"],
        "column Age, line 3: old is not",
        "such as 42",
    ),
    "thousands comma": (
        [NAMES, '1,Male,20,"1,500",39'],
        "column Annual Income (k$), line 2: 1,500 may be 1500 or 1.500",
    ),
    "per cent": (
        [NAMES, "1,Male,20,15,39%"],
        "column Spending Score (1-100), line 2: 39% is not a number",
    ),
    "true": ([NAMES, "1,Male,True,15,39"], "column Age, line 2: True is not a number"),
    "infinite": (
        [NAMES, "1,Male,20,inf,39"],
        "column Annual Income (k$), line 2: inf",
        "from 0 to 10,000",
    ),
    "negative age": (
        [NAMES, ROWS[0], "2,Female,-3,16,81"],
        "column Age, line 3: -3 is impossible",
        "from 0 to 120",
    ),
    "score of zero": (
        [NAMES, "1,Male,20,15,0"],
        "column Spending Score (1-100), line 2: 0",
        "from 1 to 100",
    ),
    "income in dollars": (
        [NAMES, "1,Male,20,15000,39"],
        "Annual Income (k$), line 2: 15000",
        "from 0 to 10,000",
    ),
    "open quote": (
        [NAMES, '1,"Male,20,15,39'],
        "cannot be read as a table",
        "Save it as CSV, utf-8",
    ),
    "a value more than names in every row": (
        [NAMES, *(f"{row},9" for row in ROWS)],
        "more values in a row than names",
    ),
    "name repeated with a space": ([f"{NAMES}, Age", *(f"{row},9" for row in ROWS)], "Age"),
}


@pytest.mark.parametrize("fault", BAD_FILES)
def test_bad_customer_file(load, fault):
    lines, *said = BAD_FILES[fault]
    guard_message(lambda: load(*lines), "mine.csv", *said)


NO_TABLES = {
    "empty": b"",
    "blank lines": b"\n\n",
    "latin-1": "Âge\n".encode("latin-1"),
    "utf-16": NAMES.encode("utf-16"),
    "binary": bytes(range(256)),
}


@pytest.mark.parametrize("content", NO_TABLES.values(), ids=NO_TABLES)
def test_file_that_is_no_table(tmp_path, content):
    path = tmp_path / "mine.csv"
    path.write_bytes(content)
    guard_message(
        lambda: data.load_customers(path),
        "mine.csv",
        "cannot be read as a table",
        "Save it as CSV, utf-8",
    )


def test_missing_file_and_folder(tmp_path):
    guard_message(
        lambda: data.load_customers(tmp_path / "no.csv"), "no file", "no.csv", "Check the spelling"
    )
    guard_message(lambda: data.load_customers(str(tmp_path)), tmp_path.name, "is no regular file")


# Files made to hurt


def refusal(path: Path, log: bool = True) -> str:
    """What is said of a file, as a log or as customers."""
    with pytest.raises(InputError) as refused:
        data.load_log(path, "s", "y") if log else data.load_customers(path)
    return str(refused.value)


def guard_bounded(message: str) -> None:
    """A line or two for a terminal, which obeys control characters."""
    assert len(message) < 600 and len(message.splitlines()) <= 2
    assert not CONTROL.search(message.replace("\n", "", 1))


LONG, ESCAPE = "x" * 100_000, "\x1b[31mred\x07"
HOSTILE = {
    "a long header": f"{LONG},s,y\n1,2,3\n",
    "a header that is coloured": f"{ESCAPE},s,y\n1,2,3\n",
    "a header over two lines": '"a\nb\rc",s,y\n1,2,3\n',
    "many columns": ",".join(f"c{k}" for k in range(2_000)) + "\n1\n",
    "a long segment": f"s,y,group\n{LONG},1,a\nB,2,b\n",
    "a coloured segment": f"s,y,group\n{ESCAPE},1,a\nB,2,b\n",
    "a segment that turns the line": "s,y,group\n\u202eA,1,a\nB,2,b\n",
    "a segment that looks like another": "s,y,group\nA\u200b,1,a\nA,2,b\n",
    "a segment over two lines": 's,y,group\n"A\nA",1,a\nB,2,b\n',
    "a long arm": f"s,y,group\nA,1,{LONG}\nB,2,control\n",
    "a coloured arm": f"s,y,group\nA,1,{ESCAPE}\nB,2,control\n",
    "many long arms": "s,y,group\n" + "".join(f"A,1,{k:090d}\n" for k in range(1000)),
    "a long outcome": f"s,y,group\nA,{LONG},a\nB,2,b\n",
    "a coloured outcome": f"s,y,group\nA,{ESCAPE},a\nB,2,b\n",
    "a quote that never ends": 's,y,group\nA,1,"' + LONG,
    "more values than names": f"s,y,group\nA,1,a,{LONG}\n",
}


@pytest.mark.parametrize("fault", HOSTILE)
def test_messages_are_bounded_whatever_a_file_holds(tmp_path, fault):
    path = tmp_path / "log.csv"
    path.write_text(HOSTILE[fault], encoding="utf-8", newline="")
    guard_bounded(refusal(path))
    guard_bounded(refusal(path, log=False))


def test_unbounded_messages_are_caught():
    for message in (f"{LONG}.", f"{ESCAPE}.", "a\nb\nc."):
        caught(guard_bounded, message)


def test_the_name_of_a_file_is_bounded_too(tmp_path):
    path = tmp_path / f"{ESCAPE}{'x' * 200}.csv"
    guard_bounded(refusal(path))
    path.write_text("s,y\n1,2\n", encoding="utf-8")
    guard_bounded(refusal(path))
    guard_bounded(refusal(tmp_path / ("x" * 5000)))
    guard_bounded(refusal(tmp_path / "a\x00b"))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_what_is_no_regular_file_is_not_read(tmp_path):
    """A pipe would wait for ever, /dev/zero never ends."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("/dev/zero")
    for place in (tmp_path / "pipe", tmp_path / "link", tmp_path, Path("/dev/zero")):
        for log in (True, False):
            assert "is no regular file. Copy what it holds" in refusal(place, log)


def test_many_columns_are_no_reason_to_warn(load, recwarn):
    """pandas does, where a table of many columns gets one more."""
    names = [f"c{k}" for k in range(300)]
    rows = [f"{row}{',1' * len(names)}" for row in ROWS]
    table = load(",".join([NAMES, *names]), *rows)
    segments.cluster_customers(table, 2)
    assert [str(warning.message) for warning in recwarn] == []


def test_a_word_far_down_a_long_column_is_told_without_a_warning(tmp_path, recwarn):
    """pandas reads in pieces, and warns where they differ in kind."""
    path = tmp_path / "log.csv"
    path.write_text("s,y,group\n" + "A,1,a\n" * 300_000 + "B,oops,b\n", encoding="utf-8")
    assert "log.csv, column y, line 300002: oops is not a number" in refusal(path)
    assert [str(warning.message) for warning in recwarn] == []


def test_names_people_use_are_no_fault(tmp_path):
    """Accents, other alphabets, emoji with their joiners, blanks that do not break."""
    names = [
        "größer, aber ruhig",
        "日本",
        "\u0646\u0645\u06cc\u200c\u062f\u0627\u0646\u0645",
        "5\xa0%",
    ]
    names += ["👩\u200d🔬", "a" * 100]
    rows = [f'"{name}",{k},{arm}' for name in names for k in (0, 1) for arm in ("control", "t")]
    path = tmp_path / "log.csv"
    path.write_text("s,y,group\n" + "\n".join(rows), encoding="utf-8")
    assert set(data.load_log(path, "s", "y")["s"].cat.categories) == set(names)
