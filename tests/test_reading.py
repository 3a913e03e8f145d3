"""Claims about messy texts: encodings, comments, missing values, thousands and currencies."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from gmm_pyro.files import Reading, columns_kept, features_named, read_dataset, read_table
from gmm_pyro.files.notation import Notation


@pytest.fixture
def file(tmp_path: Path):
    """A file points.csv with what it is given."""

    def written(content: str | bytes, encoding: str = "utf-8") -> Path:
        content = content.encode(encoding) if isinstance(content, str) else content
        (tmp_path / "points.csv").write_bytes(content)
        return tmp_path / "points.csv"

    return written


class TestWhatAReaderIsTold:
    @pytest.mark.parametrize(
        ("told", "message"),
        [
            ({"decimal": ";"}, "decimal must be one of '.', ','; got ';'"),
            ({"thousands": "x"}, "thousands must be one of '.', ',', ' ', \"'\", '’', '_'; got"),
            ({"thousands": ".", "decimal": "."}, "thousands and decimal must differ; both are '.'"),
            ({"comment": " "}, "comment must be what lines begin with, as '#'; got nothing"),
            ({"encodings": ("latin_l",)}, "got 'latin_l'; did you mean 'latin'?"),
            ({"encodings": ("hex",)}, "encoding must be one that Python knows"),
        ],
    )
    def test_what_it_cannot_be_is_refused(self, told, message) -> None:
        with pytest.raises(ValueError, match=re.escape(message)):
            Reading(**told)

    def test_it_can_be_written_down(self) -> None:
        told = Reading(na=("-", "n.a."), thousands=".", currency=True, encodings=("latin-1",))
        assert Reading.from_facts(told.facts()) == told
        assert Reading().facts() == {}

    @pytest.mark.parametrize("facts", [[], {"separator": ";"}, {"decimal": "x"}])
    def test_what_was_written_otherwise_is_refused(self, facts) -> None:
        with pytest.raises(ValueError, match=r"must (hold|be)"):
            Reading.from_facts(facts)


class TestEncodings:
    @pytest.mark.parametrize(
        ("encoding", "text", "hint"),
        [
            ("latin-1", "größe,b\n1,2\n", "line 1 has the byte 0xf6; with --encoding latin-1, it "
             "reads 'größe'"),
            ("cp1252", "a,b\n1,2\n3,“4”\n", "line 3 has the byte 0x93; with --encoding cp1252"),
            ("iso8859-15", "a,b\n1,2€\n", "with --encoding iso8859-15, it reads '2€'"),
            ("utf-16-le", "größe,b\n1,2\n", "with --encoding utf-16-le"),
        ],
    )  # fmt: skip
    def test_a_text_that_is_not_utf_8_is_told_what_else_it_may_be(
        self, file, encoding, text, hint
    ) -> None:
        path = file(text, encoding)
        with pytest.raises(ValueError, match="it is no UTF-8 text: line") as caught:
            read_table(path)
        assert hint in str(caught.value)
        table = read_table(path, Reading(encodings=(encoding,)))
        assert table.frame.columns[0] == text.partition(",")[0]
        assert f"the text is read as {encoding}" in table.notes

    def test_the_marks_of_utf_16_and_utf_8_are_seen(self, file) -> None:
        table = read_table(file("größe,b\n1,2\n", "utf-16"))
        assert list(table.frame) == ["größe", "b"]
        assert table.notes == ("the text is read as utf-16",)
        assert list(read_table(file("größe,b\n1,2\n", "utf-8-sig")).frame) == ["größe", "b"]

    def test_encodings_are_tried_in_turn(self, file) -> None:
        told = Reading(encodings=("utf-8", "latin-1"))
        assert read_table(file("größe\n1\n", "latin-1"), told).notes[0].endswith("latin-1")
        assert read_table(file("größe\n1\n"), told).notes == ()

    def test_the_wrong_one_is_refused(self, file) -> None:
        with pytest.raises(ValueError, match="it is no ascii text: ordinal not in range"):
            read_table(file("größe\n1\n"), Reading(encodings=("ascii",)))


class TestComments:
    def test_lines_before_the_table_are_skipped_and_counted(self, file) -> None:
        table = read_table(file("# by hand\n# in 2024\na,b\n1,2\n#3,4\n"))
        assert list(table.frame) == ["a", "b"]
        assert table.notes == ("2 lines that begin with '#' are skipped",)
        assert table.frame["a"].tolist() == ["1", "#3"]

    def test_elsewhere_only_where_it_is_asked_for(self, file) -> None:
        path = file("% by hand\na,b\n1,2\n % 2.5,3\n3,4\n")
        table = read_table(path, Reading(comment="%"))
        pd.testing.assert_frame_equal(table.frame, pd.DataFrame({"a": [1, 3], "b": [2, 4]}))
        assert table.notes == ("2 lines that begin with '%' are skipped",)

    def test_names_in_a_comment_as_numpy_writes_them(self, tmp_path) -> None:
        np.savetxt(tmp_path / "p.txt", np.eye(2) + 0.5, header="by hand\nheight width")
        table = read_table(tmp_path / "p.txt")
        assert (list(table.frame), table.named) == (["height", "width"], True)
        assert table.notes[1] == "the last of these lines names the columns"
        assert table.frame.to_numpy().tolist() == [[1.5, 0.5], [0.5, 1.5]]

    def test_names_need_a_word_for_each_column(self, tmp_path) -> None:
        np.savetxt(tmp_path / "p.txt", np.eye(2), header="by hand, in 2024")
        assert list(read_table(tmp_path / "p.txt").frame) == ["x0", "x1"]


class TestMissingValues:
    text = "age,size\n31,1\n-,2\n 40 ,-999\n  ,4\n50,\n"

    def test_markers_are_words_or_numbers_and_are_counted(self, file) -> None:
        content = read_dataset(file(self.text), reading=Reading(na=("-", "-999")))
        found = content.dataset.x.numpy()
        expected = [[31, 1], [np.nan, 2], [40, np.nan], [np.nan, 4], [50, np.nan]]
        np.testing.assert_array_equal(found, expected)
        assert content.notes == (
            "'-' is taken for missing: 1 in age",
            "'-999' is taken for missing: 1 in size",
        )

    def test_blanks_alone_are_missing_without_a_word(self, file) -> None:
        content = read_dataset(file("a,b\n1,2\n  ,3\n2,4\n"))
        assert content.dataset.x[:, 0].isnan().tolist() == [False, True, False]

    def test_a_word_among_numbers_is_refused_with_the_option_that_reads_it(self, file) -> None:
        rows = "\n".join(["-", "-", *map(str, range(408))])
        with pytest.raises(ValueError, match="no numbers") as caught:
            read_dataset(file(f"age\n{rows}\n"))
        assert str(caught.value).endswith(
            "points.csv: 2 of 410 values of age are no numbers: '-'; --na '-' reads them, "
            "--exclude 'age' leaves the column out"
        )

    def test_markers_count_in_every_format(self, tmp_path) -> None:
        table = pd.DataFrame({"age": [31, -999, 40], "size": ["1", "-", "3"]})
        table.to_parquet(tmp_path / "p.parquet")
        content = read_dataset(tmp_path / "p.parquet", reading=Reading(na=("-", "-999")))
        np.testing.assert_array_equal(content.dataset.x, [[31, 1], [np.nan, np.nan], [40, 3]])

    def test_a_column_without_values_is_left_out(self, file) -> None:
        content = read_dataset(file("a,b,c\n1,,\n2, ,\n"))
        assert content.left_out == {"b": "no values", "c": "no values"}


NUMBERS = {  # notation, and words with the numbers that they are
    (".", None, False): {"5": 5, "-5.25": -5.25, "1e3": 1000, ".5": 0.5, "1,5": None, "": None,
                         "1_000": None, "€5": None, "inf": np.inf, "5 kg": None},
    (",", ".", False): {"1.234,50": 1234.5, "1.234": 1234, "12.34": None, "1234,5": 1234.5,
                        "0.123": None, "1.234.567": 1234567, "192.168.1.1": None},
    (".", ",", False): {"12,34,567.5": 1234567.5, "1,234": 1234, "1,23": None},
    (".", " ", False): {"1 234.5": 1234.5, "1\u202f234": 1234, "12 34": None},
    (".", "'", False): {"1'234.5": 1234.5, "1’234": 1234},
    (",", ".", True): {"R$ 1.234,50": 1234.5, "-€5": -5, "€ -5": -5, "5 EUR": 5, "12,50 kr": 12.5,
                       "$5 EUR": None, "-€-5": None, "5 XYZ": None, "EUR": None},
}  # fmt: skip


@pytest.mark.parametrize("notation", NUMBERS)
def test_numbers_are_read_strictly_as_they_are_said_to_be_written(notation) -> None:
    decimal, thousands, currency = notation
    read = Notation(decimal, thousands, currency).number
    found = {word: read(word) for word in NUMBERS[notation]}
    assert {word: None if n is None else n[0] for word, n in found.items()} == NUMBERS[notation]


class TestThousandsAndCurrencies:
    def read(self, path: Path, **told: object) -> list[float]:
        return read_dataset(path, reading=Reading(**told)).dataset.x.flatten().tolist()

    def test_what_is_asked_for_is_read(self, file) -> None:
        path = file("a;b\n1.234,50;$ 12\n980;7\n")
        assert self.read(path, thousands=".", currency=True) == [1234.5, 12, 980, 7]

    @pytest.mark.parametrize(
        ("text", "options"),
        [
            ("a;b\n1.234,50;1,5\n980,25;2\n", "--thousands '.'"),
            ('a,b\n"1,234",1.5\n"12,980",2\n', "--thousands ','"),
            ('a,b\n"1,5",1.5\n"2,25",2\n', "--decimal ','"),
            ("a;b\n1 234,5;1\n25 678,25;2.5\n", "--thousands ' ' --decimal ','"),
            ("a,b\n£5,1\n£7,2\n", "--currency"),
            ("a;b\n€ 1.234,50;1\n-;2\n€ 7,10;4\n", "--na '-' --currency --thousands '.'"),
            ("a,b\n1 234,1\n25 678,2\n", "--thousands ' '"),
            ("a,b\n1'234,1\n25'678,2\n", '--thousands "\'"'),
            ("a,b\n?,1\n1,2\n2,u v\n3,4\n", "--na '?,u v'"),
        ],
    )
    def test_what_is_not_asked_for_is_refused_with_the_options_that_read_it(
        self, file, text, options
    ) -> None:
        with pytest.raises(ValueError, match="are no numbers") as caught:
            read_dataset(file(text))
        assert f"; {options} reads them, --exclude 'a" in str(caught.value)

    def test_thousands_are_not_taken_lightly(self, file) -> None:
        """Where pandas takes 1.5 for 15."""
        with pytest.raises(ValueError, match="1 of 3 values of a are no numbers: '1.5'"):
            self.read(file("a\n1.5\n1.250\n7\n"), thousands=".")

    def test_currencies_in_one_column_are_one(self, file) -> None:
        path = file("a,b\n€5,$1\n$7,$2\n")
        with pytest.raises(ValueError, match=r"values of a have different currencies: \$, €"):
            self.read(path, currency=True)

    def test_points_before_thousands_do_not_hide_decimal_commas(self, file) -> None:
        assert read_table(file("a;b\n1.234;1,5\n9.999;2\n")).decimal == ","
        assert read_table(file("a;b\n1.234;2.5\n9.999;2\n")).decimal == "."

    def test_words_stay_words(self, file) -> None:
        path = file("a,day,phone,kind\n1,01.02.2024,0301 123 456,x1\n2,2.2.2024,0301 9,y 2\n")
        left_out = {"day": "dates", "phone": "not numeric", "kind": "not numeric"}
        assert read_dataset(path).left_out == left_out


class TestColumns:
    people = (
        "customer id,number,age,userID,when,city\n"
        + "".join(f"{i * i},{900 - i},{i % 7},{i % 3},2024-01-{i + 1:02},Ulm\n" for i in range(20))
    )  # fmt: skip

    def test_what_identifies_rows_is_left_out_unless_it_is_named(self, file) -> None:
        path = file(self.people)
        assert read_dataset(path).left_out == {
            "customer id": "only identifies rows",
            "number": "only identifies rows",
            "userID": "only identifies rows",
            "when": "dates",
            "city": "not numeric",
        }
        assert read_dataset(path, columns=["number", "age"]).dataset.d == 2
        assert read_dataset(path, weights_column="number").dataset.sample_weight[0] == 900

    @pytest.mark.parametrize("name", ["width", "grid", "period", "Bid", "liquid", "idea", "valid"])
    def test_a_word_that_ends_in_id_is_a_word(self, file, name) -> None:
        assert read_dataset(file(f"{name},b\n1,2\n1,3\n")).dataset.d == 2

    def test_where_nothing_is_left_the_reasons_are_told(self, file) -> None:
        path = file("id,kind,label\n1,u,0\n2,v,1\n")
        with pytest.raises(ValueError, match=re.escape(
            "no numeric column to fit: it has id (only identifies rows), kind (not numeric), label"
        )):  # fmt: skip
            read_dataset(path)

    def test_whole_numbers_alone_are_data(self, file) -> None:
        path = file("waiting\n" + "".join(f"{i * i}\n" for i in range(30)))
        assert read_dataset(path).dataset.feature_names == ("waiting",)

    def test_few_different_numbers_are_data(self, file) -> None:
        assert read_dataset(file("a,b\n1,2.5\n2,3.5\n3,4.5\n")).dataset.d == 2

    def test_without_names_only_counts_identify_rows(self, file, tmp_path) -> None:
        rows = "".join(f"{i},{i * i},{i / 3}\n" for i in range(3, 23))
        content = read_dataset(file(rows))
        assert content.left_out == {"x0": "only identifies rows"}
        np.save(tmp_path / "a.npy", np.arange(40).reshape(20, 2))
        assert read_dataset(tmp_path / "a.npy").dataset.d == 2

    def test_excluded_columns_are_no_features(self, file) -> None:
        path = file("a,b,label,c\n1,2,0,x\n2,5,1,7\n3,7,1,8\n4,9,1,9\n")
        content = read_dataset(path, exclude=["c", "label"])
        assert content.dataset.feature_names == ("a", "b")
        assert (content.label_column, content.dataset.labels) == (None, None)
        assert content.left_out == {"c": "excluded", "label": "excluded"}
        with pytest.raises(ValueError, match="has no column 'd': it has a, b, label, c"):
            read_dataset(path, exclude=["d"])
        with pytest.raises(ValueError, match="column 'a' is named more than once"):
            read_dataset(path, columns=["a"], exclude=["a"])

    def test_kept_columns_are_as_they_are_in_the_file(self, file) -> None:
        path = file("id;code;price\n007;NA;1.250,50\n008;null;-\n")
        told = Reading(verbatim=("id", "code", "price"), thousands=".", na=("-",))
        content = read_dataset(path, keep=["id", "code", "price"], reading=told)
        assert content.kept.to_numpy().tolist() == [["007", "NA", "1.250,50"], ["008", "null", "-"]]
        assert content.dataset.x[0].tolist() == [1250.5]
        with pytest.raises(ValueError, match="has no column 'x'"):
            columns_kept(read_table(path), ["x"])

    @pytest.mark.parametrize(
        ("rows", "said"),
        [
            ("1,2,u\n3,4,v\n", ()),
            ("1,2,u\n3,4,v\n1,2,u\n", ("row 2 repeats an earlier one",)),
            ("1,2,u\n1,2,u\n3,4,v\n1,2,u\n",
             ("2 of 4 rows repeat earlier ones, the first is row 1",)),
            ("1,2,u\n1,2,v\n", ()),
        ],
    )  # fmt: skip
    def test_repeated_rows_are_mentioned(self, file, rows, said) -> None:
        assert read_dataset(file(f"a,b,kind\n{rows}")).notes == said

    def test_rows_that_differ_in_their_names_alone_repeat(self, file) -> None:
        rows = "".join(f"{i},1.5,{i % 2}\n" for i in range(12))
        assert read_dataset(file(f"id,a,b\n{rows}")).notes == (
            "10 of 12 rows repeat earlier ones, the first is row 2",
        )

    def test_features_of_a_fit_are_read_alike(self, file) -> None:
        path = file('b,a\n"1,234",-\n7,2\n8,4\n')
        table = read_table(path, Reading(thousands=",", na=("-",)))
        found = features_named(table, ["a", "b"]).to_numpy()
        np.testing.assert_array_equal(found, [[np.nan, 1234], [2, 7], [4, 8]])
        with pytest.raises(ValueError, match="1 of 3 values of a are no numbers: '-'; --na '-'"):
            features_named(read_table(path, Reading(thousands=",")), ["a"])
        unnamed = read_table(path, Reading(thousands=",", na=("-",)))
        assert list(features_named(unnamed, ["x0"], exclude=["a"])) == ["b"]
