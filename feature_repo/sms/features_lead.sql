-- Who the lead is. Its time zone and the time it was acquired feed the on-demand columns.
select
    lead_id,
    state,
    -- The area codes of the three big cities, then those of the next ones; the rest of the country shares the others.
    case
        when lada in ('55', '56', '33', '81') then 'metropolis'
        when lada in (
            '221', '222', '229', '442', '444', '449', '477', '614', '656', '662',
            '664', '667', '686', '722', '729', '833', '844', '871', '961', '993', '998', '999'
        ) then 'city'
        else 'region'
    end as lada_tier,
    carrier,
    line_type,
    consent,
    timezone,
    acquired_at
from leads
