-- Each delivered message: did the lead click or buy because of it within the horizon? Empty until the horizon is over.
with hits as (
    select messages.message_id, min(conversions.received_at) as told_at
    from messages
    join conversions
        on conversions.message_id = messages.message_id
        and conversions.lead_id = messages.lead_id
    where conversions.kind in ('click', 'purchase')
      and conversions.occurred_at > messages.sent_at
      and conversions.occurred_at <= messages.sent_at + to_days($horizon_days::int)
    group by messages.message_id
)
select
    messages.lead_id,
    messages.sent_at as event_time,
    case when messages.sent_at + to_days($horizon_days::int) <= $as_of then hits.message_id is not null end as label,
    -- A hit that reached us after the horizon's end was not known before.
    greatest(messages.sent_at + to_days($horizon_days::int), hits.told_at) as known_at
from messages
left join hits using (message_id)
where messages.status = 'delivered' and messages.sent_at <= $as_of
order by messages.message_id
