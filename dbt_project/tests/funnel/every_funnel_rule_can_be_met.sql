-- A line of the seeds funnels or crm_stage_mapping that leads nowhere, with what is wrong about it.
{% set known = [] %}
{% set open = [] %}
{% for source, fields in funnel_sources().items() %}
{% if fields is none %}{% do open.append(source) %}{% endif %}
{% for field in fields or [] %}{% do known.append(source ~ '.' ~ field) %}{% endfor %}
{% endfor %}
with rules as (
    select * from {{ ref('funnels') }}
),

mapping as (
    select * from {{ ref('crm_stage_mapping') }}
),

stages as (
    select
        funnel,
        stage,
        min(stage_order) as stage_order,
        max(stage_order) as last_stage_order,
        min(subject) as subject,
        max(subject) as last_subject,
        min(counting_unit) as counting_unit,
        max(counting_unit) as last_counting_unit
    from rules
    group by funnel, stage
),

problems as (
    select
        funnel,
        stage,
        'unknown source or field: ' || source || '.' || field as problem
    from rules
    where
        source || '.' || coalesce(field, '') not in ({{ quoted_list(known) }})
        and source not in ({{ quoted_list(open) }})
    union all
    select
        funnel,
        stage,
        'unknown operator: ' || operator as problem
    from rules
    where operator not in ('=', 'in', '>=', 'is_not_null')
    union all
    select
        rules.funnel,
        rules.stage,
        'no line of crm_stage_mapping means ' || rules.value as problem
    from rules
    left join mapping
        on {{ funnel_rule_matches('rules.operator', 'rules.value', 'mapping.funnel_stage') }}
    where rules.field = 'funnel_stage' and mapping.funnel_stage is null
    union all
    select
        'any' as funnel,
        mapping.funnel_stage as stage,
        'crm_stage_mapping maps ' || mapping.crm_stage || ' to a stage that no rule names' as problem
    from mapping
    left join rules
        on
            rules.field = 'funnel_stage'
            and {{ funnel_rule_matches('rules.operator', 'rules.value', 'mapping.funnel_stage') }}
    where rules.stage is null and mapping.funnel_stage not in ({{ quoted_list(funnel_outcomes()) }})
    union all
    select
        rules.funnel,
        rules.stage,
        'requires_stage '
        || rules.requires_stage
        || ' is no stage of this funnel, or requires one itself' as problem
    from rules
    left join rules as required
        on
            rules.funnel = required.funnel
            and rules.requires_stage = required.stage
            and required.requires_stage is null
    where rules.requires_stage is not null and required.stage is null
    union all
    select
        funnel,
        stage,
        'its rules do not agree on order, subject or counting unit' as problem
    from stages
    where
        stage_order <> last_stage_order
        or subject <> last_subject
        or counting_unit <> last_counting_unit
    union all
    select
        stages.funnel,
        stages.stage,
        'the next stage has another subject, so this one must count accounts' as problem
    from stages
    inner join stages as following
        on stages.funnel = following.funnel and stages.stage_order + 1 = following.stage_order
    where stages.subject <> following.subject and stages.counting_unit <> 'account'
    union all
    select
        stages.funnel,
        stages.stage,
        'no stage has the order ' || cast(stages.stage_order - 1 as {{ text_type() }}) as problem
    from stages
    left join stages as earlier
        on stages.funnel = earlier.funnel and stages.stage_order = earlier.stage_order + 1
    where stages.stage_order > 1 and earlier.stage is null
    union all
    select
        funnel,
        stage,
        'a stage counts its own subjects, or accounts' as problem
    from stages
    where counting_unit not in (subject, 'account')
)

select
    funnel,
    stage,
    problem
from problems
