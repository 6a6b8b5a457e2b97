-- Whom to score: every lead that can receive a message. Consent and opt-outs are looked at when the audience is made.
select lead_id
from leads
where acquired_at <= $as_of and line_type in ('mobile', 'voip')
order by lead_id
