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

account_steps as (
    with
    {{ steps_to_last_touch('account_id') }}

    select * from steps
),

-- Who a type's units are: persons for one scope; accounts, and persons without one, for the other.
unit_steps as (
    select
        person_steps.person_id as unit_id,
        true as is_person_unit,
        members.person_id is null as is_account_unit,
        person_steps.month,
        person_steps.within_days,
        person_steps.previous_within_days,
        person_steps.previous_channel,
        person_steps.channel,
        person_steps.next_channel
    from {{ ref('int_person_steps') }} as person_steps
    left join {{ ref('int_person_accounts') }} as members
        on person_steps.person_id = members.person_id and members.account_id is not null
    union all
    select
        account_id as unit_id,
        false as is_person_unit,
        true as is_account_unit,
        month,
        within_days,
        previous_within_days,
        previous_channel,
        channel,
        next_channel
    from account_steps
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

{%- set step = [
    'is_person_unit', 'is_account_unit', 'month', 'within_days', 'previous_within_days', 'previous_channel', 'channel',
    'next_channel',
] %}

-- Steps of all units, and, to be taken off again, those of units that have converted.
counted_steps as (
    select
        cast(null as {{ text_type() }}) as converted_type,
        {{ step | join(', ') }},
        count(*) as units
    from unit_steps
    group by {{ step | join(', ') }}
    union all
    select
        converted.conversion_type as converted_type,
        {{ step | join(', ') }},
        -count(*) as units
    from unit_steps
    inner join converted
        on unit_steps.unit_id = converted.scope_id
    group by converted.conversion_type, {{ step | join(', ') }}
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
        types.conversion_type,
        counted_steps.month,
        case
            when counted_steps.previous_within_days <= types.lookback_days then counted_steps.previous_channel
        end as previous_channel,
        counted_steps.channel,
        counted_steps.next_channel,
        '(none)' as outcome,
        counted_steps.units
    from counted_steps
    inner join types
        on
            coalesce(counted_steps.converted_type, types.conversion_type) = types.conversion_type
            and counted_steps.within_days <= types.lookback_days
            and (
                (types.touch_scope = 'person' and counted_steps.is_person_unit)
                or (types.touch_scope = 'account' and counted_steps.is_account_unit)
            )
    inner join fits
        on types.conversion_type = fits.conversion_type and counted_steps.month = fits.month
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
having sum(units) != 0
