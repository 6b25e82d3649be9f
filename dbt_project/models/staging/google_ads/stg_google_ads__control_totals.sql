{{ config(enabled=provides('google_ads', 'control_totals')) }}

-- Counted on the campaigns' rows alone: what the platform says that was spent, whatever the ads' rows add
-- up to.
with campaign_rows as (
    select * from {{ source('raw_google_ads', 'campaign_performance') }}
),

customers as (
    select * from {{ source('raw_google_ads', 'customers') }}
),

spend as (
    select
        campaign_rows.source_relation,
        campaign_rows.date,
        upper(customers.currency_code) as currency,
        sum(cast(campaign_rows.cost_micros as decimal(18, 0))) * cast(0.000001 as decimal(7, 6)) as total,
        max(campaign_rows._dlt_load_id) as _dlt_load_id
    from campaign_rows
    left join customers on campaign_rows.source_relation = customers.source_relation
    group by campaign_rows.source_relation, campaign_rows.date, upper(customers.currency_code)
),

{{ ad_control_totals('google_ads') }}
