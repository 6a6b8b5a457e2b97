"""What a query may not say, and what it may."""

from pathlib import Path

import duckdb
import pytest

from feature_repo.sql import _FUNCTIONS, bare, check_sql, columns_named, failed, passed_on, read_sql, sql_hash
from pipelines.core.errors import SqlError

PATH = Path("features_x.sql")

HOSTILE = [
    "select * from 'x.parquet'",
    'select * from "x.parquet"',
    'with "x.parquet" as (select 1) select * from "x.parquet"',
    "select exists(from 'x.csv')",
    "select * from raw.t",
    "select * from memory.main.t",
    "select * from _store.t",
    "select * from information_schema.tables",
    "select * from other",
    "select (select max(a) from other) from t",
    "from read_csv('a')",
    "select * from t, lateral read_parquet('x')",
    "select * from glob('*')",
    "select * from (from query('select 1'))",
    "select * from query_table('t')",
    "select * from sqlite_scan('a', 'b')",
    "select * from duckdb_settings()",
    "select * from pragma_table_info('t')",
    "select now() from t",
    'select "now"() from t',
    "select today() from t",
    "select current_date from t",
    "select current_timestamp from t",
    "select localtimestamp from t",
    "select age(a) from t",
    "select ago(interval 1 day) from t",
    "select random() from t",
    "select uuid() from t",
    "select * from t order by random()",
    "select * from t using sample 10",
    "select * from t tablesample 10%",
    "select getvariable('as_of') from t",
    "select 'HOME'.getenv() from t",
    "select current_setting('threads') from t",
    "select nextval('s') from t",
    "select $other from t",
    "select $1 from t",
    "select ? from t",
    "select 1; select 2",
    "select 1; drop table t",
    "",
    "-- only a comment",
    "values (1)",
    "select 1 into x",
    "with x as (insert into t values (1) returning *) select * from x",
    "from (describe t)",
    "pivot t on a using sum(b)",
    "summarize t",
    *("drop table t", "create table x as select 1", "set threads = 1", "attach 'x'", "copy t to 'x'", "pragma version"),
    *("install httpfs", "load httpfs", "call pragma_version()", "explain select 1", "show tables", "use memory"),
    "select from where",
    "select (((",
]


@pytest.mark.parametrize("sql", HOSTILE)
def test_hostile_sql_is_refused_with_file_and_line(sql: str) -> None:
    with pytest.raises(SqlError, match=r"^features_x\.sql:\d+: .+"):
        check_sql(sql, PATH, {"t"})


@pytest.mark.parametrize(
    "sql",
    [
        "select * from t where a <= $as_of",
        "select 1 from T;",
        "from t",
        "select a from t -- now() and raw.x\n;\n",
        "with x as (select a from t) select * from x, unnest([1, 2]) as u, range(3) as r",
        "select 'now()' as a, t.current_date, \"current_date\" from t",
        "select a from t union all select b from t",
        "select * from t, lateral (select t.a + 1) as l",
    ],
)
def test_plain_sql_is_let_through(sql: str) -> None:
    check_sql(sql, PATH, {"t"})


def test_sentence_names_the_line_and_the_nearest_view() -> None:
    with pytest.raises(
        SqlError, match=r"features_x\.sql:13: there is no view 'message' here: did you mean 'messages'\?"
    ):
        check_sql("select *\n\nfrom message", PATH, {"messages", "leads"}, first_line=11)


def test_every_function_that_is_no_pure_function_is_known() -> None:
    with duckdb.connect() as connection:
        impure = connection.execute(
            "select distinct function_name from duckdb_functions()"
            " where function_type = 'scalar' and stability <> 'CONSISTENT'"
        ).fetchall()
    assert {name for (name,) in impure} <= _FUNCTIONS


def test_hash_looks_at_meaning_alone() -> None:
    assert sql_hash("SELECT a,b FROM t -- x") == sql_hash("select a,\n b from t")
    assert sql_hash("select a from t") != sql_hash("select b from t")
    assert sql_hash("select 'A' from t") != sql_hash("select 'a' from t")


def test_closing_semicolons_go_and_lines_stay() -> None:
    assert bare("select 1;\n-- end ;\n").rstrip() == "select 1\n-- end ;"


@pytest.mark.parametrize(
    "expression",
    [
        "cast(phone as integer)",
        "cast(phone as date)",
        "strptime(phone, '%Y')",
        "json(phone)",
        "cast(n as integer)",
        "n * n",
        "phone::integer[]",
    ],
)
def test_failure_on_a_row_does_not_say_its_value(expression: str) -> None:
    sql = f"select\n{expression} from t"
    with duckdb.connect() as connection:
        connection.execute("create table t as select '+5255''12345600' as phone, 5255123456001 as n").fetchall()
        with pytest.raises(duckdb.Error) as caught:
            connection.sql(sql).fetchall()
    sentence = str(failed(caught.value, sql, PATH))
    assert sentence.startswith("features_x.sql:")
    assert not [part for part in ("5255", "12345600") if part in sentence]


def test_failure_before_a_row_keeps_names() -> None:
    error = duckdb.BinderException('Binder Error: Referenced column "phne" not found in FROM clause!')
    assert 'column "phne" not found' in str(failed(error, "select phne from t", PATH))


@pytest.mark.parametrize(
    ("sql", "passed", "named"),
    [
        ("select a, t.b as c from t where d > 0", False, "abd"),
        ("with x as (select *, 1 as z from t) select a from x", False, "a"),
        ("with x as (select * from t) select * from x", True, ""),
        ("with t as (select * from t) select t.* from t", True, ""),
        ("select count(*) as n, min(a) as b from t", False, "a"),
        ("select a from t union all select * from t", True, "a"),
        ("select u.*, t.a from t join (select b from t) as u using (c)", False, "abc"),
        ("select u.* from t join (select * from t) as u using (c)", True, "c"),
        ("select t from t", True, "t"),
    ],
)
def test_columns_a_mapping_names_or_passes_on(sql: str, passed: bool, named: str) -> None:
    assert passed_on(sql, {"t"}) == ({"t"} if passed else set())
    assert columns_named(sql) == set(named)


def test_a_file_that_is_no_text_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "mapping.sql"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(SqlError, match="no UTF-8 text"):
        read_sql(path)
    with pytest.raises(SqlError, match="can't be read"):
        read_sql(tmp_path)
