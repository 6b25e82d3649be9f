with
{{ attributed_with_spend('channel') }}

select
    date,
    date_basis,
    channel,
    conversion_type,
    is_new_customer,
    model,
    conversions,
    value,
    value_net,
    spend,
    key_spend as channel_spend,
    {{ to_money('cost_per_conversion') }} as cost_per_conversion,
    roas
from final
