{{ config(enabled=provides('meta_ads', 'control_totals')) }}

-- Spend is counted on the reading by device: the same money, asked for in another way.
with by_device as (
    select * from {{ source('raw_meta_ads', 'insights_by_device') }}
),

accounts as (
    select * from {{ source('raw_meta_ads', 'accounts') }}
),

spend as (
    select
        by_device.source_relation,
        by_device.date,
        upper(accounts.currency) as currency,
        sum(by_device.spend) as total,
        max(by_device._dlt_load_id) as _dlt_load_id
    from by_device
    left join accounts on by_device.source_relation = accounts.source_relation
    group by by_device.source_relation, by_device.date, upper(accounts.currency)
),

{{ ad_control_totals('meta_ads') }}
