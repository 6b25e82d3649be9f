{# Removal effect: the share of conversions that a chain loses when a channel leads nowhere. Channel totals
   share the fit's conversions in proportion to the effects; credit_markov of fct_attribution shares each
   conversion over its own path and does not add up to them. #}
with
chains as (
    select
        conversion_type,
        month,
        cast(sum(case when source_channel = '(start)' then transitions else 0 end) as bigint) as paths,
        cast(sum(case when target_channel = '(conversion)' then transitions else 0 end) as bigint)
            as conversions,
        {{ digest_md5(ordered_json_list(
            surrogate_key(['source_previous', 'source_channel', 'target_channel', 'transitions']),
            'source_previous, source_channel, target_channel',
        )) }} as fit_hash
    from {{ ref('int_markov_transitions') }}
    group by conversion_type, month
),

touches as (
    select
        conversion_type,
        month,
        source_channel as channel,
        cast(sum(transitions) as bigint) as touches
    from {{ ref('int_markov_transitions') }}
    where source_channel != '(start)'
    group by conversion_type, month, source_channel
),

fit_values as (
    select
        windows.conversion_type,
        {{ period_start('month', 'windows.converted_on') }} as month,
        case when count(windows.value) = count(*) then sum(cast(windows.value as double)) end as value
    from {{ ref('int_conversion_windows') }} as windows
    inner join {{ ref('int_conversion_touches') }} as first_touches
        on windows.conversion_id = first_touches.conversion_id and first_touches.touch_position = 1
    group by windows.conversion_type, {{ period_start('month', 'windows.converted_on') }}
),

effects as (
    select
        removals.conversion_type,
        removals.month,
        removals.channel,
        touches.touches,
        chains.paths,
        chains.conversions,
        chains.fit_hash,
        -- A channel without effect may keep a digit more than all.
        case
            when removals.kept_conversions < chains.conversions
                then 1.0 - removals.kept_conversions / cast(chains.conversions as double)
            else 0.0
        end as removal_effect
    from {{ ref('int_markov_removals') }} as removals
    inner join chains
        on removals.conversion_type = chains.conversion_type and removals.month = chains.month
    inner join touches
        on
            removals.conversion_type = touches.conversion_type
            and removals.month = touches.month
            and removals.channel = touches.channel
),

shares as (
    select
        *,
        removal_effect / sum(removal_effect) over (
            partition by conversion_type, month order by channel
            rows between unbounded preceding and unbounded following
        ) as removal_share
    from effects
)

select
    shares.conversion_type,
    shares.month,
    shares.channel,
    cast({{ var('markov_order') }} as bigint) as markov_order,
    shares.touches,
    shares.paths,
    shares.conversions,
    shares.removal_effect,
    shares.removal_share,
    shares.removal_share * shares.conversions as attributed_conversions,
    {{ to_money('fit_values.value') }} as value,
    {{ to_money('shares.removal_share * fit_values.value') }} as attributed_value,
    shares.fit_hash
from shares
left join fit_values
    on shares.conversion_type = fit_values.conversion_type and shares.month = fit_values.month
