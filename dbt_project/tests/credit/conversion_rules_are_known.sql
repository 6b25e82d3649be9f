{# Each rule's fields are known to its source, all rows of a rule speak of one source and type, and a rule on
   web events names its event: what breaks this would match nothing, silently. #}
with
known as (
    {%- for source, fields in {
        'web_events': ['event_name', 'page_url', 'product_id', 'value', 'country', 'referral_code'],
        'contact_stage_changes': ['field', 'from_value', 'to_value', 'funnel_stage'],
        'opportunity_creations': ['opportunity_id', 'opportunity_type', 'pipeline', 'amount'],
        'opportunity_closings': ['opportunity_id', 'opportunity_type', 'pipeline', 'is_won', 'amount'],
        'revenue_lines': [
            'event_type', 'product_id', 'country', 'subscription_id', 'opportunity_id', 'amount'
        ],
        'subscription_starts': ['subscription_id', 'plan', 'mrr'],
        'subscription_trials': ['subscription_id', 'plan'],
    }.items() %}
    {%- set last_source = loop.last %}
    {%- for field in fields %}
    select
        '{{ source }}' as source,
        '{{ field }}' as field
    {%- if not (loop.last and last_source) %}
    union all
    {%- endif %}
    {%- endfor %}
    {%- endfor %}
)

select
    rules.rule_id,
    'unknown field' as problem
from {{ ref('conversion_rules') }} as rules
left join known
    on rules.source = known.source and rules.field = known.field
where known.field is null
union all
select
    rule_id,
    'more than one source or conversion type' as problem
from {{ ref('conversion_rules') }}
group by rule_id
having count(distinct source) > 1 or count(distinct conversion_type) > 1
union all
select
    rule_id,
    'a rule on web_events needs event_name equals' as problem
from {{ ref('conversion_rules') }}
where source = 'web_events'
group by rule_id
having count(case when field = 'event_name' and operator = 'equals' then 1 end) != 1
