-- The market of the lead's state over the last complete week, so that it moves once a week and not every day.
with week as (
    select
        state,
        round(avg(economic_index), 6) as state_index,
        round(avg(competitor_pressure), 6) as competitor_pressure
    from market
    where day >= date_trunc('week', $as_of) - interval 7 days
      and day < date_trunc('week', $as_of)
    group by state
)
select
    leads.lead_id,
    week.state_index,
    week.competitor_pressure
from leads
left join week using (state)
