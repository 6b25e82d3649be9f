-- A stage that the CRM uses and that seed crm_stage_mapping does not know. Remedy: add a line to the seed,
-- with (ignored) as its funnel stage if it should mean nothing.
select
    object_type,
    field,
    pipeline,
    to_value as unmapped_crm_stage,
    count(*) as changes
from {{ ref('int_crm_stage_changes') }}
where
    field in ('stage', 'lifecycle_stage', 'lead_status')
    and to_value is not null
    and funnel_stage is null
group by object_type, field, pipeline, to_value
