-- Each delivered message to a lead that had not left: does it opt out, whatever message made it, within the horizon?
-- Empty until the horizon is over. A withdrawn consent is no sign: when that happened is not told, only that it did.
with leaving as (
    select
        lead_id,
        min(occurred_at) as left_at,
        arg_min(received_at, occurred_at) as told_at
    from conversions
    where kind = 'opt_out'
    group by lead_id
),
at_risk as (
    select
        messages.message_id,
        messages.lead_id,
        messages.sent_at,
        messages.sent_at + to_days($horizon_days::int) as over_at,
        coalesce(leaving.left_at <= messages.sent_at + to_days($horizon_days::int), false) as leaves,
        leaving.told_at
    from messages
    left join leaving using (lead_id)
    where messages.status = 'delivered'
      and messages.sent_at <= $as_of
      and (leaving.left_at is null or leaving.left_at > messages.sent_at)
)
select
    lead_id,
    sent_at as event_time,
    case when over_at <= $as_of then leaves end as label,
    -- An opt-out that reached us later than the horizon's end was not known before.
    case when leaves then greatest(over_at, told_at) else over_at end as known_at
from at_risk
order by message_id
