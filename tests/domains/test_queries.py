"""Files of queries as people have them."""

import pytest

from tellapart import InputError
from tellapart.domains.queries import text_queries


@pytest.mark.parametrize("name", ["query", "text"])
@pytest.mark.parametrize("mark", [",", ";", "\t", "|"])
def test_a_table_of_queries_is_read_whatever_separates_its_cells(tmp_path, name, mark):
    path = tmp_path / "queries.csv"
    path.write_text(f"{name}{mark}page\nsave the file{mark}3\nopen it{mark}4\n", encoding="utf-8")
    assert [query.name for query in text_queries(str(path))] == ["save the file", "open it"]


def test_a_table_of_one_column_is_not_split_at_marks_inside_its_texts(tmp_path):
    path = tmp_path / "queries.csv"
    path.write_text("query\nsave; then close\nopen\n", encoding="utf-8")
    assert [query.name for query in text_queries(str(path))] == ["save; then close", "open"]


def test_a_table_without_queries_says_which_columns_it_has(tmp_path):
    path = tmp_path / "queries.csv"
    path.write_text("Quelle;Seite\nSave the file.;1\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"neither a column query nor a column text\. Found: Quelle, Seite\. Name one"):
        text_queries(str(path))
