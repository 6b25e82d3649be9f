{#
What belongs here: the names of the attribution models and the pieces of their formulas. A model is a column
credit_<name> of fct_attribution; every report in long form goes over the list.
#}
{% macro attribution_models() %}
{{ return([
    'first_touch', 'last_touch', 'last_non_direct', 'linear', 'position_based', 'time_decay', 'w_shaped', 'full_path',
    'markov', 'shapley',
]) }}
{% endmacro %}

{# The lookback of a conversion type in days, from the var; a type that is not there has 30. #}
{% macro lookback_days(conversion_type) -%}
case {{ conversion_type }}
{%- for name, days in var('attribution_lookback_days').items() %} when '{{ name }}' then {{ days }}{% endfor %} else 30 end
{%- endmacro %}

{# 2^(-days / half-life), relative to the path's last touch: the same proportions, and no underflow on long deals. #}
{% macro decay_weight(touched_at, last_touched_at) -%}
power(2.0, -{{ days_between(touched_at, last_touched_at) }} / {{ var('time_decay_half_life_days') }})
{%- endmacro %}

{#
The milestone models, from their weights (var milestone_weights) and the columns <milestone>_position: the touch that
holds the milestone, 0 where none does. One touch can hold several and adds their weights. Milestones present share in
proportion what absent ones leave, and the rest's part where no touch is left for it.
#}
{% macro milestone_credit(weights) -%}
{%- set milestones = weights | reject('equalto', 'rest') | list -%}
{%- set positions = [] -%}
{%- set held = [] -%}
{%- set present = [] -%}
{%- set holders = [] -%}
{%- for milestone in milestones -%}
    {%- set position = milestone ~ '_position' -%}
    {%- do held.append('case when touch_position = ' ~ position ~ ' then ' ~ weights[milestone] ~ ' else 0.0 end') -%}
    {%- do present.append('case when ' ~ position ~ ' > 0 then ' ~ weights[milestone] ~ ' else 0.0 end') -%}
    {%- do holders.append('case when ' ~ position ~ ' in (0' ~ (', ' if positions) ~ positions | join(', ') ~ ') then 0 else 1 end') -%}
    {%- do positions.append(position) -%}
{%- endfor -%}
case
    when touch_count = {{ holders | join(' + ') }}
        then ({{ held | join(' + ') }}) / ({{ present | join(' + ') }})
    when touch_position in ({{ positions | join(', ') }})
        then ({{ held | join(' + ') }}) / ({{ present | join(' + ') }}) * (1.0 - {{ weights['rest'] }})
    else {{ weights['rest'] }} / cast(touch_count - ({{ holders | join(' + ') }}) as double)
end
{%- endmacro %}

{#
Attributed conversions beside spend, day by day: `key` is channel or campaign_id. Spend has no conversion type, model
or date basis, so it stands whole in each slice of (date_basis, conversion_type, model): add it up within one slice.
Within a slice, is_new_customer splits a day's conversions: `spend` is shared between the two rows by conversions
(the rest of a cent on the false row, which always exists), so that a slice adds up to the source's total, while
`key_spend` is the day's whole spend, against which cost per conversion and ROAS are taken.

Most rows are spend without conversions: each day's spend times all slices. They pass no join and no sort, but are listed
key by key, day by day, in order, which halves time and size (medium: 3.2 M rows, 5.5 to 2.5 s of CPU, 14 to 11 MB).
#}
{% macro attributed_with_spend(key) %}
daily as (
    select
        date,
        date_basis,
        {{ key }},
        conversion_type,
        is_new_customer,
        model,
        sum(conversions) as conversions,
        case when count(value) = count(*) then sum(value) end as value,
        case when count(value_net) = count(*) then sum(value_net) end as value_net
    from {{ ref('int_attribution_daily') }}
    group by date, date_basis, {{ key }}, conversion_type, is_new_customer, model
),

spend as (
    select
        date,
        coalesce({{ key }}, '(not set)') as {{ key }},
        sum(spend) as spend
    from {{ ref('fct_ad_performance_daily') }}
    group by date, coalesce({{ key }}, '(not set)')
    having sum(spend) != 0
),

slices as (
    select
        bases.date_basis,
        types.conversion_type,
        models.model,
        row_number() over (order by bases.date_basis, types.conversion_type, models.model) as slice_number
    from (
        select 'conversion' as date_basis
        union all
        select 'touch' as date_basis
    ) as bases
    cross join {{ ref('conversion_types') }} as types
    cross join (
        {%- for model in attribution_models() %}
        select '{{ model }}' as model
        {%- if not loop.last %}
        union all
        {%- endif %}
        {%- endfor %}
    ) as models
),

cells as (
    select
        daily.date,
        daily.date_basis,
        daily.{{ key }},
        daily.conversion_type,
        daily.model,
        slices.slice_number,
        max(spend.spend) as key_spend,
        sum(case when daily.is_new_customer then daily.conversions else 0.0 end) as new_conversions,
        sum(daily.conversions) as all_conversions,
        max(case when daily.is_new_customer then 0 else 1 end) as has_false_row
    from daily
    inner join slices
        on
            daily.date_basis = slices.date_basis
            and daily.conversion_type = slices.conversion_type
            and daily.model = slices.model
    left join spend
        on daily.date = spend.date and daily.{{ key }} = spend.{{ key }}
    group by daily.date, daily.date_basis, daily.{{ key }}, daily.conversion_type, daily.model, slices.slice_number
),

shared as (
    -- A value without an exchange rate stays NULL; only a row of spend alone has value 0.
    select
        daily.date,
        daily.date_basis,
        daily.{{ key }},
        daily.conversion_type,
        daily.is_new_customer,
        daily.model,
        daily.conversions,
        daily.value,
        daily.value_net,
        coalesce(cells.key_spend, 0) as key_spend,
        cells.new_conversions,
        cells.all_conversions
    from daily
    inner join cells
        on
            daily.date = cells.date
            and daily.date_basis = cells.date_basis
            and daily.{{ key }} = cells.{{ key }}
            and daily.conversion_type = cells.conversion_type
            and daily.model = cells.model
    union all
    select
        date,
        date_basis,
        {{ key }},
        conversion_type,
        false as is_new_customer,
        model,
        0.0 as conversions,
        0 as value,
        0 as value_net,
        key_spend,
        new_conversions,
        all_conversions
    from cells
    where has_false_row = 0 and key_spend is not null
),

with_new_spend as (
    select
        *,
        case
            when all_conversions > 0
                then cast(cast(key_spend as double) * new_conversions / all_conversions as decimal(19, 4))
            else cast(0 as decimal(19, 4))
        end as new_spend
    from shared
),

attributed as (
    select
        date,
        date_basis,
        {{ key }},
        conversion_type,
        is_new_customer,
        model,
        cast(conversions as double) as conversions,
        cast(value as decimal(19, 4)) as value,
        cast(value_net as decimal(19, 4)) as value_net,
        cast(case when is_new_customer then new_spend else key_spend - new_spend end as decimal(19, 4)) as spend,
        cast(key_spend as decimal(19, 4)) as key_spend,
        case when conversions > 0 then {{ safe_divide('key_spend', 'conversions') }} end as cost_per_conversion,
        {{ safe_divide('value', 'key_spend') }} as roas
    from with_new_spend
    order by {{ key }}, date
),

slice_lists as (
    select
        {{ ordered_list('slice_number', 'slice_number') }} as slice_numbers,
        {{ ordered_list('date_basis', 'slice_number') }} as date_bases,
        {{ ordered_list('conversion_type', 'slice_number') }} as conversion_types,
        {{ ordered_list('model', 'slice_number') }} as models
    from slices
),

attributed_slices as (
    select
        date,
        {{ key }},
        {{ ordered_list('slice_number', 'slice_number') }} as slice_numbers
    from cells
    where key_spend is not null
    group by date, {{ key }}
),

spend_alone as (
    select
        spend.date,
        spend.{{ key }},
        spend.spend,
        case
            when attributed_slices.date is null then slice_lists.slice_numbers
            else {{ list_without('slice_lists.slice_numbers', 'attributed_slices.slice_numbers') }}
        end as slice_numbers
    from spend
    cross join slice_lists
    left join attributed_slices
        on spend.date = attributed_slices.date and spend.{{ key }} = attributed_slices.{{ key }}
    order by spend.{{ key }}, spend.date
),

spend_slices as (
    select
        date,
        {{ key }},
        spend,
        {{ explode_list('slice_numbers') }} as slice_number
    from spend_alone
),

final as (
    select
        date,
        {{ list_element('(select date_bases from slice_lists)', 'slice_number') }} as date_basis,
        {{ key }},
        {{ list_element('(select conversion_types from slice_lists)', 'slice_number') }} as conversion_type,
        false as is_new_customer,
        {{ list_element('(select models from slice_lists)', 'slice_number') }} as model,
        cast(0 as double) as conversions,
        cast(0 as decimal(19, 4)) as value,
        cast(0 as decimal(19, 4)) as value_net,
        cast(spend as decimal(19, 4)) as spend,
        cast(spend as decimal(19, 4)) as key_spend,
        cast(null as double) as cost_per_conversion,
        cast(0 as double) as roas
    from spend_slices
    union all
    select
        date,
        date_basis,
        {{ key }},
        conversion_type,
        is_new_customer,
        model,
        conversions,
        value,
        value_net,
        spend,
        key_spend,
        cost_per_conversion,
        roas
    from attributed
)
{% endmacro %}
