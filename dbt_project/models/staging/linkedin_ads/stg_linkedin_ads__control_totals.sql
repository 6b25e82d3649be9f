{{ config(enabled=provides('linkedin_ads', 'control_totals')) }}

-- What the platform says that the account spent, whatever its creatives add up to.
with account_days as (
    select * from {{ source('raw_linkedin_ads', 'account_analytics') }}
),

accounts as (
    select * from {{ source('raw_linkedin_ads', 'accounts') }}
),

spend as (
    select
        account_days.source_relation,
        account_days.date,
        upper(accounts.currency) as currency,
        sum(account_days.cost) as total,
        max(account_days._dlt_load_id) as _dlt_load_id
    from account_days
    left join accounts on account_days.source_relation = accounts.source_relation
    group by account_days.source_relation, account_days.date, upper(accounts.currency)
),

{{ ad_control_totals('linkedin_ads') }}
