with channels as (
    select * from {{ ref('channels') }}
),

-- A channel that a user's own rules or records name, and the seed does not, keeps its place at the end.
used as (
    select channel from {{ ref('channel_rules') }}
    union
    select channel from {{ ref('network_channels') }}
    union
    select channel from {{ ref('touchpoint_type_channels') }} where coalesce(channel, '') <> ''
    union
    select inbound_channel as channel from {{ ref('touchpoint_type_channels') }}
    where coalesce(inbound_channel, '') <> ''
    union
    select channel from {{ ref('int_incrementality_tests_unioned') }} where channel is not null
    union
    select channel from {{ ref('int_costs_unioned') }} where channel is not null
    union
    select channel from channels
),

final as (
    select
        used.channel as channel_id,
        used.channel,
        coalesce(channels.channel_order, 9999) as channel_order,
        coalesce(channels.is_paid, false) as is_paid,
        coalesce(channels.is_marketing, true) as is_marketing,
        coalesce(channels.channel_group, '(not set)') as channel_group,
        coalesce(channels.funnel_position, 'tofu') as funnel_position,
        channels.channel is not null as is_declared
    from used
    left join channels on used.channel = channels.channel
)

select
    channel_id,
    channel,
    channel_order,
    is_paid,
    is_marketing,
    channel_group,
    funnel_position,
    is_declared
from final
