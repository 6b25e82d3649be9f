-- Conservation: in attribution_channels and attribution_campaigns, each date basis and model has the
-- conversions and the value of fct_conversions, type by type; every conversion has its rows in
-- fct_attribution.
with
conversions as (
    select
        conversion_type,
        cast(count(*) as double) as conversions,
        sum(cast(value as double)) as value,
        sum(cast(value_net as double)) as value_net
    from {{ ref('fct_conversions') }}
    group by conversion_type
),

attributed as (
    {%- for report in ['attribution_channels', 'attribution_campaigns'] %}
    select
        '{{ report }}' as report,
        date_basis,
        model,
        conversion_type,
        sum(conversions) as conversions,
        sum(cast(value as double)) as value,
        sum(cast(value_net as double)) as value_net
    from {{ ref(report) }}
    group by date_basis, model, conversion_type
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}
),

expected as (
    select
        reports.report,
        bases.date_basis,
        models.model,
        conversions.*
    from conversions
    cross join (
        select 'attribution_channels' as report
        union all
        select 'attribution_campaigns' as report
    ) as reports
    cross join (
        select 'conversion' as date_basis
        union all
        select 'touch' as date_basis
    ) as bases
    cross join (
        {%- for model in attribution_models() %}
        select '{{ model }}' as model
        {%- if not loop.last %}
        union all
        {%- endif %}
        {%- endfor %}
    ) as models
)

select
    coalesce(expected.report, attributed.report) as report,
    coalesce(expected.date_basis, attributed.date_basis) as date_basis,
    coalesce(expected.model, attributed.model) as model,
    coalesce(expected.conversion_type, attributed.conversion_type) as conversion_type,
    expected.conversions as expected_conversions,
    attributed.conversions as attributed_conversions,
    expected.value as expected_value,
    attributed.value as attributed_value
from expected
full outer join attributed
    on
        expected.report = attributed.report
        and expected.date_basis = attributed.date_basis
        and expected.model = attributed.model
        and expected.conversion_type = attributed.conversion_type
where
    abs(coalesce(expected.conversions, 0) - coalesce(attributed.conversions, 0)) > 1e-6
    -- Each row of a report is rounded to 0.0001.
    or abs(coalesce(expected.value, 0) - coalesce(attributed.value, 0))
    > 0.01 + 1e-6 * coalesce(expected.value, 0)
    or abs(coalesce(expected.value_net, 0) - coalesce(attributed.value_net, 0))
    > 0.01 + 1e-6 * coalesce(expected.value, 0)
union all
select
    'fct_attribution' as report,
    null as date_basis,
    null as model,
    conversions.conversion_type,
    1 as expected_conversions,
    0 as attributed_conversions,
    null as expected_value,
    null as attributed_value
from {{ ref('fct_conversions') }} as conversions
left join {{ ref('fct_attribution') }} as attribution
    on conversions.conversion_id = attribution.conversion_id
where attribution.conversion_id is null
