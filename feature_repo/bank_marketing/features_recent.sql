-- How calls of the last weeks went, for the calls of the day. An outcome counts once it is known; shares are smoothed
-- towards the share of all calls, which itself starts from one success in ten.
with known as (
    select called_at, contact, job, poutcome, subscribed::int as success
    from calls
    where subscribed is not null and called_at <= $as_of
),
base as (
    select
        (sum(success) + 10) / (count(*) + 100) as rate
    from known
),
overall as (
    select
        count(*) filter (where called_at > $as_of - interval 7 days) as calls_7d,
        count(*) filter (where called_at > $as_of - interval 30 days) as calls_30d,
        count(*) filter (where called_at > $as_of - interval 90 days) as calls_90d,
        coalesce(sum(success) filter (where called_at > $as_of - interval 7 days), 0) as successes_7d,
        coalesce(sum(success) filter (where called_at > $as_of - interval 30 days), 0) as successes_30d,
        coalesce(sum(success) filter (where called_at > $as_of - interval 90 days), 0) as successes_90d
    from known
),
by_contact as (
    select contact, count(*) as calls, sum(success) as successes
    from known where called_at > $as_of - interval 30 days group by contact
),
by_job as (
    select job, count(*) as calls, sum(success) as successes
    from known where called_at > $as_of - interval 90 days group by job
),
by_outcome as (
    select poutcome, count(*) as calls, sum(success) as successes
    from known where called_at > $as_of - interval 90 days group by poutcome
)
select
    calls.call_id,
    overall.calls_7d,
    overall.calls_30d,
    overall.calls_90d,
    (overall.successes_7d + 20 * coalesce(base.rate, 0.1)) / (overall.calls_7d + 20) as success_rate_7d,
    (overall.successes_30d + 20 * coalesce(base.rate, 0.1)) / (overall.calls_30d + 20) as success_rate_30d,
    (overall.successes_90d + 20 * coalesce(base.rate, 0.1)) / (overall.calls_90d + 20) as success_rate_90d,
    (coalesce(by_contact.successes, 0) + 20 * coalesce(base.rate, 0.1)) / (coalesce(by_contact.calls, 0) + 20)
        as contact_success_rate_30d,
    (coalesce(by_job.successes, 0) + 20 * coalesce(base.rate, 0.1)) / (coalesce(by_job.calls, 0) + 20)
        as job_success_rate_90d,
    (coalesce(by_outcome.successes, 0) + 20 * coalesce(base.rate, 0.1)) / (coalesce(by_outcome.calls, 0) + 20)
        as outcome_success_rate_90d
from calls
cross join overall
cross join base
left join by_contact using (contact)
left join by_job using (job)
left join by_outcome using (poutcome)
where calls.called_at > $as_of - interval 1 day and calls.called_at <= $as_of
