{{ config(
    materialized='incremental',
    incremental_strategy='rewrite',
    on_schema_change='append_new_columns',
    meta={'rewrite': [{'changes': 'int_changed_identity_records', 'keys': ['identifier_type', 'identifier']}]},
) }}
-- depends_on: {{ ref('int_changed_identity_records') }}
with links as (
    select * from {{ ref('int_identity_links') }}
),

neighbours as (
    select
        identifier_type_a as identifier_type,
        identifier_a as identifier,
        identifier_type_b as neighbour_type,
        identifier_b as neighbour
    from links
    where identifier_type_a <> identifier_type_b
    union all
    select
        identifier_type_b as identifier_type,
        identifier_b as identifier,
        identifier_type_a as neighbour_type,
        identifier_a as neighbour
    from links
    where identifier_type_a <> identifier_type_b
),

counted as (
    select
        identifier_type,
        identifier,
        count(distinct case when neighbour_type = 'email' then neighbour end) as emails,
        count(distinct case when neighbour_type = 'user_id' then neighbour end) as user_ids
    from neighbours
    where neighbour_type in ('email', 'user_id')
    group by identifier_type, identifier
),

final as (
    select
        identifier_type,
        identifier,
        emails,
        user_ids,
        case
            when
                emails > {{ var('identity_max_emails_per_identifier') }}
                then 'more e-mails than one person has'
            else 'cookie with several user ids'
        end as reason
    from counted
    where
        (
            (identifier_type <> 'email' and emails > {{ var('identity_max_emails_per_identifier') }})
            or (identifier_type like 'cookie:%' and user_ids > 1)
        )
        {%- if is_rewrite() %}
        and (identifier_type, identifier) in (
            select
                changed.identifier_type,
                changed.identifier
            from {{ ref('int_changed_identity_records') }} as changed
        )
        {%- endif %}
)

select
    identifier_type,
    identifier,
    emails,
    user_ids,
    reason
from final
