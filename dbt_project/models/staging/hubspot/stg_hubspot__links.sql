{{ config(enabled=provides('hubspot', 'crm_contacts')) }}

-- The association lists of all records, one row a link. Links to merged records lead to the survivor, links
-- to archived or unknown ones are left out: the vendor does the same, but does not touch the record that
-- holds the link.
{% set holders = [
    ('contacts', 'contact_id', ['companies']),
    ('deals', 'deal_id', ['contacts', 'companies']),
    ('calls', 'activity_id', ['contacts', 'companies', 'deals']),
    ('meetings', 'activity_id', ['contacts', 'companies', 'deals']),
    ('emails', 'activity_id', ['contacts', 'companies', 'deals']),
    ('tasks', 'activity_id', ['contacts', 'companies', 'deals']),
    ('communications', 'activity_id', ['contacts', 'companies', 'deals']),
] %}
{% set targets = {'contacts': 'contact_id', 'companies': 'company_id', 'deals': 'deal_id'} %}
with merged as (
    select * from {{ ref('stg_hubspot__merges') }}
),

standing as (
    {% for type, id in targets.items() -%}
    select
        records.source_relation,
        '{{ type }}' as object_type,
        records.{{ id }} as object_id
    from {{ source('raw_hubspot', type) }} as records
    left join merged
        on
            records.source_relation = merged.source_relation
            and merged.object_type = '{{ type }}'
            and records.{{ id }} = merged.merged_id
    where not coalesce(records.archived, false) and merged.merged_id is null
    {% if not loop.last %}union all{% endif %}
    {% endfor -%}
),

listed as (
    {% for holder, id, kinds in holders -%}
    {%- set last_holder = loop.last -%}
    {% for kind in kinds -%}
    select
        source_relation,
        '{{ holder }}' as from_type,
        {{ id }} as from_id,
        '{{ kind }}' as to_type,
        {{ explode_list(json_list(kind ~ '_links')) }} as link
    from {{ source('raw_hubspot', holder) }}
    where {{ kind }}_links is not null and not coalesce(archived, false)
    {% if not (last_holder and loop.last) %}union all{% endif %}
    {% endfor -%}
    {% endfor -%}
),

named as (
    select
        source_relation,
        from_type,
        from_id,
        to_type,
        {{ json_text('link', 'id') }} as to_id,
        {{ json_text('link', 'labels') }} as labels
    from listed
),

resolved as (
    select
        named.source_relation,
        named.from_type,
        named.from_id,
        named.to_type,
        coalesce(merged.into_id, named.to_id) as to_id,
        named.labels
    from named
    left join merged
        on
            named.source_relation = merged.source_relation
            and named.to_type = merged.object_type
            and named.to_id = merged.merged_id
    left join merged as merged_holders
        on
            named.source_relation = merged_holders.source_relation
            and named.from_type = merged_holders.object_type
            and named.from_id = merged_holders.merged_id
    where merged_holders.merged_id is null
),

final as (
    select
        resolved.source_relation,
        resolved.from_type,
        resolved.from_id,
        resolved.to_type,
        resolved.to_id,
        -- "Primary", and for the labels of contacts whatever name the portal gives: the first in the
        -- alphabet.
        max(case when lower(resolved.labels) like '%"primary%' then 1 else 0 end) = 1 as is_primary,
        min(
            nullif(
                regexp_replace(
                    regexp_replace(lower(resolved.labels), '"primary[^"]*",?', ''),
                    '^[^"]*"([^"]*)".*$|^[^"]*$', '\1'
                ),
                ''
            )
        ) as label
    from resolved
    inner join standing
        on
            resolved.source_relation = standing.source_relation
            and resolved.to_type = standing.object_type
            and resolved.to_id = standing.object_id
    group by
        resolved.source_relation, resolved.from_type, resolved.from_id, resolved.to_type, resolved.to_id
)

select * from final
