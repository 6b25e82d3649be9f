-- An opportunity whose stages are mapped to funnel stages, and which the funnel does not know.
select distinct changes.object_id as opportunity_id
from {{ ref('int_crm_stage_changes') }} as changes
inner join {{ ref('funnels') }} as rules
    on
        changes.funnel_stage = rules.value
        and rules.source = 'crm_opportunities'
        and rules.field = 'funnel_stage'
        and rules.operator = '='
        and rules.subject = 'opportunity'
left join {{ ref('fct_funnel_stage_entries') }} as entries
    on changes.object_id = entries.opportunity_id
where
    changes.object_type = 'opportunity'
    and changes.changed_at <= {{ as_of() }}
    and entries.opportunity_id is null
