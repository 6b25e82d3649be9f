with changes as (
    {{ differing_rows(
        ref('int_campaign_key_candidates'),
        'int_campaign_keys',
        ['key_type', 'campaign_key', 'campaign_id', 'channel', 'funnel_position', 'ad_id'],
    ) }}
),

final as (
    select key_type, campaign_key from changes
    union
    {{ carried_over(['key_type', 'campaign_key']) }}
)

select
    key_type,
    campaign_key,
    cast('{{ batch_mark() }}' as {{ text_type() }}) as batch_mark
from final
