-- What the lead did after: replies, clicks, purchases. Rates are smoothed by twenty messages at the usual rate.
with sent as (
    select lead_id, count(*) as delivered
    from messages
    where status = 'delivered' and sent_at <= $as_of
    group by lead_id
),
acts as (
    select
        lead_id,
        occurred_at,
        kind = 'reply' as replied,
        kind = 'click' as clicked,
        kind = 'purchase' as bought,
        occurred_at > $as_of - interval 7 days as in_7d,
        occurred_at > $as_of - interval 30 days as in_30d,
        occurred_at > $as_of - interval 90 days as in_90d,
        -- Whole cents are summed exactly, in whatever order the rows come.
        round(revenue * 100)::bigint as cents
    from conversions
    where occurred_at <= $as_of
),
windows as (
    select
        lead_id,
        max(occurred_at) filter (where replied) as last_reply_at,
        max(occurred_at) filter (where clicked) as last_click_at,
        max(occurred_at) filter (where bought) as last_purchase_at,
        count_if(replied) as replies,
        count_if(clicked) as clicks,
        count_if(bought) as purchases,
        count_if(replied and in_7d) as replies_7d,
        count_if(replied and in_30d) as replies_30d,
        count_if(replied and in_90d) as replies_90d,
        count_if(clicked and in_7d) as clicks_7d,
        count_if(clicked and in_30d) as clicks_30d,
        count_if(clicked and in_90d) as clicks_90d,
        count_if(bought and in_7d) as purchases_7d,
        count_if(bought and in_30d) as purchases_30d,
        count_if(bought and in_90d) as purchases_90d,
        sum(cents) filter (where in_90d) as cents_90d
    from acts
    group by lead_id
)
select
    leads.lead_id,
    w.last_reply_at,
    w.last_click_at,
    w.last_purchase_at,
    (coalesce(w.replies, 0) + 20 * 0.05) / (coalesce(sent.delivered, 0) + 20) as reply_rate,
    (coalesce(w.clicks, 0) + 20 * 0.10) / (coalesce(sent.delivered, 0) + 20) as click_rate,
    (coalesce(w.purchases, 0) + 20 * 0.02) / (coalesce(sent.delivered, 0) + 20) as purchase_rate,
    coalesce(w.replies_7d, 0) as replies_7d,
    coalesce(w.replies_30d, 0) as replies_30d,
    coalesce(w.replies_90d, 0) as replies_90d,
    coalesce(w.clicks_7d, 0) as clicks_7d,
    coalesce(w.clicks_30d, 0) as clicks_30d,
    coalesce(w.clicks_90d, 0) as clicks_90d,
    coalesce(w.purchases_7d, 0) as purchases_7d,
    coalesce(w.purchases_30d, 0) as purchases_30d,
    coalesce(w.purchases_90d, 0) as purchases_90d,
    coalesce(w.cents_90d, 0) / 100 as revenue_90d
from leads
left join windows as w using (lead_id)
left join sent using (lead_id)
