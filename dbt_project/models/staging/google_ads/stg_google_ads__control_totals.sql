{{ config(enabled=provides('google_ads', 'control_totals')) }}

-- Counted on the campaigns' rows alone: what the platform says that was spent, whatever the ads' rows add
-- up to.
{{ ad_control_totals(
    'google_ads',
    totals='campaign_performance',
    amount='cast(totals.cost_micros as decimal(18, 0)) * cast(0.000001 as decimal(7, 6))',
    accounts='customers',
    currency='currency_code',
) }}
