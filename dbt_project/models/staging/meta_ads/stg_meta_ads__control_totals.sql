{{ config(enabled=provides('meta_ads', 'control_totals')) }}

-- Spend is counted on the reading by device: the same money, asked for in another way.
{{ ad_control_totals(
    'meta_ads',
    totals='insights_by_device',
    amount='totals.spend',
    accounts='accounts',
    currency='currency',
) }}
