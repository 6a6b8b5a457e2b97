-- Whom to score: calls of the last 30 days, planned for today or made without a subscription: the call-back list.
select call_id
from calls
where called_at > $as_of - interval 30 days
  and called_at <= $as_of
  and subscribed is not true
order by call_id
