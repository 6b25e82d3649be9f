{%- set columns = [
    'person_id', 'contact_id', 'email_domain', 'contact_country', 'revenue_country', 'job_title',
    'lifecycle_stage', 'owner_id', 'self_reported_source', 'is_customer',
] -%}
-- Persons whose row of dim_persons is written anew, old and new ids alike: their touchpoints are, records
-- that name them changed, or what records say of them did.
with changed_persons as (
    select * from {{ ref('int_changed_persons') }}
),

changed_records as (
    select * from {{ ref('int_changed_identity_records') }}
),

identity_map as (
    select * from {{ ref('int_identity_map') }}
),

differing as (
    {{ differing_rows(ref('int_person_profile_candidates'), 'int_person_profiles', columns) }}
),

changes as (
    select person_id from changed_persons
    union
    select identity_map.person_id
    from identity_map
    inner join changed_records
        on
            identity_map.identifier_type = changed_records.identifier_type
            and identity_map.identifier = changed_records.identifier
    union
    select person_id from differing
),

final as (
    select person_id from changes
    union
    {{ carried_over(['person_id']) }}
)

select
    person_id,
    cast('{{ batch_mark() }}' as {{ text_type() }}) as batch_mark
from final
