{{ config(enabled=provides('linkedin_ads', 'control_totals')) }}

-- What the platform says that the account spent, whatever its creatives add up to.
{{ ad_control_totals(
    'linkedin_ads',
    totals='account_analytics',
    amount='totals.cost',
    accounts='accounts',
    currency='currency',
) }}
