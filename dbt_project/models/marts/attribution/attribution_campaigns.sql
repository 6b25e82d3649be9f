with
{{ attributed_with_spend('campaign_id') }}

select
    final.date,
    final.date_basis,
    final.campaign_id,
    coalesce(campaigns.campaign_name, '(not set)') as campaign_name,
    final.conversion_type,
    final.is_new_customer,
    final.model,
    final.conversions,
    final.value,
    final.value_net,
    final.spend,
    final.key_spend as campaign_spend,
    {{ to_money('final.cost_per_conversion') }} as cost_per_conversion,
    final.roas
from final
left join {{ ref('dim_campaigns') }} as campaigns
    on final.campaign_id = campaigns.campaign_id
