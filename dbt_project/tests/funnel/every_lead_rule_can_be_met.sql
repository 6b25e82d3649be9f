-- A line of the seeds lead_score_rules or qualification_fields that names what lead_scores does not know.
{% set known = [] %}
{% set open = [] %}
{% for source, fields in lead_score_sources().items() %}
{% if fields is none %}{% do open.append(source) %}{% endif %}
{% for field in fields or [] %}{% do known.append(source ~ '.' ~ field) %}{% endfor %}
{% endfor %}
with rules as (
    select
        'lead_score_rules' as seed,
        rule_id as rule_name,
        source,
        field,
        operator
    from {{ ref('lead_score_rules') }}
    union all
    select
        'qualification_fields' as seed,
        concat(framework, ' ', element) as rule_name,
        source,
        field,
        operator
    from {{ ref('qualification_fields') }}
)

select
    seed,
    rule_name,
    concat('unknown: ', source, '.', field, ' ', operator) as problem
from rules
where
    (
        source || '.' || coalesce(field, '') not in ({{ quoted_list(known) }})
        and source not in ({{ quoted_list(open) }})
    )
    or operator not in ('=', 'in', '>=', 'is_not_null')
