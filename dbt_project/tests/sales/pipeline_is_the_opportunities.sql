-- The pipeline of the day of as_of is what is open in fct_opportunities, deal by deal and both ways (but for
-- what changed in the CRM after as_of, while the run was reading it); and from the day on which a deal opens
-- to the day before it closes it has exactly one row a day.
with daily as (
    select
        date,
        opportunity_id,
        amount
    from {{ ref('fct_pipeline_daily') }}
),

today as (
    select * from daily
    where date = {{ as_of_date() }}
),

changed_since as (
    select distinct opportunity_id
    from {{ ref('int_opportunity_states') }}
    where valid_from > {{ as_of() }}
),

open_deals as (
    select
        opportunity_id,
        amount
    from {{ ref('fct_opportunities') }}
    where not is_closed
),

compared as (
    select
        coalesce(today.opportunity_id, open_deals.opportunity_id) as opportunity_id,
        today.amount as daily_amount,
        open_deals.amount as open_amount,
        today.opportunity_id is null or open_deals.opportunity_id is null as is_alone
    from today
    full outer join open_deals on today.opportunity_id = open_deals.opportunity_id
),

open_spans as (
    select
        opportunity_id,
        sum({{ date_diff_days(
            'valid_from_on',
            'case when valid_to is null or valid_to > ' ~ as_of() ~ ' then ' ~ add_days(as_of_date(), 1)
            ~ ' else ' ~ reporting_date('valid_to') ~ ' end',
        ) }}) as days_open
    from {{ ref('int_opportunity_states') }}
    where is_open and valid_from <= {{ as_of() }}
    group by opportunity_id
),

days_present as (
    select
        opportunity_id,
        count(*) as rows_present,
        count(distinct date) as days_present
    from daily
    group by opportunity_id
)

select
    'the day of as_of is not what is open' as problem,
    compared.opportunity_id
from compared
left join changed_since on compared.opportunity_id = changed_since.opportunity_id
where
    changed_since.opportunity_id is null
    and (compared.is_alone or coalesce(compared.daily_amount, 0) <> coalesce(compared.open_amount, 0))
union all
select
    'a day is missing or there twice' as problem,
    open_spans.opportunity_id
from open_spans
left join days_present on open_spans.opportunity_id = days_present.opportunity_id
where
    open_spans.days_open <> coalesce(days_present.days_present, 0)
    or coalesce(days_present.rows_present, 0) <> coalesce(days_present.days_present, 0)
