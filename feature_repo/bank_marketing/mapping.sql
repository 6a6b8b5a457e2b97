-- UCI's bank-full.csv has no dates: rows stand in the order of the calls, from May 2008 to November 2010, with day and
-- month. The year starts at 2008 and grows whenever the month goes back.
-- table: calls
with months as (
    select
        *,
        list_position(
            ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec'], lower(month)
        ) as month_number
    from calls
),
turns as (
    select
        *,
        coalesce(month_number < lag(month_number ignore nulls) over (order by source_file, source_row), false)
            as new_year
    from months
),
years as (
    select *, 2008 + count(*) filter (where new_year) over (order by source_file, source_row) as year
    from turns
)
select
    'C' || lpad(source_row::varchar, 6, '0') as call_id,
    try_cast(year || '-' || month_number || '-' || day as timestamp) as called_at,
    age,
    job,
    marital,
    education,
    "default" as credit_default,
    balance,
    housing,
    loan,
    contact,
    duration,
    campaign,
    pdays,
    previous,
    poutcome,
    y as subscribed
from years
