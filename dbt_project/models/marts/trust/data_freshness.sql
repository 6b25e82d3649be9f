{# One entry per source and entity that has records; the threshold is the var freshness_hours. #}
{%- set ours = ['control_totals', 'quarantined_records'] %}
with
latest as (
    {%- for entity, definition in var('canonical_entities').items() if entity not in ours %}
    select
        source_relation,
        '{{ entity }}' as entity,
        count(*) as records,
        max(_load_id) as latest_load_id,
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
        when hours_since_latest_record > 0 then hours_since_latest_record
        else 0.0
    end as hours_since_latest_record,
    coalesce(hours_since_latest_record > {{ var('freshness_hours') }}, false) as is_stale
from final
