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
            coalesce(rules.source_category, '') in ('', combinations.source_category)
            and {{ regex_matches('combinations.source', "coalesce(rules.source_pattern, '')") }}
            and {{ regex_matches('combinations.medium', "coalesce(rules.medium_pattern, '')") }}
            and {{ regex_matches('combinations.campaign', "coalesce(rules.campaign_pattern, '')") }}
    group by combinations.source, combinations.medium, combinations.campaign
{%- endmacro %}
