-- Each call: did the client subscribe? Known once the horizon is over.
select
    call_id,
    called_at as event_time,
    subscribed as label,
    called_at + to_days($horizon_days::int) as known_at
from calls
where called_at <= $as_of
order by call_id
