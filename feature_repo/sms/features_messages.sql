-- What the lead was sent: how much of late, which is fatigue, and whether it got there.
with windows as (
    select
        lead_id,
        max(sent_at) as last_message_at,
        count(*) as messages,
        count_if(status = 'delivered') as delivered,
        count_if(sent_at > $as_of - interval 7 days) as messages_7d,
        count_if(sent_at > $as_of - interval 30 days) as messages_30d,
        count_if(sent_at > $as_of - interval 90 days) as messages_90d,
        sum(length) filter (where sent_at > $as_of - interval 90 days) as length_90d
    from messages
    where sent_at <= $as_of
    group by lead_id
)
select
    leads.lead_id,
    w.last_message_at,
    -- A lead without messages gets the prior: nine in ten arrive.
    (coalesce(w.delivered, 0) + 9) / (coalesce(w.messages, 0) + 10) as delivery_rate,
    coalesce(w.messages_7d, 0) as messages_7d,
    coalesce(w.messages_30d, 0) as messages_30d,
    coalesce(w.messages_90d, 0) as messages_90d,
    coalesce(w.length_90d / nullif(w.messages_90d, 0), 0) as message_length_90d
from leads
left join windows as w using (lead_id)
