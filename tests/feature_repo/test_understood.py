"""Which columns a query reads, held against DuckDB: without the others it gives the same rows."""

import duckdb
import pytest

from feature_repo.understood import columns_read

TABLES = {"t": ("a", "b", "c", "when"), "u": ("a", "d", "e")}
ALL = {"t": set("abc") | {"when"}, "u": set("ade")}


@pytest.fixture(scope="module")
def full() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.execute(
        'CREATE TABLE t AS SELECT range % 4 AS a, range % 3 AS b, range % 2 AS c, range AS "when" FROM range(12)'
    )
    connection.execute("CREATE TABLE u AS SELECT range AS a, range % 2 AS d, 'x' || range AS e FROM range(3)")
    return connection


@pytest.mark.parametrize(
    ("sql", "read"),
    [
        ("select a, sum(b) as s from t group by a", {"t": {"a", "b"}}),
        ('select a from t where "WHEN" > 3', {"t": {"a", "when"}}),
        ("select count(*) as n from t", {"t": set()}),
        ("select x.a from t as x join u using (a) order by all", {"t": ALL["t"], "u": ALL["u"]}),
        ("select x.a from t as x join u using (a) order by x.a", {"t": {"a"}, "u": {"a"}}),
        ("select t.a, e from t left join u on t.b = u.d", {"t": {"a", "b"}, "u": {"a", "d", "e"}}),
        ("with x as (select a, b from t) select * from x", {"t": {"a", "b"}}),
        ("with x as (select a, b from t), y as (select *, a + b as s from x) select s from y", {"t": {"a", "b"}}),
        ("with t as (select * from t) select a from t", {"t": ALL["t"]}),
        ("select count(*) as n from (select distinct * from t)", {"t": ALL["t"]}),
        ("select count(*) as n from (select * from t union select a, b, c, a from t)", {"t": ALL["t"]}),
        ("select a from t natural join u", {"t": ALL["t"], "u": ALL["u"]}),
        ("select count(distinct t) as n from t", {"t": ALL["t"]}),
        ("select hash(x) as h from t as x", {"t": ALL["t"]}),
        ("select x from t as y (x, z)", {"t": ALL["t"]}),
        ("select columns('a|b') from t", {"t": ALL["t"]}),
        ("select max(columns(*)) from t", {"t": ALL["t"]}),
        ("from t", {"t": ALL["t"]}),
        ("table u", {"u": ALL["u"]}),
        ("select t.* exclude (a) from t", {"t": ALL["t"]}),
        ("select a from t where exists (select 1 from u where u.d = t.b)", {"t": {"a", "b"}, "u": {"a", "d"}}),
        ("select a as b from t", {"t": {"a"}}),
        ("select sum(b) over w as s from t window w as (order by a)", {"t": {"a", "b"}}),
        ("select a from t positional join u", {"t": ALL["t"], "u": ALL["u"]}),
    ],
)
def test_without_the_other_columns_a_query_gives_the_same_rows(
    full: duckdb.DuckDBPyConnection, sql: str, read: dict[str, set[str]]
) -> None:
    found = columns_read(sql, TABLES)
    assert found == read
    with duckdb.connect() as pruned:
        for table, columns in found.items():
            pruned.register("rows", full.table(table).to_arrow_table())
            kept = ", ".join(f'"{one}"' for one in TABLES[table] if one in columns) or "1 AS nothing"
            pruned.execute(f"CREATE TABLE {table} AS SELECT {kept} FROM rows")
        try:
            expected = full.sql(sql)
        except duckdb.BinderException:  # "a" may be of either table: so it has to stay where it is read
            with pytest.raises(duckdb.BinderException):
                pruned.sql(sql)
            return
        rows = pruned.sql(sql)
        assert rows.columns == expected.columns
        assert sorted(rows.fetchall(), key=str) == sorted(expected.fetchall(), key=str)
