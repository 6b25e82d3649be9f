-- depends_on: {{ ref('int_changed_identity_records') }}
-- The fresh content of int_identity_edges (where that stands already: its rows with a changed end), before
-- the guard against shared identifiers is applied. An identifier's row with itself says when it was first and
-- last seen.
with records as (
    select * from {{ ref('int_identity_records') }}
),

identifiers as (
    {{ identifiers_of_records(
        'records', ['record_number', 'source_relation', 'first_seen_at', 'last_seen_at'],
    ) }}
),

pairs as (
    select
        a.identifier_type as identifier_type_a,
        a.identifier as identifier_a,
        b.identifier_type as identifier_type_b,
        b.identifier as identifier_b,
        a.source_relation,
        a.first_seen_at,
        a.last_seen_at
    from identifiers as a
    inner join identifiers as b
        on
            a.record_number = b.record_number
            and (
                a.identifier_type < b.identifier_type
                or (a.identifier_type = b.identifier_type and a.identifier <= b.identifier)
            )
),

final as (
    select
        identifier_type_a,
        identifier_a,
        identifier_type_b,
        identifier_b,
        min(source_relation) as source_relation,
        min(first_seen_at) as first_seen_at,
        max(last_seen_at) as last_seen_at
    from pairs
    {%- if holds_edges() %}
    where {{ touches_changed_records('pairs') }}
    {%- endif %}
    group by identifier_type_a, identifier_a, identifier_type_b, identifier_b
)

select
    identifier_type_a,
    identifier_a,
    identifier_type_b,
    identifier_b,
    source_relation,
    first_seen_at,
    last_seen_at
from final
