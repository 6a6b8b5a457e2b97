-- On which platforms the lead is active, how many and how diverse, and how fast they answered.
-- Times are whole milliseconds, so sums are exact in any order.
with checks as (
    select
        lead_id,
        -- The newest check of a lead, with its five answers, is one maximum: the time above five bits.
        epoch_us(validated_at) * 32
            + whatsapp_active::bigint * 16 + instagram_active::bigint * 8 + facebook_active::bigint * 4
            + google_active::bigint * 2 + apple_active::bigint as stamped,
        validated_at > $as_of - interval 7 days as in_7d,
        validated_at > $as_of - interval 30 days as in_30d,
        validated_at > $as_of - interval 90 days as in_90d,
        whatsapp_active, instagram_active, facebook_active, google_active, apple_active,
        coalesce(whatsapp_ms, 0) + coalesce(instagram_ms, 0) + coalesce(facebook_ms, 0) + coalesce(google_ms, 0)
            + coalesce(apple_ms, 0) as ms,
        (whatsapp_ms is not null)::int + (instagram_ms is not null)::int + (facebook_ms is not null)::int
            + (google_ms is not null)::int + (apple_ms is not null)::int as answers
    from validations
    where validated_at <= $as_of
),
windows as (
    select
        lead_id,
        max(stamped) as newest,
        count_if(in_7d) as validations_7d,
        count_if(in_30d) as validations_30d,
        count_if(in_90d) as validations_90d,
        count_if(in_90d and whatsapp_active) as whatsapp,
        count_if(in_90d and instagram_active) as instagram,
        count_if(in_90d and facebook_active) as facebook,
        count_if(in_90d and google_active) as google,
        count_if(in_90d and apple_active) as apple,
        sum(ms) filter (where in_90d) as ms,
        sum(answers) filter (where in_90d) as answers
    from checks
    group by lead_id
),
found as (
    select *, whatsapp + instagram + facebook + google + apple as active
    from windows
)
select
    leads.lead_id,
    make_timestamp(f.newest // 32) as last_validation_at,
    coalesce(bit_count(f.newest % 32), 0) as platform_count,
    coalesce(f.newest & 16 > 0, false) as whatsapp_active,
    coalesce(f.newest & 8 > 0, false) as instagram_active,
    coalesce(f.newest & 4 > 0, false) as facebook_active,
    coalesce(f.newest & 2 > 0, false) as google_active,
    coalesce(f.newest & 1 > 0, false) as apple_active,
    coalesce(f.validations_7d, 0) as validations_7d,
    coalesce(f.validations_30d, 0) as validations_30d,
    coalesce(f.validations_90d, 0) as validations_90d,
    coalesce(f.active / nullif(f.validations_90d, 0), 0) as platform_count_90d,
    -- Simpson's diversity of the platforms found active: 0 is one platform, 0.8 is five in equal parts.
    coalesce(
        1 - (f.whatsapp ** 2 + f.instagram ** 2 + f.facebook ** 2 + f.google ** 2 + f.apple ** 2)
            / nullif(f.active, 0) ** 2,
        0
    ) as platform_diversity_90d,
    coalesce(f.ms / nullif(f.answers, 0), 0) as response_ms_90d
from leads
left join found as f using (lead_id)
