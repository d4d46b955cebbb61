"""Columns of a table, as names or as numbers; a value that may mean two things is refused."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from helpers import CONTROL, InputError, tables

LONGEST_NAME = 100  # of a segment or an arm, in characters
# Two words of a column are 1 and 0; whatever else it holds is refused.
YES = {"yes": "no", "y": "n", "true": "false", "t": "f", "ja": "nein", "wahr": "falsch"}
YES |= {"oui": "non", "vrai": "faux"}
COMMA_NUMBER = r"[-+]?(?:[0-9]+,?[0-9]*|,[0-9]+)(?:[eE][-+]?[0-9]+)?"
THOUSANDS = r"[-+]?[1-9][0-9]{0,2}(?:[.,][0-9]{3})+"  # 1.234 and 1,234 may be a thousand, or one


def require(wanted: Sequence[str], table: pd.DataFrame, source: tables.Source | None) -> None:
    """Raise InputError, naming what there is, where columns are missing or the table has no row."""
    called = source.name if source else "The table"
    missing = [name for name in dict.fromkeys(wanted) if name not in table]
    if missing:
        apart = tables.SEPARATORS.get(source.separator, "") if source else ""
        in_file = f": the first line holds the names, {apart} stand between them" if apart else ""
        raise InputError(
            f"{called} lacks {tables.names(missing)}; its columns are "
            f"{tables.names(table.columns)}.\n"
            f"Rename or add what is missing{in_file}."
        )
    if table.empty:
        raise InputError(f"{called} has names but no customers or users. Add one line for each.")


def refuse_blanks(
    columns: Sequence[str], table: pd.DataFrame, source: tables.Source | None
) -> None:
    """Raise InputError at the first blank of the columns."""
    for name in columns:
        blank = table[name].isna()
        if not pd.api.types.is_numeric_dtype(table[name]):
            blank |= table[name].astype(str).str.strip() == ""
        tables.refuse(
            blank, source, table[name], "the value is blank: fill it in or take the row out"
        )


def refuse_repeats(name: str, table: pd.DataFrame, source: tables.Source, advice: str) -> None:
    """Raise InputError at the first value of a column that stood there before."""
    again = table[name].astype(str).str.strip().duplicated()
    tables.refuse(again, source, table[name], f"{{value}} stands there twice: {advice}")


def as_labels(name: str, table: pd.DataFrame, source: tables.Source) -> pd.Series:
    """The column as text; InputError at the first value that could not be shown as a name."""
    labels = table[name].astype(str).str.strip()
    odd = [text for text in labels.unique() if len(text) > LONGEST_NAME or CONTROL.search(text)]
    fault = f"{{value}} is no name: use up to {LONGEST_NAME} letters and signs, on one line"
    tables.refuse(labels.isin(odd), source, labels, fault)
    return labels


def as_numbers(
    name: str,
    table: pd.DataFrame,
    source: tables.Source,
    limits: tuple[float, float],
    yes_or_no: bool = False,
) -> pd.Series:
    """The column as numbers; decimals may have a comma, and yes_or_no allows two words as well.

    Raises InputError at the first value that is no number, may be two numbers, or is beyond the
    limits.
    """
    column = table[name]
    if pd.api.types.is_bool_dtype(column) and yes_or_no:
        _note(source, "True = 1")
        return column.astype(int)
    numeric = pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)
    if column.dtype == np.float16:
        column = column.astype(float)
    numbers = column if numeric else _from_text(column.astype(str).str.strip(), source, yes_or_no)
    fault = "{value} is not a number: write digits, such as 42"
    tables.refuse(numbers.isna(), source, column, fault)
    low, high = limits
    fault = f"{{value}} is impossible: use a number from {low:,} to {high:,}"
    tables.refuse(~numbers.between(low, high), source, column, fault)
    return numbers


def as_numbers_or_labels(
    name: str, table: pd.DataFrame, source: tables.Source, limits: tuple[float, float]
) -> pd.Series:
    """The column as numbers if every value is written as one, and none begins with 0; else text.

    Raises InputError as `as_numbers` or `as_labels` does.
    """
    text = table[name].astype(str).str.strip()
    number = text.str.fullmatch(COMMA_NUMBER) | pd.to_numeric(text, errors="coerce").notna()
    number &= ~text.str.fullmatch("0[0-9]+")  # a code, such as 00501
    if number.all() or pd.api.types.is_bool_dtype(table[name]):
        return as_numbers(name, table, source, limits, yes_or_no=True)
    return as_labels(name, table, source)


def _from_text(text: pd.Series, source: tables.Source, yes_or_no: bool) -> pd.Series:
    """Numbers as they are written; nan where one is none."""
    numbers = pd.to_numeric(text, errors="coerce")
    if numbers.notna().all():
        if source.separator in (";", "\t"):
            _refuse_thousands(text, source, ".")
        return numbers
    if yes_or_no:
        said = {word.lower(): word for word in text.unique()}
        pair = next(((yes, no) for yes, no in YES.items() if said.keys() <= {yes, no}), None)
        if pair:
            word, value = (said[pair[0]], 1) if pair[0] in said else (said[pair[1]], 0)
            _note(source, f"{word} = {value}")
            return (text.str.lower() == pair[0]).astype(int)
    commas = text.str.fullmatch(COMMA_NUMBER) & text.str.contains(",", regex=False)
    if not commas.any():
        return numbers
    _refuse_mixed(text, commas, source)
    _refuse_thousands(text, source, ",")
    _note(source, "decimal commas")
    return pd.to_numeric(text.str.replace(",", ".", regex=False), errors="coerce")


def _refuse_mixed(text: pd.Series, commas: pd.Series, source: tables.Source) -> None:
    """Raise InputError at the first value that is not written as most are; commas: decimal ones."""
    others = ~text.str.fullmatch(COMMA_NUMBER)
    signs = others & text.str.fullmatch(r"[-+]?[0-9.,]+")
    fault = "{value} is not a number: write digits, such as 42"
    tables.refuse(others & ~signs, source, text, fault)
    fewer = signs if signs.sum() <= commas.sum() else commas
    fault = "{value} is not written like other values: all decimals alike, no sign for thousands"
    tables.refuse(fewer & signs.any(), source, text, fault)


def _refuse_thousands(text: pd.Series, source: tables.Source, sign: str) -> None:
    """Raise InputError where a sign in numbers may be of decimals or of thousands alike."""
    signed = text[text.str.contains(sign, regex=False)]
    if len(signed) and signed.str.fullmatch(THOUSANDS).all():
        value = signed.iloc[0]
        tables.refuse(
            text == value,
            source,
            text,
            f"{{value}} may be {value.replace(sign, '')} or {value.replace(',', '.')}: write more "
            "or fewer decimals, or no sign between thousands",
        )


def _note(source: tables.Source, said: str) -> None:
    if said not in source.notes:
        source.notes.append(said)


def in_order(labels: pd.Series) -> pd.Categorical:
    """The labels as an ordered category: numbers by size, 2 before 10, then text."""
    different = pd.Series(labels.unique())
    order = np.lexsort((different, pd.to_numeric(different, errors="coerce")))
    return pd.Categorical(labels, different[order], ordered=True)
