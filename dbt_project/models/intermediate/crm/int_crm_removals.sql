-- A record can be merged into one that is itself merged later: the chain is followed by doubling (four joins
-- reach 16 merges), in joins rather than by recursion, so that every engine runs it.
with edges as (
    {% for object_type, entity in [
        ('contact', 'crm_contacts'), ('account', 'crm_accounts'), ('opportunity', 'crm_opportunities')
    ] %}
    {% set key = object_type ~ '_id' %}
    select
        '{{ object_type }}' as object_type,
        source_relation,
        {{ key }} as source_record_id,
        case when merged_into_id <> {{ key }} then merged_into_id end as into_source_record_id,
        {% if object_type == 'contact' %}
        updated_at as removed_at,
        {% else %}
        coalesce(merged_at, deleted_at, updated_at) as removed_at,
        {% endif %}
        case when merged_into_id <> {{ key }} then 'merged' else 'deleted' end as reason
    from {{ ref('int_' ~ entity ~ '_unioned') }}
    where merged_into_id <> {{ key }} or is_deleted
    {% if not loop.last %}union all{% endif %}
    {% endfor %}
),

{% for hop in range(1, 5) %}
hop_{{ hop }} as (
    select
        earlier.object_type,
        earlier.source_relation,
        earlier.source_record_id,
        coalesce(later.into_source_record_id, earlier.into_source_record_id) as into_source_record_id,
        earlier.removed_at,
        earlier.reason
    from {{ 'edges' if hop == 1 else 'hop_' ~ (hop - 1) }} as earlier
    left join {{ 'edges' if hop == 1 else 'hop_' ~ (hop - 1) }} as later
        on
            earlier.object_type = later.object_type
            and earlier.source_relation = later.source_relation
            and earlier.into_source_record_id = later.source_record_id
){{ ',' }}
{% endfor %}

final as (
    select
        object_type,
        source_relation,
        source_record_id,
        into_source_record_id,
        {{ surrogate_key(['source_relation', 'source_record_id']) }} as removed_id,
        case
            when into_source_record_id is not null
                then {{ surrogate_key(['source_relation', 'into_source_record_id']) }}
        end as into_id,
        removed_at,
        reason
    from hop_4
)

select
    object_type,
    source_relation,
    source_record_id,
    into_source_record_id,
    removed_id,
    into_id,
    removed_at,
    reason
from final
