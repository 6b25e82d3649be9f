{{ config(enabled=provides('hubspot', 'crm_contacts')) }}

-- A merged record followed to the one that stands today. A survivor that is merged later takes over the ids
-- that it holds; where it does not, up to four more steps are followed.
with merged as (
    select * from {{ source('raw_hubspot', 'merges') }}
),

final as (
    select
        first_step.source_relation,
        first_step.object_type,
        first_step.merged_id,
        coalesce(
            fifth_step.into_id, fourth_step.into_id, third_step.into_id, second_step.into_id,
            first_step.into_id
        ) as into_id,
        first_step.merged_at,
        first_step._dlt_load_id
    from merged as first_step
    {% for this_step, step_before in [
        ('second_step', 'first_step'), ('third_step', 'second_step'), ('fourth_step', 'third_step'),
        ('fifth_step', 'fourth_step')
    ] -%}
    left join merged as {{ this_step }}
        on
            {{ step_before }}.source_relation = {{ this_step }}.source_relation
            and {{ step_before }}.object_type = {{ this_step }}.object_type
            and {{ step_before }}.into_id = {{ this_step }}.merged_id
    {% endfor %}
)

select * from final
