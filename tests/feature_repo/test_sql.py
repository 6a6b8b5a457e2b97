"""What a query may not say, and what it may."""

import re
from pathlib import Path

import duckdb
import pytest

from feature_repo.sql import bare, check_sql, columns_named, failed, passed_on, read_sql, sql_hash
from feature_repo.understood import refused_functions
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
    # Quoted or not, these are the clock where no column is called so.
    'select "current_date" from t',
    'select "localtimestamp" from t',
    "select * exclude (a) from t where b < current_localtimestamp",
    "select t.a from t order by current_date",
    # Comments, blanks and letters that another parser may read in another way.
    "select a /* x */, now/* y */() from t",
    "select a -- x\r, now() from t",
    "select\u00a0now\u3000() from t",
    "select \u200bnow() from t",
    "select NOW() from t",
    "select system.main.now() from t",
    "select '\\', now() from t --'",
    "select $$'$$, now(), $$'$$ from t",
    "select a /* /* */ , now() -- */ */\n from t",
    # Calls in another dress.
    "select (1).random() from t",
    "select [random() for i in [1, 2]] from t",
    "select list_transform([1], lambda x: x + random()) from t",
    "select list_filter([1], lambda x: x > getvariable('as_of')) from t",
    "select first(now()) over () from t",
    "select a filter (where random() > 0.5) from t",
    "select a from t group by all having max(now()) is not null",
    "select a from t qualify row_number() over (order by random()) = 1",
    "select a from t limit (select random()::int)",
    "select try(now()) from t",
    "select columns(c -> random() > 0.5) from t",
    "select * replace (now() as a) from t",
    "select a from t join t as u on random() > 0.5",
    "select * from range(0, random()::int)",
    "select * from (values (now())) as v",
    # What looks at tables, plans, settings and the machine.
    "select get_block_size('memory') from t",
    "select pg_get_viewdef(1) from t",
    "select format_type(1, 2) from t",
    "select json_serialize_plan('select * from _store.t') from t",
    "select * from json_execute_serialized_sql('{}')",
    "select * from duckdb_tables()",
    "select * from duckdb_variables()",
    "select * from duckdb_views()",
    "select * from system.information_schema.columns",
    "select * from pg_catalog.pg_class",
    "select * from sqlite_master",
    "select * from duckdb_logs",
    "select * from seq_scan('t')",
    "select * from repeat_row(1, num_rows = 2)",
    "select * from which_secret('a', 'b')",
    "select * from t at (version => 1)",
    "select * from query('select * from ' || 'raw.t')",
    "select * from query_table(['t'])",
    "select * from 'http://localhost/x.csv'",
    "select * from t, 'x.json'",
    "select a from t where a in (from 'x.csv')",
    "with other as (from 's3://x/y.parquet') select * from other",
    "select * from (from t union all from 'x.csv')",
    "from (show all tables)",
    "select * from (summarize t)",
    "set variable as_of = '2030-01-01'",
    "reset variable as_of",
    "select 1; set variable as_of = '2030-01-01'",
    "create macro f() as now()",
    "create temp macro f() as table select 1",
    "prepare p as select 1",
    "execute p",
    "begin",
    "checkpoint",
    "export database 'x'",
    "import database 'x'",
    "vacuum",
    "merge into t using t as u on true when matched then delete",
    "select from where",
    "select (((",
]


# fmt: off
ORDINARY = [
    "sum", "avg", "count", "min", "max", "median", "stddev", "arg_max", "any_value", "count_if", "mode", "list",
    "histogram", "lower", "trim", "length", "md5", "hash", "date_trunc", "epoch_us", "to_days", "make_date", "strftime",
    "round", "floor", "ln", "sqrt", "abs", "bit_count", "nullif", "greatest", "regexp_extract", "to_json",
    "list_sum", "split_part", "wavg", "timezone", "range", "unnest", "jaccard", "entropy", "approx_count_distinct",
]
# fmt: on


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
        "select 'now()' as a, t.current_date, t.\"current_date\", random from t",
        "select a, /* now() */ '-- random()' from t -- 'x.csv'",
        "select * from (unpivot t on a)",
        "select list_transform([a], lambda x: x + 1), [x for x in [1, 2]] from t",
        "select columns('a.*'), * exclude (a) from t",
        "select first(a order by b), a[1], a::date, {'x': a}.x, (a at time zone 'UTC') from t",
        "with recursive r as (select 1 as n union all select n + 1 from r where n < 3) select * from r, t",
        "select * from t asof join t as u on t.a >= u.a",
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


def catalogue(condition: str) -> list[str]:
    """Names of DuckDB's functions that a query could write."""
    with duckdb.connect() as connection:
        rows = connection.execute(f"select distinct lower(function_name) from duckdb_functions() where {condition}")
        return sorted(name for (name,) in rows.fetchall() if name.isidentifier())


def test_every_function_that_is_no_pure_function_is_refused() -> None:
    impure = catalogue("function_type = 'scalar' and stability <> 'CONSISTENT'")
    assert len(impure) > 25
    for name in impure:
        for call in (f"{name}(a)", f'"{name}"()', f"main.{name}()"):
            with pytest.raises(SqlError):
                check_sql(f"select {call} from t", PATH, {"t"})


def test_every_function_that_reads_tables_is_refused() -> None:
    readers = set(catalogue("function_type in ('table', 'table_macro', 'pragma')"))
    readers -= {"range", "generate_series", "unnest"}
    assert len(readers) > 100
    for name in readers:
        for place in (f"{name}('a')", f"{name}(), t", f"t, lateral {name}(a)"):
            with pytest.raises(SqlError):
                check_sql(f"select * from {place}", PATH, {"t"})


def test_what_a_macro_calls_counts() -> None:
    with duckdb.connect() as connection:
        macros = connection.execute(
            "select distinct function_name, macro_definition from duckdb_functions() where function_type = 'macro'"
        ).fetchall()
    reading = re.compile(r"\b(from|current_(?!user)\w+|now|random|getvariable|current_setting)\b", re.IGNORECASE)
    found = [name for name, text in macros if reading.search(text.replace("'", " ' "))]
    assert "get_block_size" in found
    for name in found:
        with pytest.raises(SqlError):
            check_sql(f"select {name}(a) from t", PATH, {"t"})


def test_ordinary_functions_are_let_through() -> None:
    known = set(catalogue("true"))
    assert set(ORDINARY) <= known
    assert not refused_functions() & set(ORDINARY)


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
