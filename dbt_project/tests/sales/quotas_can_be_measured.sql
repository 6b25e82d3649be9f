{{ config(severity='warn') }}

-- A line of seed quotas.csv that measures nothing: an unknown metric, a holder that the CRM does not know
-- (where there is a CRM), or dates the wrong way round.
with quotas as (
    select * from {{ ref('quotas') }}
),

owners as (
    select
        source_record_id as holder,
        'owner' as holder_type
    from {{ ref('dim_owners') }}
    union
    select
        team as holder,
        'team' as holder_type
    from {{ ref('dim_owners') }}
)

select
    quotas.holder_type,
    quotas.holder,
    quotas.period_start,
    quotas.metric,
    case
        when quotas.period_end < quotas.period_start then 'it ends before it starts'
        when quotas.metric not in ({{ quoted_list(quota_metrics()) }}) then 'unknown metric'
        else 'unknown holder'
    end as problem
from quotas
left join owners on quotas.holder_type = owners.holder_type and quotas.holder = owners.holder
where
    quotas.period_end < quotas.period_start
    or quotas.metric not in ({{ quoted_list(quota_metrics()) }})
    or (
        quotas.holder_type <> 'source'
        and owners.holder is null
        and exists (select 1 from {{ ref('dim_owners') }})
    )
    or (quotas.holder_type = 'source' and quotas.holder not in ({{ quoted_list(opportunity_sources()) }}))
