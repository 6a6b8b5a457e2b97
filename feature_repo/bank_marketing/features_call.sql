-- What the bank knew before the call: one row per call, made on its day.
select
    call_id,
    age,
    job,
    marital,
    education,
    credit_default,
    balance,
    housing,
    loan,
    contact,
    campaign,
    nullif(pdays, -1) as pdays, -- -1 means never called before
    previous,
    poutcome,
    strftime(called_at, '%m') as month,
    day(called_at) as day_of_month,
    isodow(called_at) as weekday
from calls
where called_at > $as_of - interval 1 day and called_at <= $as_of
