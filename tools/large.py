"""Logs that are too large for pandas: DuckDB reads them, adds up users, and hands over numbers.

What comes out is what `data.read_log` gives, in the same order. Where a file is not plain, or has a
fault, pandas reads it after all: it takes longer, and knows the line.
"""

import csv
import glob
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import duckdb
import pandas as pd

from helpers import InputError, columns, data, segments, shown, tables, users, words

LARGE = 60_000_000  # bytes of a CSV: some two million rows
ROWS = 2_000_000  # of a Parquet file
MANY = 10_000  # values of a column that are looked at one by one
WHOLE = {"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT"}
NUMBERS = {*WHOLE, "FLOAT", "DOUBLE", "BOOLEAN"}
PADDED = r"^[\s\p{Z}\x1c-\x1f\x85]|[\s\p{Z}\x1c-\x1f\x85]$"
SPACES = "".join(chr(code) for code in range(0x3001) if chr(code).isspace())


def read(
    path: Path, roles: data.Roles, control: str, most_arms: int
) -> tuple[pd.DataFrame, tables.Source]:
    """`data.read_log`, by pandas; or by DuckDB a large file, or the Parquet files in a folder."""
    if path.is_dir():
        return read_large(path, roles, control, most_arms)
    if path.is_file() and is_large(path):
        with suppress(InputError):
            return read_large(path, roles, control, most_arms)
    return data.read_log(path, roles, control, most_arms)


def is_large(path: Path) -> bool:
    """Whether a log is left to DuckDB."""
    if not tables.is_parquet(path):
        return path.stat().st_size > LARGE
    try:
        count = "SELECT sum(num_rows) FROM parquet_file_metadata(?)"
        return duckdb.execute(count, [str(path)]).fetchall()[0][0] > ROWS
    except duckdb.Error:  # data.read_log says so
        return False


def read_large(
    path: Path, roles: data.Roles, control: str, most_arms: int
) -> tuple[pd.DataFrame, tables.Source]:
    """`data.read_log`, by DuckDB. Raises InputError as it does."""
    try:
        with duckdb.connect() as connection:
            return _read(connection, path, roles, control, most_arms)
    except duckdb.Error as error:
        why = shown(str(error).strip().splitlines()[0], most=200)
    except (StopIteration, ValueError) as error:
        if isinstance(error, InputError):
            raise
        why = shown(str(error) or "it is empty", most=200)
    raise InputError(
        f"{shown(path.name)} cannot be read as a table ({why}). Save it as CSV, utf-8."
    )


def _read(
    connection: duckdb.DuckDBPyConnection,
    path: Path,
    roles: data.Roles,
    control: str,
    most_arms: int,
) -> tuple[pd.DataFrame, tables.Source]:
    ids = [] if roles.user in (None, users.EVERY_ROW) else [str(roles.user)]
    numbers = [roles.outcome, *roles.added, *roles.known]
    numbers += [roles.segment] if roles.bands else []
    labels = [name for name in (roles.segment, roles.group, *ids) if name not in ("", *numbers)]
    source, kinds = _open(connection, path, numbers, labels, ids[0] if ids else "")
    data.check_roles(roles.names())
    likely = users.id_columns(kinds) if roles.user is None else []
    likely = [name for name in likely if name not in roles.names()]
    rows = _check_blanks(connection, source, [*numbers, *labels], likely, kinds)
    odd = [name for name in labels if kinds[name] not in {"VARCHAR", *WHOLE}]
    odd += [name for name in numbers if kinds[name] not in {"VARCHAR", *NUMBERS}]
    if odd:
        raise ValueError(f"column {odd[0]} holds {kinds[odd[0]]}")
    values = {name: _number(connection, source, name, kinds[name]) for name in numbers}
    if roles.bands:
        values[roles.segment] = _band(values[roles.segment], roles.bands)
    table = _fetched(connection, roles, values, ids[0] if ids else "", source)
    for name in (roles.segment, roles.group):
        if name:
            table[name] = _named(table[name], roles, source)
    where = f"column {shown(roles.group)} of {source.name}"
    data.check_arms(table[roles.group].cat.categories, control, where, most_arms)
    if roles.segment:
        data.check_segments(table[roles.segment], source)
    for name in (roles.outcome, *roles.added, *roles.known):
        table[name] = columns.as_numbers(name, table, source, data.OUTCOMES)
        data.check_far(table[name], source)
    table.attrs |= {"rows": rows, "notes": source.notes}
    return table, source


def _named(labels: pd.Series, roles: data.Roles, source: tables.Source) -> pd.Series:
    """Arms, or segments in their order, with names that can be shown."""
    if labels.name == roles.segment and roles.bands:
        names = segments.bands(pd.Series(dtype=float), roles.bands).cat.categories
        return pd.Series(pd.Categorical.from_codes(labels.to_numpy(), names, ordered=True))
    different = pd.DataFrame({labels.name: labels.cat.categories})
    names = pd.Series(columns.as_labels(str(labels.name), different, source))
    columns.refuse_blanks([str(labels.name)], different, source)
    if names.duplicated().any():  # blanks around some of them
        labels = labels.astype(str).str.strip().astype("category")
        names = pd.Series(labels.cat.categories)
    labels = labels.cat.rename_categories(names.to_list())
    return labels.cat.reorder_categories(columns.in_order(names).categories, ordered=True)


def _open(
    connection: duckdb.DuckDBPyConnection,
    path: Path,
    numbers: Sequence[str],
    labels: Sequence[str],
    user: str,
) -> tuple[tables.Source, dict[str, str]]:
    """Make `log`, a view or a table, and say what kind its columns were, by name."""
    wanted = [*numbers, *labels]
    if path.is_dir():
        source = tables.Source(path, "", ["a folder of Parquet"], by_row=False)
        read = (
            f"read_parquet({_text(glob.escape(str(path)) + '/**/*.parquet')}, union_by_name=true)"
        )
        place = "row_number() OVER ()"
    elif tables.is_parquet(path):
        source = tables.Source(path, "", ["Parquet"], by_row=False)
        read = f"read_parquet({_text(path)}, file_row_number=true)"
        place = "file_row_number"
    else:
        tables.refuse_other_kinds(path)
        sign = tables.separator(path, wanted)
        notes = [] if sign == "," else [tables.SEPARATORS[sign]]
        source = tables.Source(path, sign, notes, by_row=False)
        with path.open(encoding="utf-8-sig", newline="") as file:
            names = next(csv.reader(file, delimiter=sign))
        kinds = ", ".join(f"{_text(name)}: 'VARCHAR'" for name in names)
        read = f"read_csv({_text(path)}, delim={_text(sign)}, header=true, quote='\"', "
        read += f"escape='\"', auto_detect=false, columns={{{kinds}}})"
        place = ""  # a table's rows have numbers, rowid
    described = connection.sql(f"SELECT * FROM {read} LIMIT 0")
    found = dict(zip(described.columns, map(str, described.types), strict=True))
    found.pop("file_row_number", None)
    stripped = [name.strip() for name in found]
    twice = [name for name in wanted if stripped.count(name) > 1]
    if twice:
        raise InputError(f"{source.name} has the column {tables.names(twice)} more than once.")
    columns.require(wanted, pd.DataFrame([stripped], columns=stripped), source)
    parts = [f"{place} AS place"] if place else []
    ids = [*users.id_columns(stripped), *([user] if user else [])]
    kept = {*wanted, *ids}
    for name, kind in found.items():
        if name.strip() in kept:
            value = _name(name)
            if kind == "VARCHAR" and name.strip() in ids:
                value = _bare(value)
            elif kind in WHOLE and name.strip() in labels:
                value = f"CAST({value} AS VARCHAR)"
            parts.append(f"{value} AS {_column(name.strip())}")
    made = "VIEW" if place else "TABLE"
    connection.execute(f"CREATE {made} log AS SELECT {', '.join(parts)} FROM {read}")
    return source, {name.strip(): kind for name, kind in found.items()}


def _bare(value: str) -> str:
    """The expression for an id without white space around it, blank where nothing is left.

    To trim all of it is slow and seldom needed, so it is looked for first.
    """
    padded = f"regexp_matches({value}, {_text(PADDED)})"
    return f"nullif(CASE WHEN {padded} THEN trim({value}, {_text(SPACES)}) ELSE {value} END, '')"


def _check_blanks(
    connection: duckdb.DuckDBPyConnection,
    source: tables.Source,
    wanted: Sequence[str],
    ids: Sequence[str],
    kinds: dict[str, str],
) -> int:
    """The number of rows. Raises InputError for blanks, and for ids that repeat."""
    counts = [f"count({_column(name)})" for name in [*wanted, *ids]]
    different = [f"count(DISTINCT {_column(name)})" for name in ids]
    found = connection.sql(f"SELECT {', '.join(['count(*)', *counts, *different])} FROM log")
    rows, *known = found.fetchone() or (0,)
    if not rows:
        raise InputError(f"{source.name} has names but no users. Add one line for each.")
    for name, count in zip(wanted, known, strict=False):
        if count < rows:
            blank = words.count(rows - count, "blank value")
            raise InputError(
                f"{source.name}, column {shown(name)}: {blank}. Fill in, or take the rows out."
            )
    for name, count, many in zip(ids, known[len(wanted) :], known[-len(ids) :], strict=False):
        users.check_blank(rows - count, name, source.name)
        if many < rows:
            users.refuse_repeats(name, many, rows, source.name)
    return rows


def _number(
    connection: duckdb.DuckDBPyConnection, source: tables.Source, name: str, kind: str
) -> str:
    """The expression for a column as a number. Raises InputError where a value is none."""
    column = _column(name)
    if kind != "VARCHAR":
        if kind == "BOOLEAN" and "True = 1" not in source.notes:
            source.notes.append("True = 1")
        return f"CAST({column} AS DOUBLE)"
    plain = f"TRY_CAST({column} AS DOUBLE)"
    dotted = f"{column} LIKE '%.%'"
    kinds_of_values = (f"{plain} IS NULL", dotted, f"NOT ({plain} IS NULL OR {dotted})")
    some = [
        f"(SELECT DISTINCT {column} AS v FROM log WHERE {k} LIMIT {MANY})" for k in kinds_of_values
    ]
    values = connection.sql(" UNION ALL ".join(some)).df()["v"].str.strip().rename(name)
    # so many values say how numbers are written here, if all of them are alike
    columns.as_numbers(name, values.to_frame(), source, data.OUTCOMES, yes_or_no=True)
    other = f"contains({column}, '_')"  # which DuckDB takes for a sign of thousands
    number = plain
    if values.str.contains(",").any():
        number = f"TRY_CAST(replace({column}, ',', '.') AS DOUBLE)"
        other += f" OR contains({column}, '.')"
    elif pd.to_numeric(values, errors="coerce").isna().any():
        yes, no = (", ".join(map(_text, said)) for said in (columns.YES, columns.YES.values()))
        word = f"lower(trim({column}))"
        number = f"CASE WHEN {word} IN ({yes}) THEN 1.0 WHEN {word} IN ({no}) THEN 0.0 END"
    check = f"SELECT count(*) FILTER ({number} IS NULL OR {other}) FROM log"
    if connection.sql(check).fetchall()[0][0]:
        raise InputError(f"{source.name}, column {shown(name)}: not all values are numbers.")
    return number


def _band(value: str, cuts: Sequence[float]) -> str:
    """The expression for the number of the band that a value belongs to."""
    return " + ".join(f"CAST({value} >= {cut!r} AS TINYINT)" for cut in cuts)


def _fetched(
    connection: duckdb.DuckDBPyConnection,
    roles: data.Roles,
    values: dict[str, str],
    user: str,
    source: tables.Source,
) -> pd.DataFrame:
    """A row for each user, in the order of the file."""
    fixed = [name for name in (roles.segment, roles.group, *roles.known) if name]
    added = [roles.outcome, *roles.added]
    of = {name: values.get(name, _column(name)) for name in (*fixed, *added)}
    if not user:
        parts = [f"{value} AS {_name(name)}" for name, value in of.items()]
        return _as_frame(connection, f"SELECT {', '.join(parts)} FROM log")
    parts = [f"min({of[name]}) AS {_name(name)}" for name in fixed]
    parts += [f"sum({of[name]}) AS {_name(name)}" for name in added]
    parts += [f"min({of[name]}) <> max({of[name]}) AS {_name('varies ' + name)}" for name in fixed]
    place = "place" if source.separator == "" else "rowid"
    by_user = f"SELECT {', '.join(parts)} FROM log GROUP BY {_column(user)} ORDER BY min({place})"
    table = _as_frame(connection, by_user)
    varies = {name: int(table.pop(f"varies {name}").sum()) for name in fixed}
    users.check_both_arms(varies[roles.group], user, source.name)
    for name in filter(None, (roles.segment, *roles.known)):
        users.check_moved(varies[name], name, user, source.name, name == roles.segment)
    for name in added:
        table[name] = users.without_noise(table[name])
    return table


def _as_frame(connection: duckdb.DuckDBPyConnection, query: str) -> pd.DataFrame:
    """The rows of a query; text as categories."""
    found = connection.sql(query).to_arrow_table()
    for place, column in enumerate(found.columns):
        if "string" in str(column.type):
            name = found.column_names[place]
            found = found.set_column(place, name, column.dictionary_encode())
    return found.to_pandas()


def _text(value: object) -> str:
    """A text for SQL."""
    return "'" + str(value).replace("'", "''") + "'"


def _name(name: str) -> str:
    """The name of a column for SQL."""
    return '"' + name.replace('"', '""') + '"'


def _column(name: str) -> str:
    """A column of the view `log`; the letter keeps it from names that SQL has a meaning for."""
    return _name(f"c {name}")
