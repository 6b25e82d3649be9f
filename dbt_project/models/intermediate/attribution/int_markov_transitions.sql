{# The Markov chain of each conversion type and month, counted: how often a path goes on from one channel to
   the next. Converting paths are those of int_conversion_touches, in the conversion's month. Non-converting
   ones belong to the persons (for types of touch_scope account: the accounts, and persons without one) with
   an eligible touch and no conversion of the type: the touches within the type's lookback of the last one,
   in its month. They are counted as all paths less those of the converted, so that each is read once and not
   once per type. A month without a conversion of the type has no chain. #}
{%- set order = var('markov_order') | int %}
with
types as (
    select
        conversion_type,
        touch_scope,
        {{ lookback_days('conversion_type') }} as lookback_days
    from {{ ref('conversion_types') }}
),

account_paths as (
    with
    {{ paths_to_last_touch('account_id') }}

    select * from paths
),

-- Who a type's units are: persons for one scope; accounts, and persons without one, for the other.
unit_paths as (
    select
        person_paths.person_id as unit_id,
        true as is_person_unit,
        members.person_id is null as is_account_unit,
        {%- for days in lookback_values() %}
        person_paths.path_{{ days }}d,
        {%- endfor %}
        person_paths.month
    from {{ ref('int_person_paths') }} as person_paths
    left join {{ ref('int_person_accounts') }} as members
        on person_paths.person_id = members.person_id and members.account_id is not null
    union all
    select
        account_id as unit_id,
        false as is_person_unit,
        true as is_account_unit,
        {%- for days in lookback_values() %}
        path_{{ days }}d,
        {%- endfor %}
        month
    from account_paths
),

path_counts as (
    select
        is_person_unit,
        is_account_unit,
        {%- for days in lookback_values() %}
        path_{{ days }}d,
        {%- endfor %}
        month,
        count(*) as units
    from unit_paths
    group by
        is_person_unit,
        is_account_unit,
        {%- for days in lookback_values() %}
        path_{{ days }}d,
        {%- endfor %}
        month
),

converted as (
    select distinct
        conversion_type,
        scope_id
    from {{ ref('int_conversion_windows') }}
    where scope_id is not null
),

converting_steps as (
    select
        conversion_type,
        {{ period_start('month', 'converted_on') }} as month,
        previous_channel,
        channel,
        next_channel,
        '(conversion)' as outcome,
        count(*) as units
    from {{ ref('int_conversion_touches') }}
    where touch_count > 0
    group by
        conversion_type,
        {{ period_start('month', 'converted_on') }},
        previous_channel,
        channel,
        next_channel
),

fits as (
    select distinct
        conversion_type,
        month
    from converting_steps
),

not_converted as (
    select
        signed.conversion_type,
        signed.month,
        signed.path,
        sum(signed.units) as units
    from (
        select
            types.conversion_type,
            path_counts.month,
            {{ path_of_lookback('path_counts', 'types.lookback_days') }} as path,
            path_counts.units
        from path_counts
        inner join types
            on
                (types.touch_scope = 'person' and path_counts.is_person_unit)
                or (types.touch_scope = 'account' and path_counts.is_account_unit)
        union all
        select
            types.conversion_type,
            unit_paths.month,
            {{ path_of_lookback('unit_paths', 'types.lookback_days') }} as path,
            -1 as units
        from unit_paths
        inner join converted
            on unit_paths.unit_id = converted.scope_id
        inner join types
            on
                converted.conversion_type = types.conversion_type
                and (
                    (types.touch_scope = 'person' and unit_paths.is_person_unit)
                    or (types.touch_scope = 'account' and unit_paths.is_account_unit)
                )
    ) as signed
    inner join fits
        on signed.conversion_type = fits.conversion_type and signed.month = fits.month
    group by signed.conversion_type, signed.month, signed.path
    having sum(signed.units) != 0
),

path_channels as (
    select
        path,
        {{ explode_list_with_position(json_list('path'), 'channel', 'step') }}
    from (select distinct path from not_converted) as distinct_paths
),

path_steps as (
    select
        path,
        channel,
        lag(channel) over (partition by path order by step) as previous_channel,
        lead(channel) over (partition by path order by step) as next_channel
    from path_channels
),

steps as (
    select
        conversion_type,
        month,
        previous_channel,
        channel,
        next_channel,
        outcome,
        units
    from converting_steps
    union all
    select
        not_converted.conversion_type,
        not_converted.month,
        path_steps.previous_channel,
        path_steps.channel,
        path_steps.next_channel,
        '(none)' as outcome,
        not_converted.units
    from not_converted
    inner join path_steps
        on not_converted.path = path_steps.path
),

transitions as (
    select
        conversion_type,
        month,
        '' as source_previous,
        '(start)' as source_channel,
        channel as target_channel,
        units
    from steps
    where previous_channel is null
    union all
    select
        conversion_type,
        month,
        {{ "coalesce(previous_channel, '(start)')" if order == 2 else "''" }} as source_previous,
        channel as source_channel,
        coalesce(next_channel, outcome) as target_channel,
        units
    from steps
)

select
    conversion_type,
    month,
    source_previous,
    source_channel,
    target_channel,
    cast(sum(units) as bigint) as transitions
from transitions
group by conversion_type, month, source_previous, source_channel, target_channel
