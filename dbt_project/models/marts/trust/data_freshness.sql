{# One entry per source and entity that has records. What comes once a month is not late after three days: the
   var freshness_hours_of has the entities with a threshold of their own. #}
{%- set ours = ['control_totals', 'quarantined_records'] %}
with
latest as (
    {%- for entity, definition in var('canonical_entities').items() if entity not in ours %}
    select
        source_relation,
        '{{ entity }}' as entity,
        count(*) as records,
        max(_load_id) as latest_load_id,
        {{ var('freshness_hours_of').get(entity, var('freshness_hours')) }} as allowed_hours,
        max(cast({{ definition['time'] or 'null' }} as timestamp)) as latest_record_at
    from {{ ref('int_' ~ entity ~ '_unioned') }}
    group by source_relation
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}
),

final as (
    select
        *,
        {{ hours_between('latest_record_at', as_of()) }} as hours_since_latest_record
    from latest
)

select
    source_relation,
    entity,
    cast(records as bigint) as records,
    latest_record_at,
    latest_load_id,
    -- Records may lie in the future (a planned meeting): they are not stale.
    case
        when hours_since_latest_record < 0 then 0.0
        else hours_since_latest_record
    end as hours_since_latest_record,
    cast(allowed_hours as bigint) as allowed_hours,
    coalesce(hours_since_latest_record > allowed_hours, false) as is_stale
from final
