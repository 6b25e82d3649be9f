with
final as (
    select
        {{ surrogate_key(['source_relation', 'quarantine_id']) }} as quarantined_record_id,
        source_relation,
        resource,
        reason,
        first_seen_at,
        last_seen_at,
        quarantine_id as source_record_id
    from {{ ref('int_quarantined_records_unioned') }}
)

select
    quarantined_record_id,
    source_relation,
    resource,
    reason,
    first_seen_at,
    last_seen_at,
    source_record_id
from final
