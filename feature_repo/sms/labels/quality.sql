-- Each delivered message: what does the lead spend within the horizon, in pesos, whatever message made it buy? 0 where it
-- buys nothing, empty until the horizon is over.
with spent as (
    select
        messages.message_id,
        -- Whole cents are summed exactly, in whatever order the rows come.
        sum(round(conversions.revenue * 100)::bigint) as cents,
        max(conversions.received_at) as told_at
    from messages
    join conversions
        on conversions.lead_id = messages.lead_id
        and conversions.occurred_at > messages.sent_at
        and conversions.occurred_at <= messages.sent_at + to_days($horizon_days::int)
    where messages.status = 'delivered' and conversions.kind = 'purchase' and conversions.revenue is not null
    group by messages.message_id
)
select
    messages.lead_id,
    messages.sent_at as event_time,
    case when messages.sent_at + to_days($horizon_days::int) <= $as_of then coalesce(spent.cents, 0) / 100 end as label,
    -- A purchase that reached us, or was corrected, after the horizon's end was not known before.
    greatest(messages.sent_at + to_days($horizon_days::int), spent.told_at) as known_at
from messages
left join spent using (message_id)
where messages.status = 'delivered' and messages.sent_at <= $as_of
order by messages.message_id
