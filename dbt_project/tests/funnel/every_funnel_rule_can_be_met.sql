-- A line of the seeds funnels, crm_stage_mapping or funnel_frameworks that leads nowhere, with what is wrong
-- about it.
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
        max(counting_unit) as last_counting_unit,
        coalesce(min(win_conversion_type), '(none)') as win_conversion_type,
        count(distinct coalesce(win_conversion_type, '(none)')) as win_conversion_types
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
        'its rules do not agree on order, subject, counting unit or win_conversion_type' as problem
    from stages
    where
        stage_order <> last_stage_order
        or subject <> last_subject
        or counting_unit <> last_counting_unit
        or win_conversion_types > 1
    union all
    select
        stages.funnel,
        stages.stage,
        'no conversion type is ' || stages.win_conversion_type as problem
    from stages
    left join {{ ref('conversion_types') }} as types
        on stages.win_conversion_type = types.conversion_type
    where stages.win_conversion_type <> '(none)' and types.conversion_type is null
    union all
    select
        funnel,
        'any' as stage,
        'no stage is a sale (win_conversion_type)' as problem
    from stages
    group by funnel
    having max(case when win_conversion_type = '(none)' then 0 else 1 end) = 0
    union all
    select
        stages.funnel,
        stages.stage,
        'framework ' || known.framework || ' does not have this stage' as problem
    from stages
    inner join (
        select distinct
            framework,
            funnel
        from {{ ref('funnel_frameworks') }}
    ) as known
        on stages.funnel = known.funnel
    left join {{ ref('funnel_frameworks') }} as frameworks
        on
            known.framework = frameworks.framework
            and stages.funnel = frameworks.funnel
            and stages.stage = frameworks.stage
    where frameworks.stage is null
    union all
    select
        funnel,
        stage,
        'framework ' || framework || ' orders it before an earlier stage of the funnel' as problem
    from (
        select
            frameworks.framework,
            frameworks.funnel,
            frameworks.stage,
            frameworks.framework_order,
            lag(frameworks.framework_order) over (
                partition by frameworks.framework, frameworks.funnel order by stages.stage_order
            ) as earlier_order
        from {{ ref('funnel_frameworks') }} as frameworks
        inner join stages on frameworks.funnel = stages.funnel and frameworks.stage = stages.stage
    ) as framework_steps
    where framework_order < earlier_order
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
