{#
What belongs here: the channel rules as SQL over the seed channel_rules: the first rule whose conditions all hold.
`combinations` has source, medium, campaign (lower case, trimmed, never NULL) and source_category. Returns
source, medium, campaign, channel.
#}
{% macro classify_channels(combinations) -%}
    select
        combinations.source,
        combinations.medium,
        combinations.campaign,
        min_by(rules.channel, rules.rule_order) as channel
    from {{ combinations }} as combinations
    inner join {{ ref('channel_rules') }} as rules
        on
            (rules.source_category is null or rules.source_category = combinations.source_category)
            and (rules.source_pattern is null or {{ regex_matches('combinations.source', 'rules.source_pattern') }})
            and (rules.medium_pattern is null or {{ regex_matches('combinations.medium', 'rules.medium_pattern') }})
            and (rules.campaign_pattern is null or {{ regex_matches('combinations.campaign', 'rules.campaign_pattern') }})
    group by combinations.source, combinations.medium, combinations.campaign
{%- endmacro %}
