{#
What belongs here: Markov attribution. Paths of those who did not convert, and the removal effects: what share of the
conversions remains when all transitions into a channel lead nowhere.

The effects are exact. Take the chain as flows (how often each transition was seen). A state can be taken out by sending
what flowed into it straight on to where it flowed out to, in proportion; what then flows from the start to the conversion,
once every channel but one is taken out, is exactly what converts without that channel. There is no subtraction in it, so
nothing cancels. All channels of all chains are done together by halving: from the whole chain one copy takes out the upper
half of the channels, the other the lower half, and so on down to one channel a copy; n channels need about n rounds and
2/3 n^3 steps, less than solving the chain twice. One table a round, because an unrolled query is recomputed
exponentially by some engines.
#}

{# The lookbacks in use, in days, ascending. #}
{% macro lookback_values() %}
{{ return((var('attribution_lookback_days').values() | list + [30]) | unique | sort) }}
{% endmacro %}

{#
CTEs, of which the last, `steps`, has the touches of each unit (person_id or account_id; of a change set, if one is named) up to
its last one, with their neighbours and the month of the last. within_days: the shortest lookback from the last touch
that holds the touch (so a lookback's path is the steps within it; a step whose previous one is not is its first).
#}
{% macro steps_to_last_touch(unit, changes=none) %}
touches as (
    select
        touchpoint_id,
        {{ unit }},
        occurred_at,
        occurred_on,
        coalesce(channel, '(not set)') as channel
    from {{ ref('fct_touchpoints') }}
    where
        is_credit_eligible
        and {{ unit }} is not null
        {%- if changes is not none %}
        and {{ unit }} in (select changed.{{ unit }} from {{ changes }} as changed)
        {%- endif %}
),

last_touches as (
    select
        {{ unit }},
        count(*) as touch_count,
        max(occurred_at) as last_at,
        {{ period_start('month', 'max(occurred_on)') }} as month
    from touches
    group by {{ unit }}
),

near_touches as (
    select
        touches.*,
        last_touches.touch_count,
        last_touches.month,
        case
            {%- for days in lookback_values() %}
            when touches.occurred_at >= {{ add_seconds('last_touches.last_at', 'cast(-86400 as double) * ' ~ days) }} then {{ days }}
            {%- endfor %}
        end as within_days
    from touches
    inner join last_touches
        on touches.{{ unit }} = last_touches.{{ unit }}
),

steps as (
    select
        {{ unit }},
        month,
        channel,
        within_days,
        lag(channel) over (partition by {{ unit }} order by occurred_at, touchpoint_id) as previous_channel,
        lag(within_days) over (partition by {{ unit }} order by occurred_at, touchpoint_id) as previous_within_days,
        lead(channel) over (partition by {{ unit }} order by occurred_at, touchpoint_id) as next_channel
    from near_touches
    where within_days is not null and touch_count > 1
    union all
    -- Most have one touch, which need not be sorted.
    select
        {{ unit }},
        month,
        channel,
        within_days,
        cast(null as {{ text_type() }}) as previous_channel,
        cast(null as integer) as previous_within_days,
        cast(null as {{ text_type() }}) as next_channel
    from near_touches
    where touch_count = 1
)
{% endmacro %}

{#
How many rounds each halving takes where the whole is one query: none, where each round writes a table. Unit tests have
inputs that are no tables: they override this with as many rounds as their few channels need, e.g. [1] for two.
#}
{% macro markov_rounds_in_one_query() %}{{ return(none) }}{% endmacro %}

{# A select of (conversion_type, month, channel, kept_conversions): the conversions that remain without the channel. #}
{% macro markov_removals(transitions) %}
{% set rounds = markov_rounds_in_one_query() %}
{% if rounds is not none %}
    {% set ctes = [
        'states as (' ~ markov_states(transitions) ~ ')',
        'bounds as (' ~ markov_bounds('states') ~ ')',
        'flows_0 as (' ~ markov_flows(transitions, 'states') ~ ')',
    ] %}
    {% for level in rounds %}
        {% do ctes.append('flows_' ~ ctes | length ~ ' as (' ~ markov_split('flows_' ~ (ctes | length - 1 if not loop.first else 0), 'bounds') ~ ')') %}
        {% for turn in range(level) %}
            {% do ctes.append('flows_' ~ ctes | length ~ ' as (' ~ markov_take_out('flows_' ~ (ctes | length - 1), turn) ~ ')') %}
        {% endfor %}
    {% endfor %}
    {{ return('with ' ~ ctes | join(',\n') ~ '\n' ~ markov_kept('states', 'flows_' ~ (ctes | length - 1))) }}
{% endif %}
{% if not execute or flags.WHICH not in ['run', 'build'] %}
    {{ return(
        "select conversion_type, month, source_channel as channel, cast(0 as double) as kept_conversions from "
        ~ transitions ~ " where 1 = 0"
    ) }}
{% endif %}
{% set tables = markov_tables() %}
{% do create_markov_table(tables.states, markov_states(transitions)) %}
{% do create_markov_table(tables.bounds, markov_bounds(tables.states)) %}
{% do create_markov_table(tables.flows, markov_flows(transitions, tables.states)) %}
{% set state = namespace(now=tables.flows, next=tables.other_flows, rounds=0, widest=2) %}
{# Halving 40 times is enough for 2^40 channels. #}
{% for level in range(40) %}
    {% if state.widest > 1 %}
        {% do create_markov_table(state.next, markov_split(state.now, tables.bounds)) %}
        {% set state.now, state.next = state.next, state.now %}
        {% set left = run_query(
            'select coalesce(max(to_channel - from_channel), 0), coalesce(max(out_to - out_from), 0) from ' ~ state.now
        ) %}
        {% set state.widest = left.columns[0].values()[0] | int %}
        {% set longest = left.columns[1].values()[0] | int %}
        {% for turn in range(longest) %}
            {% do create_markov_table(state.next, markov_take_out(state.now, turn)) %}
            {% set state.now, state.next = state.next, state.now %}
        {% endfor %}
        {% set state.rounds = state.rounds + longest %}
    {% endif %}
{% endfor %}
{% do log('markov: ' ~ state.rounds ~ ' rounds') %}
{{ return(markov_kept(tables.states, state.now)) }}
{% endmacro %}

{% macro markov_tables() %}
{% set prefix = this.schema ~ '.' ~ this.identifier ~ '__' %}
{{ return({
    'states': prefix ~ 'states', 'bounds': prefix ~ 'bounds',
    'flows': prefix ~ 'flows', 'other_flows': prefix ~ 'other_flows',
}) }}
{% endmacro %}
{% macro create_markov_table(name, query) %}
{% call statement('markov') %}create or replace table {{ name }} as {{ query }}{% endcall %}
{% endmacro %}
{# The post-hooks that drop what the rounds leave behind. #}
{% macro markov_clean_up() %}
{% set hooks = [] %}
{% for name in ['states', 'bounds', 'flows', 'other_flows'] %}
    {% do hooks.append('drop table if exists {{ this.schema }}.{{ this.identifier }}__' ~ name) %}
{% endfor %}
{{ return(hooks) }}
{% endmacro %}

{#
States of a chain, numbered from 1 so that those of one channel follow each other (order 1 has one a channel, order 2 one
for each channel that came before). 0 is the start, -1 the conversion, -2 nothing.
#}
{% macro markov_states(transitions) %}
select
    conversion_type,
    month,
    channel,
    previous,
    dense_rank() over (order by conversion_type, month) as chain,
    dense_rank() over (partition by conversion_type, month order by channel) as channel_number,
    row_number() over (partition by conversion_type, month order by channel, previous) as state
from (
    select distinct conversion_type, month, source_channel as channel, source_previous as previous
    from {{ transitions }}
    where source_channel <> '(start)'
) as sources
{% endmacro %}

{# The first state of each channel, and after the last channel the end. #}
{% macro markov_bounds(states) %}
select chain, channel_number, min(state) as first_state
from {{ states }}
group by chain, channel_number
union all
select chain, max(channel_number) + 1 as channel_number, max(state) + 1 as first_state
from {{ states }}
group by chain
{% endmacro %}

{# One copy of each chain, with all its channels: from_channel to to_channel, the latter not included. #}
{% macro markov_flows(transitions, states) %}
select
    chains.chain,
    cast(1 as bigint) as from_channel,
    chains.channels + 1 as to_channel,
    cast(0 as bigint) as out_from,
    cast(0 as bigint) as out_to,
    coalesce(sources.state, 0) as source,
    case transitions.target_channel when '(conversion)' then -1 when '(none)' then -2 else targets.state end as target,
    cast(transitions.transitions as double) as flow
from {{ transitions }} as transitions
inner join (
    select conversion_type, month, chain, max(channel_number) as channels
    from {{ states }}
    group by conversion_type, month, chain
) as chains
    on transitions.conversion_type = chains.conversion_type and transitions.month = chains.month
left join {{ states }} as sources
    on
        transitions.conversion_type = sources.conversion_type
        and transitions.month = sources.month
        and transitions.source_channel = sources.channel
        and transitions.source_previous = sources.previous
left join {{ states }} as targets
    on
        transitions.conversion_type = targets.conversion_type
        and transitions.month = targets.month
        and transitions.target_channel = targets.channel
        and {{ 'transitions.source_channel' if var('markov_order') | int == 2 else "''" }} = targets.previous
where coalesce(sources.state, 0) <> coalesce(targets.state, -1)
{% endmacro %}

{# Each copy of more than one channel becomes two: each is to keep one half, and to take the states of the other out. #}
{% macro markov_split(flows, bounds) %}
{% set middle = 'cast(floor((flows.from_channel + flows.to_channel) / 2.0) as bigint)' %}
select
    flows.chain,
    flows.from_channel,
    {{ middle }} as to_channel,
    at_middle.first_state as out_from,
    at_end.first_state as out_to,
    flows.source,
    flows.target,
    flows.flow
from {{ flows }} as flows
inner join {{ bounds }} as at_middle
    on flows.chain = at_middle.chain and at_middle.channel_number = {{ middle }}
inner join {{ bounds }} as at_end
    on flows.chain = at_end.chain and at_end.channel_number = flows.to_channel
where flows.to_channel - flows.from_channel > 1
union all
select
    flows.chain,
    {{ middle }} as from_channel,
    flows.to_channel,
    at_start.first_state as out_from,
    at_middle.first_state as out_to,
    flows.source,
    flows.target,
    flows.flow
from {{ flows }} as flows
inner join {{ bounds }} as at_start
    on flows.chain = at_start.chain and at_start.channel_number = flows.from_channel
inner join {{ bounds }} as at_middle
    on flows.chain = at_middle.chain and at_middle.channel_number = {{ middle }}
where flows.to_channel - flows.from_channel > 1
union all
select
    chain,
    from_channel,
    to_channel,
    cast(0 as bigint) as out_from,
    cast(0 as bigint) as out_to,
    source,
    target,
    flow
from {{ flows }}
where to_channel - from_channel = 1
{% endmacro %}

{# Takes one state out of each copy that still has one to take out. Returns to the state itself change nothing. #}
{% macro markov_take_out(flows, turn) %}
select chain, from_channel, to_channel, out_from, out_to, source, target, sum(flow) as flow
from (
    select chain, from_channel, to_channel, out_from, out_to, source, target, flow
    from {{ flows }}
    where
        out_from + {{ turn }} >= out_to
        or (source <> out_from + {{ turn }} and target <> out_from + {{ turn }})
    union all
    select
        into_state.chain,
        into_state.from_channel,
        into_state.to_channel,
        into_state.out_from,
        into_state.out_to,
        into_state.source,
        out_of_state.target,
        into_state.flow * out_of_state.flow / out_of_state.total as flow
    from {{ flows }} as into_state
    inner join (
        select
            chain,
            from_channel,
            target,
            flow,
            -- Ordered, so that every run adds up in the same order and gives the same digits.
            sum(flow) over (
                partition by chain, from_channel order by target
                rows between unbounded preceding and unbounded following
            ) as total
        from {{ flows }}
        where source = out_from + {{ turn }} and out_from + {{ turn }} < out_to
    ) as out_of_state
        on into_state.chain = out_of_state.chain and into_state.from_channel = out_of_state.from_channel
    where
        into_state.target = into_state.out_from + {{ turn }}
        and into_state.out_from + {{ turn }} < into_state.out_to
        and into_state.source <> out_of_state.target
) as flows
group by chain, from_channel, to_channel, out_from, out_to, source, target
{% endmacro %}

{# What flows from the start straight to the conversion in the copy that has one channel left. #}
{% macro markov_kept(states, flows) %}
select
    channels.conversion_type,
    channels.month,
    channels.channel,
    coalesce(kept.flow, cast(0 as double)) as kept_conversions
from (
    select distinct conversion_type, month, chain, channel_number, channel
    from {{ states }}
) as channels
left join {{ flows }} as kept
    on
        channels.chain = kept.chain
        and channels.channel_number = kept.from_channel
        and kept.source = 0
        and kept.target = -1
{% endmacro %}
